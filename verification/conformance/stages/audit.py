"""What must hold of initial parameters whatever the random numbers are: Λ, and the moments of every draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import subtree

SIGMAS = 6.0  # a moment may be so many standard deviations off
PAIRED = 2.0**-12  # above every rounding of B̃ at these sizes, far below its entries
OF_LAYER = {"out2.bias": 0, "norm.bias": 0, "norm.scale": 1}  # leaf: what it begins with
OF_MODEL = {"encoder.bias": 0, "decoder.bias": 0}


def audit(params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Array]:
    """The numbers of initial parameters that do not depend on the draws, or hardly.

    Parameters
    ----------
    params : mapping of names to arrays
        Joined parameters of a model, or some of them.
    options : mapping
        ``n_layers``, ``dt_min``, ``dt_max`` and ``bidirectional`` of the case.

    Returns
    -------
    dict
        Λ of each layer by ascending imaginary part, and the numbers of `expected`. One whose leaves are not
        all there is left out. Those of the layers behind the first begin with the name of the layer.

    Notes
    -----
    The order of the states is arbitrary: S5 with its states permuted is the same S5. Phases of eigenvectors
    are arbitrary, and so are B̃ and C̃ one by one: their mean squares are not.

    Where all states are kept, the rows of B̃ = Vᴴ B that belong to λ and to its conjugate are conjugates but
    for a phase, since B is real: there Λ and B̃ are compared state by state. Half of the states say no such
    thing: their rows have the same law, whichever eigenvalue stands beside which.

    Draws that serve twice, in two directions or in two layers, are seen in the mean of their products.
    """
    numbers: dict[str, Callable[[], Any]] = {
        "constant.largest_error": lambda: _largest_error(params, OF_MODEL),
        "kernel.encoder.mean_square": lambda: _mean_square(params["encoder.kernel"]),
        "kernel.decoder.mean_square": lambda: _mean_square(params["decoder.kernel"]),
    }
    for i in range(options["n_layers"]):
        of_layer = _numbers_of_layer(subtree(params, f"layers_{i}"), options)
        numbers |= {f"{_above(i)}{name}": number for name, number in of_layer.items()}
        if i:
            numbers |= _between_layers(params, i)
    audited = {}
    for name, number in numbers.items():
        with suppress(KeyError):  # of a leaf that is not there
            audited[name] = np.asarray(number())
    return audited


def eigenvalues(options: Mapping[str, Any]) -> list[str]:
    """The names of Λ among the numbers, one for each layer."""
    return [f"{_above(i)}Lambda" for i in range(options["n_layers"])]


def _above(layer: int) -> str:
    """What the numbers of a layer begin with."""
    return f"layers_{layer}." if layer else ""


def _numbers_of_layer(params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    low, high = (math.log(options[name]) for name in ("dt_min", "dt_max"))

    def seq(name: str) -> Array:
        return np.asarray(params[f"seq.{name}"])

    def directions() -> list[Array]:
        if not options.get("bidirectional"):
            return [seq("C")]
        return [seq("C1"), seq("C2")] if "seq.C1" in params else np.split(seq("C"), 2, axis=1)

    def place() -> Array:
        return np.asarray((seq("log_step").astype(np.float64) - low) / (high - low))

    def outside() -> float:
        farthest = max(0.0, -float(place().min()), float(place().max()) - 1)
        return farthest if farthest > 1e-6 else 0.0

    numbers: dict[str, Callable[[], Any]] = {
        "Lambda": lambda: _in_order(seq("Lambda")),
        "B.mean_square": lambda: _mean_square(seq("B")),
        "B.unpaired": lambda: _unpaired(seq("Lambda"), seq("B"), options["blocks"]),
        "C.mean_square": lambda: _mean_square(directions()),
        "D.mean": lambda: np.mean(seq("D").astype(np.float64)),
        "D.mean_square": lambda: _mean_square(seq("D")),
        "log_step.mean_place": lambda: np.mean(place()),
        "log_step.outside": outside,
        "constant.of_layer": lambda: _largest_error(params, OF_LAYER),
        "kernel.gate.mean_square": lambda: _mean_square(params["out2.kernel"]),
    }
    if options.get("conj_sym", True):
        del numbers["B.unpaired"]
    if options.get("bidirectional"):
        numbers["C.between_directions"] = lambda: _mean_product(*directions())
    return numbers


def _between_layers(params: Mapping[str, Any], layer: int) -> dict[str, Callable[[], Any]]:
    """Of the draws of a layer and of the first one."""

    def between(leaf: str) -> float:
        return float(_mean_product(*(np.asarray(params[f"layers_{i}.{leaf}"]) for i in (0, layer))))

    return {
        f"layers_{layer}.B.between_layers": lambda: between("seq.B"),
        f"layers_{layer}.kernel.between_layers": lambda: between("out2.kernel"),
    }


def _largest_error(params: Mapping[str, Any], constants: Mapping[str, float]) -> float:
    return max(float(np.max(np.abs(params[name] - value))) for name, value in constants.items())


def expected(options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """{number: (what it is on average, how far off it may be)}, Λ left out."""
    H, inputs, outputs = options["d_model"], options["in_dim"], options["n_classes"]
    numbers = {
        "constant.largest_error": (0.0, 0.0),
        "kernel.encoder.mean_square": _square(1 / inputs, inputs * H),
        "kernel.decoder.mean_square": _square(1 / H, H * outputs),
    }
    for i in range(options["n_layers"]):
        numbers |= {f"{_above(i)}{name}": law for name, law in _expected_of_layer(options).items()}
        if i:
            P = options["ssm_size"]
            numbers |= {
                f"layers_{i}.B.between_layers": _products(1 / P, P * H),  # B̃ is Vᴴ times P H real draws
                f"layers_{i}.kernel.between_layers": _products(1 / H, H * H),
            }
    return numbers


def _kept(options: Mapping[str, Any]) -> int:
    return int(options["ssm_size"] // 2 if options.get("conj_sym", True) else options["ssm_size"])


def _square(value: float, draws: int) -> tuple[float, float]:
    """Of a mean square."""
    return value, SIGMAS * value * math.sqrt(2 / draws)  # at most the kurtosis of a normal


def _products(square: float, draws: int) -> tuple[float, float]:
    """Of the mean product of two draws with this mean square; complex ones have two parts each."""
    return 0.0, SIGMAS * square / math.sqrt(draws)


def _expected_of_layer(options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    H, P, kept = options["d_model"], options["ssm_size"], _kept(options)
    both = options.get("bidirectional", False)
    C = {"lecun_normal": 2 / (H * P), "trunc_standard_normal": 2 / P, "complex_normal": 1.0}[
        options["c_init"]
    ]
    pairs = {} if options.get("conj_sym", True) else {"B.unpaired": (0.0, PAIRED)}
    moments = {
        "B.mean_square": _square(1 / P, kept * H),
        "C.mean_square": _square(C, kept * H * (2 if both else 1)),
        "D.mean": (0.0, SIGMAS / math.sqrt(H)),
        "D.mean_square": _square(1.0, H),
        "log_step.mean_place": (0.5, SIGMAS / math.sqrt(12 * kept)),
        "log_step.outside": (0.0, 0.0),
        "constant.of_layer": (0.0, 0.0),
        "kernel.gate.mean_square": _square(1 / H, H * H),
    }
    between = {"C.between_directions": _products(C, 2 * kept * H)}
    return moments | pairs | (between if both else {})


def _in_order(Lambda: Array) -> Array:
    return Lambda[_order(Lambda)] if Lambda.ndim == 1 else Lambda


def _order(Lambda: Array) -> Array:
    return np.lexsort((Lambda.real, Lambda.imag))


def _unpaired(Lambda: Array, B: Array, blocks: int) -> float:
    """How far a row of |B̃| is from the nearest one of the conjugate eigenvalue, which each block has once; 0
    where it is within rounding."""
    if Lambda.shape != B.shape[:1] or len(B) % blocks:
        return math.inf
    sizes = np.abs(B[_order(Lambda)]).reshape(-1, blocks, B.shape[-1])
    distances = np.abs(sizes[:, :, None] - sizes[::-1, None]).max(axis=-1)
    farthest = float(distances.min(axis=-1).max())
    return farthest if farthest > PAIRED else 0.0


def _mean_square(leaf: Any) -> Any:
    x = np.asarray(leaf)
    wide = x.astype(np.result_type(x.dtype, np.float64))
    return np.mean(wide.real**2 + wide.imag**2)


def _mean_product(one: Array, other: Array) -> Any:
    """The mean of Re(conj(a) b): about 0 of two draws, the mean square of one that serves twice."""
    a, b = (x.astype(np.complex128) for x in (one, other))
    return np.mean(a.real * b.real + a.imag * b.imag)
