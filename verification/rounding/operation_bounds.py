"""A-priori error bounds of the operations that are no kernel field, in units of eps, as in
`s5ref.verification.rounding.bounds`.

Each takes the arguments by name and the cotangent of the value, all in float64, and returns {leaf: bound} for
the leaves of the oracle's stage. Products of exact numbers cost UNIT, complex ones √5 UNIT; a quotient of
complex numbers 5 (as in discretization_bounds).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s5ref.arrays import Array
from s5ref.ssm.phi import PHI1_SECOND, PHI2_PRIME
from s5ref.ssm.phi import phi1_prime as phi1_prime_value
from s5ref.verification.rounding.bounds import scan
from s5ref.verification.rounding.budget import COMPLEX_STEP, EXP, UNIT, accumulated
from s5ref.verification.rounding.discretization_bounds import (
    asynchronous,
    bilinear,
    dirac,
    first_order_hold,
    phi1,
    phi1_prime,
    phi1_second,
    phi2,
    phi2_prime,
    zoh,
)

Bounds = dict[str, Array]
PRODUCT = 5**0.5 * UNIT  # of two complex numbers
LOG = 2.0  # real logarithm, in units of eps
TANH = 4.0  # real hyperbolic tangent, in units of eps: what NumPy grants its vectorised loops


def discretize(Lambda: Array, Delta: Array, method: str, d: dict[str, Array]) -> Bounds:
    """z = ΛΔ is rounded first: φ₁′ moves by |z φ₁″| u; |z φ₁″| = |eᶻ − 2φ₁′| ≤ |z| max(1, |eᶻ|)/3."""
    da, dg = np.abs(d["Lambda_bar"]), np.abs(d["gain"])
    z, size = Lambda * Delta, np.abs(Lambda)
    if method == "zoh":
        value = zoh(Lambda, Delta)
        a, prime = np.abs(np.exp(z)), np.abs(phi1_prime_value(z))
        slope = np.abs(Delta) * prime
        e_a = value["0"]
        moved = np.minimum(a + 2 * prime, np.abs(z) * np.maximum(1, a) / 3)
        e_slope = np.abs(Delta) * (phi1_prime(z) + UNIT * moved) + UNIT * slope
        parts = a * da + slope * dg
        e_z = e_a * da + e_slope * dg + PRODUCT * parts + UNIT * parts
        inner = size * da + dg
        e_Delta = e_a * inner + a * (PRODUCT * size * da + UNIT * inner) + PRODUCT * a * inner
        total_z, total_Delta = parts, a * inner
    elif method == "dirac":
        value = dirac(Lambda, Delta)
        total_z = np.abs(np.exp(z)) * da
        e_z = value["0"] * da + PRODUCT * total_z
        total_Delta = size * total_z
        e_Delta = size * e_z + PRODUCT * total_Delta
    else:
        value = bilinear(Lambda, Delta)
        inverse = np.abs(1 / (1 - z / 2))
        relative = value["1"] / (np.abs(Delta) * inverse) - UNIT
        square = inverse**2
        total_z, total_Delta = square * (da + Delta / 2 * dg), square * (size * da + dg)
        e_z = total_z * (2 * relative + 2 * PRODUCT + 2 * UNIT)
        e_Delta = total_Delta * (2 * relative + 2 * PRODUCT + UNIT) + square * PRODUCT * size * da
    e_Lambda, e_Delta = _summed(Lambda, Delta, (e_z, total_z), (e_Delta, total_Delta))
    return {"Lambda_bar": value["0"], "gain": value["1"], "d.Lambda": e_Lambda, "d.Delta": e_Delta}


def _summed(
    Lambda: Array, Delta: Array, dz: tuple[Array, Array], dDelta: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The bounds of dΛ and dΔ from (bound, sum of absolute values) of dz and of dΔ before its sum."""
    (e_z, total_z), (e_Delta, total_Delta) = dz, dDelta
    shape = np.broadcast_shapes(Lambda.shape, np.shape(Delta))
    steps = int(np.prod(shape[:-1]))
    e_Lambda = (
        (Delta * e_z + (UNIT + (accumulated(steps) if steps > 1 else 0)) * Delta * total_z)
        .reshape(steps, -1)
        .sum(0)
    )
    if np.ndim(Delta) == 0:
        e_Delta = (e_Delta + accumulated(e_Delta.size) * total_Delta).sum()
    return e_Lambda, e_Delta


