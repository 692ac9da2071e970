"""Right implementations that differ from the reference in every way in which an S5 may: the kit must pass
them all and name nothing.

Most are changes of the reference, like the mistakes; a few are candidates of their own.
``s5ref check s5ref.verification.conformance.mutants.planted:all_states`` judges one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from s5ref.arrays import Array
from s5ref.engines import NUMPY, SEQUENTIAL
from s5ref.nn.activation import GeluTanhResiduals
from s5ref.nn.norm import BATCH_NORM_EPS, LAYER_NORM_EPS, BatchNormResiduals, LayerNormResiduals, Running
from s5ref.optim.adamw import B1, B2, EPS, Moments
from s5ref.ssm.scan import ScanResiduals
from s5ref.tree import map_leaves
from s5ref.verification.conformance.kit.engine import EngineCandidate
from s5ref.verification.conformance.mutants.mutant import Mutant, mutant
from s5ref.verification.conformance.protocol import SIGNATURES
from s5ref.verification.conformance.stages.forms import PAIRS
from s5ref.verification.conformance.stages.stage import Answer
from s5ref.verification.rounding.budget import cast

SCAN, SCAN_VJP = "ssm.scan:sequential_scan", "ssm.scan:sequential_scan_vjp"
SSM, SSM_VJP = "ssm.ssm:ssm", "ssm.ssm:ssm_vjp"
PIECE = 3  # steps
Elements = tuple[Array, Array]


def _steps(Lambda_bar: Array, part: slice) -> Array:
    return Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part]


def _parts(L: int, reverse: bool) -> list[slice]:
    """Pieces of the sequence in the order in which a scan comes to them."""
    parts = [slice(k, min(k + PIECE, L)) for k in range(0, L, PIECE)]
    return parts[::-1] if reverse else parts


def _in_pieces(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """Pieces of three steps, with the state carried from one to the next."""
    x, state = np.empty_like(Bu), x0
    for part in _parts(Bu.shape[1], reverse):
        (x[:, part], state), _ = scan(_steps(Lambda_bar, part), Bu[:, part], state, reverse)
    return (x, state), ScanResiduals(Lambda_bar, x, x0, reverse)


def _in_pieces_vjp(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    Lambda_bar, x, x0, reverse = residuals
    dx, carried = d
    dBu, dLambda_bar = np.empty_like(x), np.zeros_like(Lambda_bar)
    for part in reversed(_parts(x.shape[1], reverse)):
        before = part.stop if reverse else part.start - 1
        start = x[:, before] if 0 <= before < x.shape[1] else x0
        piece = ScanResiduals(_steps(Lambda_bar, part), x[:, part], start, reverse)
        da, dBu[:, part], carried = vjp(piece, (None if dx is None else dx[:, part], carried))
        if Lambda_bar.ndim == 1:
            dLambda_bar = dLambda_bar + da
        else:
            dLambda_bar[:, part] = da
    return dLambda_bar, dBu, carried


def _joined(earlier: Elements, later: Elements) -> Elements:
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]


def _odd_even(a: Array, b: Array) -> Elements:
    """All prefixes: those of pairs first, then the steps between."""
    if a.shape[1] < 2:
        return a, b
    pairs = _joined((a[:, :-1:2], b[:, :-1:2]), (a[:, 1::2], b[:, 1::2]))
    odd, (out_a, out_b) = _odd_even(*pairs), (a.copy(), b.copy())
    later = a[:, 2::2], b[:, 2::2]
    even = _joined((odd[0][:, : later[0].shape[1]], odd[1][:, : later[0].shape[1]]), later)
    for out, at_odd, at_even in ((out_a, odd[0], even[0]), (out_b, odd[1], even[1])):
        out[:, 1::2], out[:, 2::2] = at_odd, at_even
    return out_a, out_b


def _doubling(a: Array, b: Array) -> Elements:
    """All prefixes: of 1, 2, 4, … steps."""
    width = 1
    while width < a.shape[1]:
        later = _joined((a[:, :-width], b[:, :-width]), (a[:, width:], b[:, width:]))
        a, b = (np.concatenate([z[:, :width], new], axis=1) for z, new in zip((a, b), later, strict=True))
        width *= 2
    return a, b


def _associative(
    prefixes: Callable[[Array, Array], Elements], scan: Any, Lambda_bar: Array, Bu: Array,
    x0: Array | None = None, reverse: bool = False,
) -> Any:  # fmt: skip
    """A parallel scan of (a, b) • (a', b') = (a' a, a' b + b'); x0 is part of the first step."""
    order = slice(None, None, -1 if reverse else 1)
    a, b = np.broadcast_to(Lambda_bar, Bu.shape)[:, order], Bu[:, order].copy()
    if x0 is not None:
        b[:, 0] += a[:, 0] * x0
    x = prefixes(a, b)[1]
    return (x[:, order], x[:, -1]), ScanResiduals(Lambda_bar, x[:, order], x0, reverse)


def _example_by_example(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """A loop over the batch."""
    rows = [
        scan(
            Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[n : n + 1], Bu[n : n + 1],
            None if x0 is None else x0[n : n + 1], reverse,
        )[0]
        for n in range(len(Bu))
    ]  # fmt: skip
    x, last = (np.concatenate(leaves) for leaves in zip(*rows, strict=True))
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def _real_parts(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """Real and imaginary parts apart, time first, and what comes out is a view that is not contiguous."""
    a, order = np.broadcast_to(Lambda_bar, Bu.shape), range(Bu.shape[1])
    state = np.zeros_like(Bu[:, 0]) if x0 is None else x0
    re, im = state.real, state.imag
    x = np.empty((Bu.shape[1], len(Bu), Bu.shape[2]), Bu.dtype)
    for k in reversed(order) if reverse else order:
        c, s = a[:, k].real, a[:, k].imag
        re, im = c * re - s * im + Bu[:, k].real, c * im + s * re + Bu[:, k].imag
        x[k].real, x[k].imag = re, im
    x = x.transpose(1, 0, 2)
    return (x, x[:, 0 if reverse else -1]), ScanResiduals(Lambda_bar, x, x0, reverse)


def _padded(scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """Lengths filled up to a multiple of eight by steps (1, 0)."""
    L = Bu.shape[1]
    more = [(0, 0), (-L % 8, 0) if reverse else (0, -L % 8), (0, 0)]
    a = np.pad(np.broadcast_to(Lambda_bar, Bu.shape), more, constant_values=1)
    (x, last), _ = scan(a, np.pad(Bu, more), x0, reverse)
    x = np.ascontiguousarray(x[:, -L:] if reverse else x[:, :L])
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def _by_expm1(zoh: Any, Lambda: Array, Delta: Array) -> Any:
    """gain = expm1(ΛΔ)/Λ, and Δ where Λ = 0."""
    (Lambda_bar, _), residuals = zoh(Lambda, Delta)
    zero = np.broadcast_to(Lambda == 0, Lambda_bar.shape)
    with np.errstate(all="ignore"):
        gain = np.where(zero, residuals.Delta + 0 * Lambda_bar, np.expm1(Lambda * residuals.Delta) / Lambda)
    return (Lambda_bar, gain.astype(Lambda_bar.dtype)), residuals


def _by_sinh(zoh: Any, Lambda: Array, Delta: Array) -> Any:
    """gain = Δ e^(z/2) sinh(z/2)/(z/2), z = ΛΔ."""
    (Lambda_bar, _), residuals = zoh(Lambda, Delta)
    half = Lambda * residuals.Delta / 2
    safe = np.where(half == 0, np.ones_like(half), half)
    quotient = np.where(half == 0, np.ones_like(half), np.sinh(safe) / safe)
    return (Lambda_bar, residuals.Delta * np.exp(half) * quotient), residuals


AXES = {"Lambda_re": 0, "Lambda_im": 0, "log_step": 0, "B": 0, "x0": 0, "x0_1": 0, "x0_2": 0,
        "C": 1, "C1": 1, "C2": 1}  # fmt: skip


def _moved(move: Callable[[str, Array], Array], leaves: Mapping[str, Array], kept: int) -> dict[str, Array]:
    """The leaves with an axis of states after ``move``; a C of both directions is moved half by half."""
    moved = dict(leaves)
    for name in AXES.keys() & leaves.keys():
        leaf = leaves[name]
        parts = np.split(leaf, leaf.shape[AXES[name]] // kept, axis=AXES[name])
        moved[name] = np.concatenate([move(name, part) for part in parts], axis=AXES[name])
    return moved


def _of_state(move: Callable[[Array], Array], state: Array | None, kept: int) -> Array | None:
    """A carried state (N, S), or its cotangent, after ``move`` of each of its parts (N, P')."""
    if state is None:
        return None
    parts = np.split(state, state.shape[1] // kept, axis=1)
    return np.concatenate([move(part) for part in parts], axis=1)


def _flip(name: str, leaf: Array) -> Array:
    return np.flip(leaf, AXES[name])


def _reordered(ssm: Any, params: Any, u: Array, options: Any, call: Any, x0: Array | None = None) -> Any:
    """The states stand in the opposite order inside."""
    kept, turn = len(params["B"]), partial(np.flip, axis=1)
    (y, state), residuals = ssm(_moved(_flip, params, kept), u, options, call, _of_state(turn, x0, kept))
    return (y, _of_state(turn, state, kept)), residuals


def _reordered_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    kept, turn = len(residuals.params["B"]), partial(np.flip, axis=1)
    dparams, du, dx0 = vjp(residuals, (d[0], _of_state(turn, d[1], kept)), options, call)
    return _moved(_flip, dparams, kept), du, _of_state(turn, dx0, kept)


SCALE = 3.0  # of the states inside


def _scale(name: str, leaf: Array) -> Array:
    scale = leaf.dtype.type(SCALE)
    if name.startswith("C"):
        return np.asarray(leaf / scale)
    return np.asarray(leaf * scale) if name.startswith(("B", "x0")) else leaf


def _scaled(ssm: Any, params: Any, u: Array, options: Any, call: Any, x0: Array | None = None) -> Any:
    """The states are three times as large inside: B · 3, C / 3."""
    kept, scale = len(params["B"]), u.dtype.type(SCALE)
    start = None if x0 is None else x0 * scale
    (y, state), residuals = ssm(_moved(_scale, params, kept), u, options, call, start)
    return (y, state / scale), residuals


def _scaled_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    kept, scale = len(residuals.params["B"]), d[0].dtype.type(SCALE)
    dparams, du, dx0 = vjp(residuals, (d[0], None if d[1] is None else d[1] / scale), options, call)
    return _moved(_scale, dparams, kept), du, dx0 * scale


def _conjugate(name: str, leaf: Array) -> Array:
    if name in PAIRS:
        return np.asarray(leaf * np.array([1, -1], leaf.dtype))
    return np.negative(leaf) if name == "Lambda_im" else leaf


def _with_conjugates(name: str, leaf: Array) -> Array:
    return np.concatenate([leaf, _conjugate(name, leaf)], axis=AXES[name])


def _added(name: str, d: Array) -> Array:
    one, other = np.split(d, 2, axis=AXES[name])
    return one + _conjugate(name, other)


def _all_states(ssm: Any, params: Any, u: Array, options: Any, call: Any, x0: Array | None = None) -> Any:
    """Both states of each conjugate pair are kept inside, and y = Re(C x) + D ∘ u."""
    if not options.conj_sym:
        return ssm(params, u, options, call, x0)
    kept = len(params["B"])

    def both(x: Array) -> Array:
        return np.concatenate([x, np.conj(x)], axis=1)

    given = _moved(_with_conjugates, params, kept), u, replace(options, conj_sym=False), call
    (y, state), residuals = ssm(*given, _of_state(both, x0, kept))
    return (y, _of_state(lambda x: x[:, :kept], state, 2 * kept)), residuals


def _all_states_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    if not options.conj_sym:
        return vjp(residuals, d, options, call)
    kept = len(residuals.params["B"]) // 2
    dstate = _of_state(lambda x: np.concatenate([x, np.zeros_like(x)], axis=1), d[1], kept)
    dparams, du, dx0 = vjp(residuals, (d[0], dstate), replace(options, conj_sym=False), call)
    dx0 = _of_state(lambda x: x[:, :kept] + np.conj(x[:, kept:]), dx0, 2 * kept)
    return _moved(_added, dparams, 2 * kept), du, dx0


def _gelu_by_tanh(gelu_tanh: Any, x: Array) -> Any:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), as it is written."""
    root, cubic = x.dtype.type(np.sqrt(2 / np.pi)), x.dtype.type(0.044715)
    return x * (1 + np.tanh(root * (x + cubic * x * x * x))) / 2, GeluTanhResiduals(x)


def _sigmoid_by_tanh(sigmoid: Any, x: Array) -> Array:
    """(1 + tanh(x/2))/2."""
    return np.asarray((1 + np.tanh(x / 2)) / 2)


def _layer_norm_by_moments(layer_norm: Any, x: Array, scale: Array, bias: Array) -> Any:
    """max(0, E[x²] − E[x]²), as upstream computes the variance."""
    mean = np.mean(x, axis=-1, keepdims=True)
    var = np.maximum(np.mean(x * x, axis=-1, keepdims=True) - mean * mean, 0)
    rstd = 1 / np.sqrt(var + LAYER_NORM_EPS)
    xhat = (x - mean) * rstd
    return scale * xhat + bias, LayerNormResiduals(xhat, rstd, scale)


def _batch_norm_by_moments(
    batch_norm: Any, x: Array, scale: Array, bias: Array, running: Running, momentum: float, *more: Any
) -> Any:
    """max(0, E[x²] − E[x]²), and a running average that moves by a difference, as PyTorch writes it."""
    training, valid = more
    if not training or valid is not None:
        return batch_norm(x, scale, bias, running, momentum, *more)
    mean = np.mean(x, axis=(0, 1))
    var = np.maximum(np.mean(x * x, axis=(0, 1)) - mean * mean, 0)
    rstd = 1 / np.sqrt(var + BATCH_NORM_EPS)
    count = np.full_like(x[:1, 0, :1], x.shape[0] * x.shape[1])[0]
    moved = Running(
        *(old + (1 - momentum) * (new - old) for old, new in zip(running, (mean, var), strict=True))
    )
    shift = bias - mean * (scale * rstd)
    return (x * (scale * rstd) + shift, moved), BatchNormResiduals(x, mean, rstd, scale, valid, count)


def _adamw(
    adamw: Any, params: Any, grads: Any, moments: Any, count: int, groups: Any, rates: Any
) -> tuple[dict[str, Array], Moments]:
    """The decay is a factor of the parameter, and the corrections of the moments are one of the rate."""
    new: tuple[dict[str, Array], ...] = ({}, {}, {})
    corrections = (1 - B2**count) ** 0.5 / (1 - B1**count)
    for name, p in params.items():
        rate, g = rates[groups[name].rate], grads[name]
        m = moments.first[name] + (1 - B1) * (g - moments.first[name])
        v = moments.second[name] + (1 - B2) * (g * g - moments.second[name])
        kept = p * (1 - rate * groups[name].weight_decay)
        step = rate * corrections * m / (np.sqrt(v) + EPS * (1 - B2**count) ** 0.5)
        for kind, leaf in zip(new, (kept - step, m, v), strict=True):
            kind[name] = leaf
    return new[0], Moments(new[1], new[2])


def _other_draws(generator: Any, *key: Any) -> Any:
    """Other random numbers."""
    return generator("another", *key)


def _reordered_init(init_ssm: Any, seed: int, layer: str, config: Any) -> Any:
    """The eigenvalues stand in the opposite order, and B and C with them."""
    return _moved(_flip, init_ssm(seed, layer, config), config.kept)


def _other_phases(init_ssm: Any, seed: int, layer: str, config: Any) -> Any:
    """Eigenvectors of other phases: B̃ turns by θ, C̃ by −θ."""
    turn = np.exp(1j * np.arange(config.kept))

    def turned(name: str, leaf: Array) -> Array:
        if name not in ("B", "C", "C1", "C2"):
            return leaf
        z = leaf[..., 0] + 1j * leaf[..., 1]
        z = turn[:, None] * z if name == "B" else z * np.conj(turn)
        return np.stack([z.real, z.imag], axis=-1)

    return _moved(turned, init_ssm(seed, layer, config), config.kept)


class _Inside(EngineCandidate):
    """Computes in another precision than it is asked in, and rounds what it returns."""

    precision: Any = np.float64

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def answer(self, stage: str, args: tuple[Any, ...], further: Mapping[str, Any]) -> Answer:
        asked = _precision((args, dict(further)))
        wide = [cast(dict(enumerate(args)), self.precision), cast(dict(further), self.precision)]
        outputs, vjp = super().answer(stage, tuple(wide[0].values()), wide[1])
        if vjp is None:
            return cast(outputs, asked), None
        return cast(outputs, asked), lambda d: cast(vjp(cast(d, self.precision)), asked)


def _precision(tree: Any) -> Any:
    """The real dtype of the first floating-point array."""
    found: list[Any] = []
    map_leaves(lambda x: found.append(x.real.dtype) if getattr(x, "dtype", None) is not None
               and x.dtype.kind in "fc" else None, list(tree))  # fmt: skip
    return found[0]


class _Longdouble(_Inside):
    """Extended precision inside, where it is not the GELU of the error function, which has none."""

    precision = np.longdouble

    def answer(self, stage: str, args: tuple[Any, ...], further: Mapping[str, Any]) -> Answer:
        if further.get("gelu") == "erf":
            return EngineCandidate.answer(self, stage, args, further)
        return super().answer(stage, args, further)


class _AllStates(EngineCandidate):
    """Keeps all states and says so by an option."""

    options: ClassVar = {"conj_sym": False}

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def answer(self, stage: str, args: tuple[Any, ...], further: Mapping[str, Any]) -> Answer:
        return super().answer(stage, args, {**further, "conj_sym": False})

    def init(self, config: Mapping[str, Any], seed: int, dtype: str = "float32") -> dict[str, Array]:
        return super().init({**config, "conj_sym": False}, seed, dtype)


class _AllStatesByFeatures(_AllStates):
    """Says so by its features."""

    options: ClassVar = {}

    def __init__(self) -> None:
        super().__init__()
        everything: list[str] = EngineCandidate(SEQUENTIAL).features
        self.features = [feature for feature in everything if feature != "conj_sym"]


class _Numpy(EngineCandidate):
    """The blocked parallel scan."""

    def __init__(self) -> None:
        super().__init__(NUMPY)


class _Forward(EngineCandidate):
    """Without gradients."""

    vjp: Any = None

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)


class _SingleOnly(EngineCandidate):
    """float32 alone."""

    dtypes = ("float32",)

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)


class _Tuples(EngineCandidate):
    """Gradients are a tuple in the order of the arguments, the arrays in the order of Fortran."""

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any, **further: Any) -> Any:
        flat = super().vjp(stage, args, cotangent, **further)
        grads: dict[str, Any] = {name: {} for name in SIGNATURES[stage].differentiable}
        for path, leaf in flat.items():
            name, _, rest = path.partition(".")
            if rest:
                grads[name][rest] = np.asarray(leaf, order="F")
            else:
                grads[name] = np.asarray(leaf, order="F")
        return tuple(d if isinstance(d, np.ndarray) or d else None for d in grads.values())


def _variant(id_: str, stage: str, *changes: tuple[str, Callable[..., Any]]) -> Mutant:
    return mutant(id_, id_.replace("_", " "), stage, *changes, numeric=False)


RIGHT: dict[str, Mutant | type[EngineCandidate]] = {
    variant.id: variant
    for variant in (
        _variant("pieces", "scan", (SCAN, _in_pieces), (SCAN_VJP, _in_pieces_vjp)),
        _variant("odd_even", "scan", (SCAN, partial(_associative, _odd_even))),
        _variant("doubling", "scan", (SCAN, partial(_associative, _doubling))),
        _variant("one_by_one", "scan", (SCAN, _example_by_example)),
        _variant("real_parts", "scan", (SCAN, _real_parts)),
        _variant("padded", "scan", (SCAN, _padded)),
        _variant("expm1", "discretize", ("ssm.discretize:zoh", _by_expm1)),
        _variant("sinh", "discretize", ("ssm.discretize:zoh", _by_sinh)),
        _variant("reordered", "ssm", (SSM, _reordered), (SSM_VJP, _reordered_vjp)),
        _variant("scaled", "ssm", (SSM, _scaled), (SSM_VJP, _scaled_vjp)),
        _variant("all_states", "ssm", (SSM, _all_states), (SSM_VJP, _all_states_vjp)),
        _variant("gelu_by_tanh", "layer", ("nn.activation:gelu_tanh", _gelu_by_tanh)),
        _variant("sigmoid_by_tanh", "layer", ("nn.activation:sigmoid", _sigmoid_by_tanh)),
        _variant("layer_norm_by_moments", "layer", ("nn.norm:layer_norm", _layer_norm_by_moments)),
        _variant("batch_norm_by_moments", "layer", ("nn.norm:batch_norm", _batch_norm_by_moments)),
        _variant("decay_as_a_factor", "update", ("optim.adamw:adamw", _adamw)),
        _variant("other_draws", "init", ("random:generator", _other_draws)),
        _variant("other_phases", "init", ("ssm.module:init_ssm", _other_phases)),
        _variant("reordered_init", "init", ("ssm.module:init_ssm", _reordered_init)),
    )
} | {
    "wide_inside": _Inside, "longdouble_inside": _Longdouble, "blocked": _Numpy, "forward_alone": _Forward,
    "single_alone": _SingleOnly, "tuples": _Tuples, "all_states_declared": _AllStates,
    "all_states_by_features": _AllStatesByFeatures,
}  # fmt: skip
