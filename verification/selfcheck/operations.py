"""Every single operation as s5ref computes it, on small inputs, with the oracle's names of all that it takes
and gives.

What is certified of them is in `s5ref.verification.selfcheck.certify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.nn import activation, dropout, loss, pool, windows
from s5ref.nn.norm import Running
from s5ref.ssm import discretize, phi
from s5ref.ssm.resets import scan_episodes, scan_episodes_vjp
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.draws import Normal
from s5ref.verification.rounding.bounds import BOUNDS
from s5ref.verification.rounding.operation_bounds import LIMITS
from s5ref.verification.selfcheck.fields import Case, outcome, scan_case


class Operation(NamedTuple):
    """A pair, and the oracle's names: of the arguments, and {path of a leaf of `outcome`: its name}.

    Without a pair it is the kernel field of its name.
    """

    inputs: str
    leaves: dict[str, str]
    pair: Pair | None = None


def _leaves(outputs: str, differentiated: str = "") -> dict[str, str]:
    """Of outputs, and of the cotangents of these arguments."""
    leaves = {}
    for root, prefix, names in (("y", "", outputs.split()), ("d", "d.", differentiated.split())):
        for i, name in enumerate(names):
            leaves[root if len(names) == 1 else f"{root}.{i}"] = prefix + name
    return leaves


def _discretize(Lambda: Array, Delta: Array, method: str) -> Any:
    rule = DISCRETIZATIONS[method]
    y, residuals = rule.value(Lambda, Delta, None)
    return y, (rule.vjp, residuals)


def _holomorphic(f: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Operation:
    pair = Pair(lambda z: (f(z), z), lambda z, dy: np.conj(slope(z)) * dy)
    return Operation("z", _leaves("y", "z"), pair)


# The rules that know the length of a step alone, and have one gain.
OF_THE_STEP = [name for name, rule in DISCRETIZATIONS.items() if rule.gains == 1 and not rule.by_event]
GELU = Operation("x", _leaves("y", "x"))
OPERATIONS = {
    "phi1": _holomorphic(phi.phi1, phi.phi1_prime),
    "phi1_prime": _holomorphic(phi.phi1_prime, phi.phi1_second),
    "phi2": _holomorphic(phi.phi2, phi.phi2_prime),
    "discretize": Operation(
        "Lambda Delta method", _leaves("Lambda_bar gain", "Lambda Delta"),
        Pair(_discretize, lambda residuals, d: residuals[0](residuals[1], d)),
    ),
    "first_order_hold": Operation(
        "Lambda Delta", _leaves("Lambda_bar gain_before gain_now", "Lambda Delta"),
        Pair(discretize.first_order_hold, discretize.first_order_hold_vjp),
    ),
    "asynchronous": Operation(
        "Lambda Delta interval", _leaves("Lambda_bar gain", "Lambda Delta"),
        Pair(discretize.asynchronous, discretize.asynchronous_vjp),
    ),
    "timescale": Operation(
        "log_step rescale states", _leaves("Delta", "log_step"),
        Pair(discretize.timescale, discretize.timescale_vjp),
    ),
    "clip_eigs": Operation(
        "Lambda_re", _leaves("y", "Lambda_re"),
        Pair(lambda x: (discretize.clip_eigs(x), x), discretize.clip_eigs_vjp),
    ),
    "scan": Operation("Lambda_bar Bu x0 reverse", _leaves("x x_last", "Lambda_bar Bu x0")),
    "scan_episodes": Operation(
        "Lambda_bar Bu x0 reverse resets reset_state",
        _leaves("x x_last", "Lambda_bar Bu x0 reset_state"),
        Pair(partial(scan_episodes, SEQUENTIAL.scan), partial(scan_episodes_vjp, SEQUENTIAL.scan)),
    ),
    "linear": Operation("x W bias", _leaves("y", "x W bias")),
    "conv_pool": Operation("x kernel bias stride padding", _leaves("y", "x kernel bias")),
    "relu": Operation("x", _leaves("y", "x"), Pair(activation.relu, activation.relu_vjp)),
    "tanh": Operation("x", _leaves("y", "x"), Pair(activation.tanh, activation.tanh_vjp)),
    "exp_linear": Operation("x", _leaves("y", "x"), Pair(activation.exp_linear, activation.exp_linear_vjp)),
    "embed": Operation("tokens kernel bias", _leaves("y", "kernel bias")),
    "layer_norm": Operation("x scale bias", _leaves("y", "x scale bias")),
    "batch_norm": Operation(
        "x scale bias running momentum training valid",
        {"y.0": "y", "y.1.mean": "mean", "y.1.var": "var", "d.0": "d.x", "d.1": "d.scale", "d.2": "d.bias"},
    ),
    "gelu_tanh": GELU,
    "gelu_erf": GELU,
    "sigmoid": Operation(
        "x", _leaves("y"), Pair(lambda x: (activation.sigmoid(x), None), lambda residuals, dy: None)
    ),
    "glu": Operation("h z", _leaves("y", "h z")),
    "dropout": Operation(
        "x mask", _leaves("y", "x"),
        Pair(lambda x, mask: (dropout.dropout(x, mask), mask), lambda mask, dy: dropout.dropout(dy, mask)),
    ),
    "pool_mean": Operation("x lengths", _leaves("y", "x"), Pair(pool.pool_mean, pool.pool_vjp)),
    "pool_last": Operation("x lengths", _leaves("y", "x"), Pair(pool.pool_last, pool.pool_vjp)),
    "pool_max": Operation("x lengths", _leaves("y", "x"), Pair(pool.pool_max, pool.pool_vjp)),
    "pool_mean_max": Operation("x lengths", _leaves("y", "x"), Pair(pool.pool_mean_max, pool.pool_vjp)),
    "pool_windows": Operation(
        "x stride mode valid", _leaves("y", "x"),
        Pair(
            lambda x, stride, mode, valid: windows.pool_windows(x, windows.Window(stride, mode), valid),
            windows.pool_windows_vjp,
        ),
    ),
    "log_softmax": Operation("z", _leaves("y", "z"), Pair(loss.log_softmax, loss.log_softmax_vjp)),
    "cross_entropy": Operation(
        "log_probabilities targets", _leaves("loss", "log_probabilities"),
        Pair(loss.cross_entropy, loss.cross_entropy_vjp),
    ),
    "mse": Operation("y target valid", _leaves("loss", "y"), Pair(loss.mse, loss.mse_vjp)),
    "gaussian_nll": Operation(
        "mean var target valid", _leaves("loss", "mean var"), Pair(loss.gaussian_nll, loss.gaussian_nll_vjp)
    ),
}  # fmt: skip


def computed(engine: Engine, case: Case) -> dict[str, Array]:
    """Outputs and cotangents of a case, by the oracle's names."""
    operation = OPERATIONS[case.field]
    return _renamed(case, outcome(operation.pair or getattr(engine, case.field), case.args, case.dy))