def event(Lambda: Array, Delta: Array, interval: Array | None, d: dict[str, Array]) -> Bounds:
    """Of async: the decay as of dirac over Δ_k = Δ · interval, a rounded product, which moves Λ̄ by |z
    Λ̄| u; the
    gain as of zero-order hold over Δ. dΔ sums over the intervals; each sum of the two parts is one
    rounding more.
    """
    da, dg, size = np.abs(d["Lambda_bar"]), np.abs(d["gain"]), np.abs(Lambda)
    times: Array = np.ones(()) if interval is None else np.asarray(interval)
    step, value = Delta * times, asynchronous(Lambda, Delta, interval)
    total = np.abs(np.exp(Lambda * step)) * da
    e_z = value["0"] * da + (PRODUCT + UNIT) * total
    e_Delta = times * (size * e_z + (PRODUCT + 2 * UNIT) * size * total)
    total_Delta = np.broadcast_to(times * size * total, e_Delta.shape)
    e_decay_Lambda, _ = _summed(Lambda, step, (e_z, total), (e_Delta, total_Delta))
    axes = tuple(range(e_Delta.ndim - np.ndim(Delta)))
    terms = int(np.prod([e_Delta.shape[axis] for axis in axes], dtype=int))
    e_decay_Delta = (e_Delta + (accumulated(terms) if axes else 0) * total_Delta).sum(axes)
    none = {"Lambda_bar": np.zeros_like(d["gain"]), "gain": d["gain"]}
    hold, z = discretize(Lambda, Delta, "zoh", none), Lambda * Delta
    held_Lambda, held_Delta = Delta**2 * np.abs(phi1_prime_value(z)) * dg, np.abs(np.exp(z)) * dg
    both_Lambda = (step * total).reshape(-1, len(Lambda)).sum(0) + held_Lambda
    both_Delta = total_Delta.sum(axes) + (held_Delta.sum() if np.ndim(Delta) == 0 else held_Delta)
    return {
        "Lambda_bar": value["0"],
        "gain": value["1"],
        "d.Lambda": e_decay_Lambda + hold["d.Lambda"] + UNIT * both_Lambda,
        "d.Delta": e_decay_Delta + hold["d.Delta"] + UNIT * both_Delta,
    }


def hold(Lambda: Array, Delta: Array, d: dict[str, Array]) -> Bounds:
    """Of first-order hold. z = ΛΔ is rounded first: φ₁″ and φ₂′ move by |z φ₁‴| u and |z φ₂″| u, where
    z φ₁‴ = eᶻ − 3φ₁″, z φ₂″ = φ₁″ − 2φ₂′, |φ₁‴| ≤ max(1, |eᶻ|)/4, |φ₂″| ≤ max(1, |eᶻ|)/12.
    """
    da, db, dn = (np.abs(d[name]) for name in ("Lambda_bar", "gain_before", "gain_now"))
    z, size, step = Lambda * Delta, np.abs(Lambda), np.abs(Delta)
    value = first_order_hold(Lambda, Delta)
    a, second, prime = np.abs(np.exp(z)), np.abs(PHI1_SECOND(z)), np.abs(PHI2_PRIME(z))
    most = np.abs(z) * np.maximum(1, a)
    e_second = phi1_second(z) + UNIT * (np.minimum(a + 3 * second, most / 4) + second)
    e_prime = phi2_prime(z) + UNIT * (np.minimum(second + 2 * prime, most / 12) + prime)
    total_z = a * da + step * (second * db + prime * dn)
    e_z = value["0"] * da + step * (e_second * db + e_prime * dn) + (PRODUCT + 2 * UNIT) * total_z
    before, inner, both = np.abs(phi1_prime_value(z)), size * da + db, db + dn
    e_before = phi1_prime(z) + UNIT * np.abs(z * PHI1_SECOND(z))
    total_Delta = a * inner + before * both
    e_Delta = value["0"] * inner + e_before * both + 2 * (PRODUCT + UNIT) * total_Delta
    e_Lambda, e_Delta = _summed(Lambda, Delta, (e_z, total_z), (e_Delta, total_Delta))
    names = ("Lambda_bar", "gain_before", "gain_now")
    values = {name: value[str(i)] for i, name in enumerate(names)}
    return values | {"d.Lambda": e_Lambda, "d.Delta": e_Delta}


