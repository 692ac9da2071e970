"""What must hold of initial parameters whatever the random numbers are: Λ, and the moments of every draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from s5ref.arrays import Array

SIGMAS = 6.0  # a moment may be so many standard deviations off
PAIRED = 2.0**-12  # above every rounding of B̃ at these sizes, far below its entries
CONSTANTS = {  # leaf: what it begins with
    "encoder.bias": 0, "decoder.bias": 0, "layers_0.out2.bias": 0, "layers_0.norm.bias": 0,
    "layers_0.norm.scale": 1,
}  # fmt: skip


def audit(params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Array]:
    """The numbers of initial parameters that do not depend on the draws, or hardly.

    Parameters
    ----------
    params : mapping of names to arrays
        Joined parameters of a model, or some of them.
    options : mapping
        ``dt_min``, ``dt_max`` and ``bidirectional`` of the case.

    Returns
    -------
    dict
        Λ of the first layer by ascending imaginary part, and the numbers of `expected`. One whose leaves are
        not all there is left out.

    Notes
    -----
    The order of the states is arbitrary: S5 with its states permuted is the same S5. Phases of eigenvectors
    are arbitrary, and so are B̃ and C̃ one by one: their mean squares are not.

    Where all states are kept, the rows of B̃ = Vᴴ B that belong to λ and to its conjugate are conjugates but
    for a phase, since B is real: there Λ and B̃ are compared state by state. Half of the states say no such
    thing: their rows have the same law, whichever eigenvalue stands beside which.
    """
    low, high = (math.log(options[name]) for name in ("dt_min", "dt_max"))

    def seq(name: str) -> Array:
        return np.asarray(params[f"layers_0.seq.{name}"])

    def directions() -> list[Array]:
        if not options.get("bidirectional"):
            return [seq("C")]
        separate = "layers_0.seq.C1" in params
        return [seq("C1"), seq("C2")] if separate else np.split(seq("C"), 2, axis=1)

    def place() -> Array:
        return np.asarray((seq("log_step").astype(np.float64) - low) / (high - low))

    def outside() -> float:
        farthest = max(0.0, -float(place().min()), float(place().max()) - 1)
        return farthest if farthest > 1e-6 else 0.0

    def largest_error() -> float:
        return max(float(np.max(np.abs(params[name] - value))) for name, value in CONSTANTS.items())

    numbers: dict[str, Callable[[], Any]] = {
        "Lambda": lambda: _in_order(seq("Lambda")),
        "B.mean_square": lambda: _mean_square(seq("B")),
        "B.unpaired": lambda: _unpaired(seq("Lambda"), seq("B"), options["blocks"]),
        "C.mean_square": lambda: _mean_square(directions()),
        "D.mean": lambda: np.mean(seq("D").astype(np.float64)),
        "D.mean_square": lambda: _mean_square(seq("D")),
        "log_step.mean_place": lambda: np.mean(place()),
        "log_step.outside": outside,
        "constant.largest_error": largest_error,
        "kernel.encoder.mean_square": lambda: _mean_square(params["encoder.kernel"]),
        "kernel.decoder.mean_square": lambda: _mean_square(params["decoder.kernel"]),
        "kernel.gate.mean_square": lambda: _mean_square(params["layers_0.out2.kernel"]),
    }
    if options.get("conj_sym", True):
        del numbers["B.unpaired"]
    if options.get("bidirectional"):
        numbers["C.between_directions"] = lambda: _mean_product(*directions())
    audited = {}
    for name, number in numbers.items():
        with suppress(KeyError):  # of a leaf that is not there
            audited[name] = np.asarray(number())
    return audited


def expected(options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """{number: (what it is on average, how far off it may be)}, Λ left out."""
    H, P, inputs = options["d_model"], options["ssm_size"], options["in_dim"]
    kept = P // 2 if options.get("conj_sym", True) else P
    outputs, both = options["n_classes"], options.get("bidirectional", False)
    C = {"lecun_normal": 2 / (H * P), "trunc_standard_normal": 2 / P, "complex_normal": 1.0}[
        options["c_init"]
    ]

    def square(value: float, draws: int) -> tuple[float, float]:
        return value, SIGMAS * value * math.sqrt(2 / draws)  # at most the kurtosis of a normal

    pairs = {} if options.get("conj_sym", True) else {"B.unpaired": (0.0, PAIRED)}
    moments = {
        "B.mean_square": square(1 / P, kept * H),
        "C.mean_square": square(C, kept * H * (2 if both else 1)),
        "D.mean": (0.0, SIGMAS / math.sqrt(H)),
        "D.mean_square": square(1.0, H),
        "log_step.mean_place": (0.5, SIGMAS / math.sqrt(12 * kept)),
        "log_step.outside": (0.0, 0.0),
        "constant.largest_error": (0.0, 0.0),
        "kernel.encoder.mean_square": square(1 / inputs, inputs * H),
        "kernel.decoder.mean_square": square(1 / H, H * outputs),
        "kernel.gate.mean_square": square(1 / H, H * H),
    }
    between = {"C.between_directions": (0.0, SIGMAS * C / math.sqrt(2 * kept * H))}
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