def _renamed(case: Case, by_path: Mapping[str, Array]) -> dict[str, Array]:
    leaves = OPERATIONS[case.field].leaves
    return {leaves[path]: leaf for path, leaf in by_path.items() if path in leaves}


def inputs_of(case: Case) -> dict[str, Any]:
    """The arguments of a case by the oracle's names; it takes lengths for a mask of valid steps."""
    inputs = dict(zip(OPERATIONS[case.field].inputs.split(), case.args, strict=True))
    if "running" in inputs:
        inputs |= inputs.pop("running")._asdict()
    if "valid" in inputs:
        valid = inputs.pop("valid")
        inputs["lengths"] = None if valid is None else valid.sum((1, 2))
    return inputs


def cotangent_of(case: Case) -> dict[str, Any] | None:
    """The cotangents of a case by the oracle's names; None: the operation has no vjp."""
    outputs = [name for path, name in OPERATIONS[case.field].leaves.items() if path[0] == "y"]
    d = case.dy if isinstance(case.dy, tuple) else (case.dy,)
    return None if case.dy is None else dict(zip(outputs, d, strict=False))


def bounds_of(case: Case) -> dict[str, Array]:
    """{leaf of the oracle: bound} of a case in float64; a leaf that is not there must be exact."""
    if case.field in BOUNDS:
        return _renamed(case, BOUNDS[case.field](*case.args, case.dy))
    return dict(LIMITS[case.field](**inputs_of(case), d=cotangent_of(case)))


def cases() -> Iterator[Case]:
    """Of all operations, in float64."""
    return chain(_discretisation(), _scans(), _dense(), _norms(), _elementwise(), _pools(), _losses())