def _holomorphic(value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Callable[..., Bounds]:
    return lambda z, d: {"y": value(z), "d.z": slope(z) * np.abs(d["y"])}


def timescale(log_step: Array, rescale: float, states: int, d: dict[str, Array]) -> Bounds:
    Delta = np.broadcast_to(rescale * np.exp(log_step), (states,))
    relative, terms = EXP + UNIT, np.abs(Delta * d["Delta"])
    e = (relative + UNIT) * terms
    if len(log_step) != states:  # and the roundings of the sum
        e = e.sum(keepdims=True) + states * UNIT * terms.sum(keepdims=True)
    return {"Delta": relative * Delta, "d.log_step": e}


def clip_eigs(Lambda_re: Array, d: dict[str, Array]) -> Bounds:
    """One rounding of the constant where it holds; nothing elsewhere."""
    return {"y": np.where(Lambda_re < -1e-4, 0, UNIT * 1e-4), "d.Lambda_re": np.zeros_like(Lambda_re)}


def sigmoid(x: Array, d: dict[str, Array]) -> Bounds:
    """1/(1 + e⁻ˣ): EXP reaches it by the factor σ(−x). Has no vjp of its own."""
    s = np.exp(-np.logaddexp(0, -x))
    return {"y": s * (EXP * np.exp(-np.logaddexp(0, x)) + 2 * UNIT)}


def relu(x: Array, d: dict[str, Array]) -> Bounds:
    return {"y": np.zeros_like(x), "d.x": np.zeros_like(x)}


def tanh(x: Array, d: dict[str, Array]) -> Bounds:
    """The slope is (1 − y)(1 + y): four products and sums, and 2|y| times the error of y."""
    y = np.abs(np.tanh(x))
    return {"y": TANH * y, "d.x": np.abs(d["y"]) * (2 * TANH * y * y + 4 * UNIT * (1 - y * y))}


def exp_linear(x: Array, d: dict[str, Array]) -> Bounds:
    """The exponential is its own slope; above 0 the value is one sum, and the slope 1."""
    y, below = np.exp(np.minimum(x, 0)), x < 0
    return {
        "y": np.where(below, EXP * y, UNIT * (1 + np.abs(x))),
        "d.x": np.where(below, (EXP + UNIT) * y * np.abs(d["y"]), 0),
    }


def dropout(x: Array, mask: Array, d: dict[str, Array]) -> Bounds:
    return {"y": UNIT * np.abs(x * mask), "d.x": UNIT * np.abs(d["y"] * mask)}


def picked(x: Array, lengths: Array | None, d: dict[str, Array]) -> Bounds:
    """The last or the largest step is taken as it is, and so is its cotangent."""
    return {"y": np.zeros_like(x[:, 0]), "d.x": np.zeros_like(x)}


def pool_mean(x: Array, lengths: Array | None, d: dict[str, Array]) -> Bounds:
    """A weighted sum; the weight 1/length is one rounding."""
    weight = _mean_weight(x, lengths)
    return {
        "y": (accumulated(x.shape[1]) + 2 * UNIT) * (np.abs(x) * weight).sum(1),
        "d.x": 2 * UNIT * weight * np.abs(d["y"])[:, None],
    }


def pool_windows(x: Array, stride: int, mode: str, lengths: Array | None, d: dict[str, Array]) -> Bounds:
    """Of a mean a sum of so many terms, with weights that are rounded once; a last step is exact."""
    if mode == "last":
        return {"y": np.zeros_like(d["y"]), "d.x": np.zeros_like(x)}
    N, L, _ = x.shape
    n = np.full(N, L) if lengths is None else lengths
    y, dx = np.zeros_like(d["y"]), np.zeros_like(x)
    for i, j in np.ndindex(*y.shape[:2]):
        steps = slice(j * stride, min((j + 1) * stride, int(n[i])))
        terms = max(1, steps.stop - steps.start)
        y[i, j] = (accumulated(stride) + 2 * UNIT) * np.abs(x[i, steps]).sum(0) / terms
        dx[i, steps] = 2 * UNIT * np.abs(d["y"][i, j]) / terms
    return {"y": y, "d.x": dx}


def pool_mean_max(x: Array, lengths: Array | None, d: dict[str, Array]) -> Bounds:
    """The mean, and one rounding of its sum with the maximum, which is exact; dx is a sum where that is."""
    weight, mean = _mean_weight(x, lengths), pool_mean(x, lengths, d)
    valid = np.where(weight > 0, x, -np.inf)
    maximum = valid.max(1, keepdims=True)
    total = (valid == maximum) * (1 + weight) * np.abs(d["y"])[:, None]
    return {
        "y": mean["y"] + UNIT * np.abs((x * weight).sum(1) + maximum[:, 0]),
        "d.x": mean["d.x"] + UNIT * total,
    }


def _mean_weight(x: Array, lengths: Array | None) -> Array:
    """(N, L, 1)."""
    N, L, _ = x.shape
    n = np.full((N, 1), L) if lengths is None else lengths[:, None]
    return np.asarray((np.arange(L) < n) / n)[:, :, None]


def log_softmax(z: Array, d: dict[str, Array]) -> Bounds:
    """s = z − max; S = Σ eˢ ≥ 1 with the relative error r; log S is off by r and LOG |log S|."""
    s = z - z.max(-1, keepdims=True)
    S = np.exp(s).sum(-1, keepdims=True)
    p = np.exp(s) / S
    r = (p * (EXP + UNIT * np.abs(s))).sum(-1, keepdims=True) + accumulated(z.shape[-1])
    y = s - np.log(S)
    e = UNIT * np.abs(s) + r + LOG * np.log(S) + UNIT * np.abs(y)
    total = np.abs(d["y"]).sum(-1, keepdims=True)
    dz = p * total * (EXP + e + accumulated(z.shape[-1]) + UNIT) + UNIT * (np.abs(d["y"]) + p * total)
    return {"y": e, "d.z": dz}


def cross_entropy(log_probabilities: Array, targets: Array, d: dict[str, Array]) -> Bounds:
    n = len(targets)
    picked = np.abs(log_probabilities[np.arange(n), targets]).sum() / n
    onehot = np.arange(log_probabilities.shape[1]) == targets[:, None]
    return {
        "loss": np.asarray((accumulated(n) + UNIT) * picked),
        "d.log_probabilities": 2 * UNIT * onehot * np.abs(d["loss"]) / n,
    }


def softmax_and_loss(y: Array, targets: Array | None) -> Bounds:
    """Log-softmax, and the mean cross-entropy of it. Log-softmax depends on differences of its arguments
    alone, so that the log-probabilities y stand for them. Neither is a kernel: perturbed runs round neither.
    """
    assert targets is not None
    y = y.astype(np.float64)
    e = log_softmax(y, {"y": np.zeros_like(y)})["y"]
    loss = cross_entropy(y, targets, {"loss": np.ones(())})["loss"]
    return {"output": e, "loss": loss + np.mean(np.take_along_axis(e, targets[:, None], axis=-1))}


def likelihood_and_loss(y: Array, targets: Array, lengths: Array | None) -> Bounds:
    """The variances, which an exponential makes of what a kernel gave, and the negative logarithm of the
    normal likelihood, whose slope by log v is at most ½(1 + error²/v). Neither is a kernel.
    """
    y, targets = y.astype(np.float64), targets.astype(np.float64)
    mean, var = np.split(y, 2, axis=-1)
    loss = gaussian_nll(mean, var, targets, lengths, {"loss": np.ones(())})["loss"]
    v = np.maximum(var, 1e-6)
    moved = EXP * (1 + (mean - targets) ** 2 / v).sum(-1).max() / 2
    return {"output": np.concatenate([np.zeros_like(mean), EXP * var], axis=-1), "loss": loss + moved}


def mse(y: Array, target: Array, lengths: Array | None, d: dict[str, Array]) -> Bounds:
    error = np.abs(y - target)
    if lengths is not None:
        error = error * (np.arange(y.shape[1])[None, :] < lengths[:, None])[:, :, None]
    count = error.size if lengths is None else int(lengths.sum()) * y.shape[2]
    return {
        "loss": np.asarray((accumulated(error.size) + 4 * UNIT) * (error**2).sum() / count),
        "d.y": 4 * UNIT * 2 * np.abs(d["loss"]) * error / count,
    }


def gaussian_nll(
    mean: Array, var: Array, target: Array, lengths: Array | None, d: dict[str, Array]
) -> Bounds:
    """log v + error²/v + log 2π term by term; where the floor holds v itself is one rounding off."""
    v, error = np.maximum(var, 1e-6), np.abs(mean - target)
    off = UNIT * (var <= 1e-6)
    valid = np.ones_like(error[..., :1])
    if lengths is not None:
        valid = 1.0 * (np.arange(error.shape[1])[None, :] < lengths[:, None])[:, :, None]
    terms = np.abs(np.log(v)) + error**2 / v + np.log(2 * np.pi)
    each = LOG * np.abs(np.log(v)) + off + error**2 / v * (4 * UNIT + off) + 3 * UNIT * terms
    rows = valid.sum()
    loss = (valid * (each + accumulated(error.size + 1) * terms)).sum() / 2 / rows
    scale = valid * np.abs(d["loss"]) / rows
    dvar = np.where(var <= 1e-6, 0, scale / 2 * (1 / v + (error / v) ** 2) * 6 * UNIT)
    return {"loss": np.asarray(loss), "d.mean": scale * error / v * (4 * UNIT + off), "d.var": dvar}


def scan_episodes(
    Lambda_bar: Array,
    Bu: Array,
    x0: Array,
    reverse: bool,
    resets: Array,
    reset_state: Array | None,
    d: dict[str, Array],
) -> Bounds:
    """The bound of the folded scan is E_k ≥ c M_k, so the roundings of Bu_k + Λ̄_k s at most double it; that
    of the adjoint states g is at least c |g|, so it covers a product with g as well.
    """
    at, s = resets[:, :, None], np.zeros(Bu.shape[2]) if reset_state is None else np.abs(reset_state)
    a = np.broadcast_to(np.abs(Lambda_bar), Bu.shape)
    folded = np.where(at, 0, a), np.abs(Bu) + np.where(at, a * s, 0), np.abs(x0), reverse
    sizes = scan(*folded, (d.get("x"), d.get("x_last")))
    g = sizes["d.1"]
    of_multipliers = np.where(at, 2 * s * g, 2 * sizes["d.0"])
    summed = 1 + accumulated(a[..., 0].size) / COMPLEX_STEP
    if Lambda_bar.ndim == 1:
        of_multipliers = summed * of_multipliers.sum((0, 1))
    return {
        "x": 2 * sizes["y.0"],
        "x_last": 2 * sizes["y.1"],
        "d.Lambda_bar": of_multipliers,
        "d.Bu": g,
        "d.x0": sizes["d.2"],
        "d.reset_state": (1 + summed) * np.where(at, a * g, 0).sum((0, 1)),
    }


LIMITS: dict[str, Callable[..., Bounds]] = {
    "scan_episodes": scan_episodes,
    "phi1": _holomorphic(phi1, phi1_prime),
    "phi1_prime": _holomorphic(phi1_prime, phi1_second),
    "phi2": _holomorphic(phi2, phi2_prime),
    "discretize": discretize,
    "first_order_hold": hold,
    "asynchronous": event,
    "timescale": timescale,
    "clip_eigs": clip_eigs,
    "sigmoid": sigmoid,
    "relu": relu,
    "tanh": tanh,
    "exp_linear": exp_linear,
    "dropout": dropout,
    "pool_mean": pool_mean,
    "pool_last": picked,
    "pool_max": picked,
    "pool_mean_max": pool_mean_max,
    "pool_windows": pool_windows,
    "log_softmax": log_softmax,
    "cross_entropy": cross_entropy,
    "mse": mse,
    "gaussian_nll": gaussian_nll,
}