def _discretisation() -> Iterator[Case]:
    angles = np.exp(1j * np.linspace(-np.pi, np.pi, 7))
    radii = np.array([1e-30, 1e-9, 1e-4, 0.3, 0.99, 1.01, 1.49, 1.51, 2.0, 7.0, 30.0])
    near_zeros = np.array([2j * np.pi, -6j * np.pi, -2.0888 + 7.4615j, 2.0888 + 7.4615j])
    z = np.concatenate(
        [[0], np.outer(radii, angles).ravel(), near_zeros, (near_zeros[:, None] + 1e-3 * angles).ravel()]
    )
    for field in ("phi1", "phi1_prime", "phi2"):
        yield Case(field, "plane", (z,), np.ones_like(z))
    for method, shape in product((*OF_THE_STEP, "first_order_hold"), ((), (4,), (2, 3, 4))):
        n = Normal("certify", "discretize", method, len(shape))
        Lambda = -np.exp(2 * n(4)) + 10j * n(4)
        Delta = np.exp(n(*shape) * 1.5 - 2)
        d = n.complex(*(shape or (4,))), n.complex(*(shape or (4,)))
        if method in OF_THE_STEP:
            yield Case("discretize", f"{method}, Δ {shape}", (Lambda, Delta, method), d)
        else:
            yield Case(method, f"Δ {shape}", (Lambda, Delta), (*d, n.complex(*(shape or (4,)))))
    for shape, events in product(((), (4,)), (False, True)):
        n = Normal("certify", "asynchronous", len(shape), events)
        Lambda, Delta = -np.exp(2 * n(4)) + 10j * n(4), np.exp(n(*shape) * 1.5 - 2)
        interval = np.exp(n(2, 3, 1)) * (n(2, 3, 1) > -0.5) if events else None  # some at the same time
        d = n.complex(*((2, 3, 4) if events else (4,))), n.complex(4)
        yield Case("asynchronous", f"Δ {shape}{', events' * events}", (Lambda, Delta, interval), d)
    n = Normal("certify", "timescale")
    yield Case("timescale", "regular", (2 * n(4) - 3, 2.0, 4), n(4))
    yield Case("timescale", "one of all states", (2 * n(1) - 3, 0.5, 4), n(4))
    yield Case("clip_eigs", "both sides", (np.array([-3.0, -2e-4, -1e-5, 0.0, 0.4]),), n(5))


def _scans() -> Iterator[Case]:
    for L, reverse, varying in product((1, 2, 9), (False, True), (False, True)):
        n = Normal("certify", "scan", L, reverse, varying)
        case = scan_case(n, f"L={L}", (2, L, 3), reverse, varying)
        yield case
        args = *case.args, n.rng.random((2, L)) < 0.4, n.complex(3)
        yield case._replace(field="scan_episodes", args=args)


def _dense() -> Iterator[Case]:
    for (shape, outputs), biased in product((((1, 1, 1), 1), ((2, 3, 5), 4), ((2, 9), 3)), (True, False)):
        n = Normal("certify", "linear", *shape, biased)
        args = n(*shape), n(shape[-1], outputs), n(outputs) if biased else None
        yield Case("linear", f"{shape}→{outputs}{', bias' if biased else ''}", args, n(*shape[:-1], outputs))
    for name, images, kernel, stride, padding in (
        ("one pixel of each", (2, 2, 2, 1), (1, 1, 1, 1), 1, 0),
        ("5 × 5", (2, 4, 6, 1), (5, 5, 1, 2), 1, 2),
        ("stride 2", (2, 8, 4, 2), (3, 3, 2, 3), 2, 1),
    ):
        n = Normal("certify", "conv_pool", name)
        x, bias = n(*images), n(kernel[3])
        bias[0] -= 2  # so that some squares are below 0
        y = SEQUENTIAL.conv_pool.value(x, n(*kernel), bias, stride, padding)[0]
        given = x, n(*kernel), bias, stride, padding
        yield Case("conv_pool", name, given, n(*y.shape))
    n = Normal("certify", "embed")
    yield Case("embed", "2×7 tokens", (n.rng.integers(0, 4, (2, 7)), n(4, 3), n(3)), n(2, 7, 3))


def _norms() -> Iterator[Case]:
    for H, mean in ((1, 0.0), (2, 3.0), (7, 0.0), (7, 1000.0)):
        n = Normal("certify", "layer_norm", H, int(mean))
        yield Case("layer_norm", f"H={H}, mean {mean:g}", (n(2, 3, H) + mean, n(H), n(H)), n(2, 3, H))
    for N, L, mean in ((1, 1, 0.0), (2, 5, 0.0), (2, 5, 100.0)):
        for how in ("training", "training, masked", "evaluation"):
            n = Normal("certify", "batch_norm", N, L, int(mean), how)
            valid = np.arange(L)[None, :, None] < np.array([L, 2, 1][:N])[:, None, None]
            args = (
                n(N, L, 3) + mean, n(3), n(3), Running(n(3), n(3) ** 2 + 0.1), 0.95, how != "evaluation",
                valid if "masked" in how else None,
            )  # fmt: skip
            yield Case("batch_norm", f"{N}×{L}×3, mean {mean:g}, {how}", args, n(N, L, 3))


def _elementwise() -> Iterator[Case]:
    n = Normal("certify", "elementwise")
    tails = np.concatenate(
        [-np.logspace(-30, 0.7, 30), [0.0], np.logspace(-30, 2, 30), -np.linspace(0, 8, 33)]
    )
    for stage in ("gelu_tanh", "gelu_erf", "sigmoid"):
        for name, x in (("N(0, 3²)", 3 * n(1, 40, 1)), ("tails and 0", tails[None, :, None])):
            yield Case(stage, name, (x,), None if stage == "sigmoid" else n(*x.shape))
    for stage in ("relu", "tanh", "exp_linear"):
        for name, x in (("N(0, 3²)", 3 * n(1, 40, 1)), ("tails", tails[tails != 0][None, :, None])):
            yield Case(stage, name, (x,), n(*x.shape))
    z = np.concatenate([6 * n(40), np.linspace(-80, 80, 41)])[None, :, None]
    yield Case("glu", "z to ±80", (n(*z.shape), z), n(*z.shape))
    mask = np.where(n(2, 1, 3) > 0, 1 / 0.7, 0.0)
    yield Case("dropout", "rate 0.3", (n(2, 4, 3), mask), n(2, 4, 3))


POOLS = ("pool_mean", "pool_last", "pool_max", "pool_mean_max")


def _pools() -> Iterator[Case]:
    for stage, padded in product(POOLS, (False, True)):
        n = Normal("certify", stage, padded)
        x, lengths = n(3, 7, 2), n.rng.integers(1, 8, 3) if padded else None
        yield Case(stage, "padded" if padded else "whole", (x, lengths), n(3, 2))
        if "max" in stage:  # whole numbers, several of them the largest
            ties = n.rng.integers(-1, 2, (3, 7, 2)).astype(float)
            yield Case(stage, "ties, padded" if padded else "ties", (ties, lengths), n(3, 2))

    for mode, padded in product(windows.MODES, (False, True)):
        n = Normal("certify", "pool_windows", mode, padded)
        valid = np.arange(7)[None, :, None] < np.array([7, 4, 1])[:, None, None] if padded else None
        yield Case("pool_windows", f"{mode}{', padded' * padded}", (n(3, 7, 2), 3, mode, valid), n(3, 3, 2))


def _losses() -> Iterator[Case]:
    n = Normal("certify", "losses")
    for size in (1.0, 20.0):
        yield Case("log_softmax", f"logits of size {size:g}", (size * n(3, 5),), n(3, 5))
    targets, d = n.rng.integers(0, 5, 3), n(1)[0]
    yield Case("cross_entropy", "3 of 5", (-np.abs(n(3, 5)), targets), d)
    for name, lengths in (("whole", [4, 4]), ("padded", [2, 4])):
        valid = np.arange(4)[None, :, None] < np.array(lengths)[:, None, None]
        args = n(2, 4, 3), n(2, 4, 3), None if name == "whole" else valid
        yield Case("mse", name, args, d)
    var = np.abs(n(2, 3, 4)) + 1e-3
    var[0] = 1e-9
    yield Case("gaussian_nll", "some at the floor", (n(2, 3, 4), var, n(2, 3, 4), None), d)
    valid = np.arange(3)[None, :, None] < np.array([3, 1])[:, None, None]
    yield Case("gaussian_nll", "padded", (n(2, 3, 4), var + 1e-3, n(2, 3, 4), valid), d)
    yield Case("mse", "of sequences", (n(3, 4), n(3, 4), None), d)
