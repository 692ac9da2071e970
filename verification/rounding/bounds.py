"""A-priori forward error bounds of every kernel field, value and vjp, in units of eps, evaluated in float64
on absolute values.

Each function takes the arguments of the field and the cotangent of its value, and returns {path: bound} for
the tree {"y": …, "saved": …, "d": …}. A leaf without a bound is an argument passed on, and must be equal.
The bounds hold for every order of summation, hence for every engine. `s5ref.verification.rounding.budget`
has the constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtr

from s5ref.arrays import Array
from s5ref.engine import Pair
from s5ref.nn import conv, dense
from s5ref.nn.activation import GELU_CUBIC, GELU_SLOPE, sigmoid
from s5ref.nn.norm import BATCH_NORM_EPS, LAYER_NORM_EPS
from s5ref.verification.rounding.budget import COMPLEX_STEP, EXP, NORMAL_CDF, UNIT, accumulated

Bounds = dict[str, Array]


def embed(tokens: Array, kernel: Array, bias: Array, dy: Array) -> Bounds:
    """One sum for the value; what is not of a token adds nothing to its row of the kernel's cotangent."""
    onehot = np.arange(len(kernel))[:, None] == tokens.reshape(-1)
    rows = np.abs(dy).reshape(tokens.size, -1)
    return {
        "y": UNIT * np.abs(kernel[tokens] + bias),
        "d.0": (onehot.sum(1, keepdims=True) + 1) * UNIT * (onehot @ rows),
        "d.1": accumulated(tokens.size) * rows.sum(0),
    }


def linear(x: Array, W: Array, bias: Array | None, dy: Array) -> Bounds:
    """(K + 1) u |A||B| for each product of inner dimension K; one more term for the bias."""
    inputs, outputs = W.shape
    rows, drows = np.abs(x).reshape(-1, inputs), np.abs(dy).reshape(-1, outputs)
    y = rows @ np.abs(W) + (0 if bias is None else np.abs(bias))
    bounds = {
        "y": accumulated(inputs + 1) * y.reshape(dy.shape),
        "d.0": accumulated(outputs) * (drows @ np.abs(W).T).reshape(x.shape),
        "d.1": accumulated(len(rows)) * (rows.T @ drows),
    }
    return bounds if bias is None else bounds | {"d.2": accumulated(len(rows)) * drows.sum(0)}


def conv_pool(x: Array, kernel: Array, bias: Array, stride: int, padding: int, dy: Array) -> Bounds:
    """Of each pixel a sum of h·w·I products and the bias; the largest of four is off by no more than one of
    them. Backwards dy goes to one pixel as it is, and then through sums of O·h·w and of M·H′·W′ products.
    """
    taps, outputs = kernel[..., 0].size, kernel.shape[3]
    product = Pair(dense.linear, dense.linear_vjp)
    z, of_sizes = conv.conv2d(np.abs(x), np.abs(kernel), np.abs(bias), stride, padding, product)
    y = accumulated(taps + 1) * conv.max_pool2d(z)[0]
    value, residuals = conv.conv_pool(x, kernel, bias, stride, padding, product=product)
    which = conv.MaxPool2dResiduals(residuals.largest)
    dz = conv.max_pool2d_vjp(which, np.where(value > 0, np.abs(dy), 0))
    dx, dkernel, dbias = conv.conv2d_vjp(of_sizes, dz, product)
    rows = z[..., 0].size
    return {
        "y": y,
        "saved.y": y,
        "d.0": accumulated(outputs * kernel.shape[0] * kernel.shape[1]) * dx,
        "d.1": accumulated(rows) * dkernel,
        "d.2": accumulated(rows) * dbias,
    }


def scan(
    Lambda_bar: Array, Bu: Array, x0: Array | None, reverse: bool, dy: tuple[Array | None, Array | None]
) -> Bounds:
    """E_k = |Λ̄_k| E_{k−1} + c M_k, M_k = |Λ̄_k| M_{k−1} + |Bu_k|, for the states and again for the adjoint
    states.

    The term Λ̄_k ⋯ Λ̄_{i+1} Bu_i is a product of k − i factors and passes at most k − i + 1 sums in
    whatever order the elements are combined: the bound holds for a parallel scan as well.
    """
    N, L, P = Bu.shape
    a = np.broadcast_to(np.abs(Lambda_bar), Bu.shape)
    b, zero = np.abs(Bu), np.zeros((N, P))
    dx = np.zeros_like(b) if dy[0] is None else np.abs(dy[0])
    dlast = zero if dy[1] is None else np.abs(dy[1])
    start = zero if x0 is None else np.abs(x0)
    if reverse:
        a, b, dx = a[:, ::-1], b[:, ::-1], dx[:, ::-1]
    M, E = _recurrence(a, b, start)
    ahead = np.concatenate([a[:, 1:], np.ones((N, 1, P))], axis=1)[:, ::-1]
    dx = dx.copy()
    dx[:, -1] += dlast
    Mg, Eg = (z[:, ::-1] for z in _recurrence(ahead, dx[:, ::-1], zero))
    Mbefore = np.concatenate([start[:, None], M[:, :-1]], axis=1)
    Ebefore = np.concatenate([zero[:, None], E[:, :-1]], axis=1)
    d = Eg * Mbefore + Mg * Ebefore + COMPLEX_STEP * Mg * Mbefore
    if Lambda_bar.ndim == 1:
        d = (d + accumulated(N * L) * Mg * Mbefore).sum((0, 1))
    elif reverse:
        d = d[:, ::-1]
    order = slice(None, None, -1 if reverse else 1)
    return {
        "y.0": E[:, order],
        "y.1": E[:, -1],
        "saved.x": E[:, order],
        "d.0": d,
        "d.1": Eg[:, order],
        "d.2": a[:, 0] * (Eg[:, 0] + COMPLEX_STEP * Mg[:, 0]),
    }


def _recurrence(a: Array, b: Array, start: Array) -> tuple[Array, Array]:
    M, E = np.empty_like(b), np.empty_like(b)
    m, e = start, np.zeros_like(start)
    for k in range(b.shape[1]):
        m = a[:, k] * m + b[:, k]
        e = a[:, k] * e + COMPLEX_STEP * m
        M[:, k], E[:, k] = m, e
    return M, E


def _sigmoid(a: Array, argument: float) -> Array:
    """Relative error of σ(a), the argument being off by ``argument`` eps relatively."""
    return np.asarray((argument * np.abs(a) + EXP) * sigmoid(-a) + 2 * UNIT)


def gelu_tanh(x: Array, dy: Array) -> Bounds:
    """x σ(a), a = 2c(x + 0.044715 x³): seven roundings in a, none of which cancels, then those of σ."""
    a = GELU_SLOPE * (x + GELU_CUBIC * x**3)
    seven = 7 * UNIT
    s, relative, other = sigmoid(a), _sigmoid(a, seven), _sigmoid(-a, seven)
    second = np.abs(x) * GELU_SLOPE * (1 + 3 * GELU_CUBIC * x * x) * s * sigmoid(-a)
    d = s * relative + second * (relative + other + 10 * UNIT) + 2 * UNIT * (s + second)
    return {"y": np.abs(x) * s * (relative + UNIT), "d": np.abs(dy) * d}


def gelu_erf(x: Array, dy: Array) -> Bounds:
    """x Φ(x): Φ's argument x/√2 carries two roundings, which Φ amplifies by |x| φ/Φ."""
    cdf, slope = ndtr(x), np.abs(x) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    e = NORMAL_CDF * cdf + 4 * UNIT * slope
    d = e + slope * (UNIT * x * x / 2 + EXP + 4 * UNIT) + 2 * UNIT * (cdf + slope)
    return {"y": np.abs(x) * (e + UNIT * cdf), "d": np.abs(dy) * d}


def glu(h: Array, z: Array, dy: Array) -> Bounds:
    """h σ(z), and σ(1 − σ) = σ(z) σ(−z): products only."""
    s, relative = sigmoid(z), _sigmoid(z, 0)
    return {
        "y": np.abs(h) * s * (relative + UNIT),
        "d.0": np.abs(dy) * s * (relative + UNIT),
        "d.1": np.abs(dy * h) * s * sigmoid(-z) * (relative + _sigmoid(-z, 0) + 3 * UNIT),
    }


def layer_norm(x: Array, scale: Array, bias: Array, dy: Array) -> Bounds:
    """Mean, centred value, variance, 1/σ, each with the errors of those before it."""
    H, rows = x.shape[-1], x[..., 0].size
    n = _Normalised(x, np.ones_like(x), H, -1, LAYER_NORM_EPS)
    g = np.abs(dy * scale)

    def mean(z: Array) -> Array:
        return np.asarray(z.mean(-1, keepdims=True))

    through = mean(g * np.abs(n.xhat))
    total = g + mean(g) + np.abs(n.xhat) * through
    e = accumulated(H) * mean(g) + n.e_xhat * through
    e = e + np.abs(n.xhat) * (accumulated(H + 1) * through + mean(g * n.e_xhat)) + 4 * UNIT * total
    return {
        "y": n.affine(scale, bias),
        "saved.xhat": n.e_xhat,
        "saved.rstd": n.rstd * n.relative,
        "d.0": n.rstd * (e + total * (n.relative + UNIT)),
        **_affine_vjp(n, dy, rows),
    }


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    running: Any,
    momentum: float,
    training: bool,
    valid: Array | None,
    dy: Array,
) -> Bounds:
    """As layer_norm, over the valid steps of the batch; in evaluation mean and variance are exact inputs."""
    rows = x[..., 0].size
    if not training:
        rstd = 1 / np.sqrt(running.var + BATCH_NORM_EPS)
        n = _Normalised(x, np.zeros_like(x), 1, (0, 1), BATCH_NORM_EPS, (running.mean, rstd))
        dx = np.abs(dy * scale) * rstd * 4 * UNIT
        return {
            "y.0": n.affine(scale, bias),
            "saved.rstd": rstd * n.relative,
            "d.0": dx,
            **_affine_vjp(n, dy, rows),
        }
    weight = np.ones_like(x) if valid is None else np.broadcast_to(valid, x.shape).astype(x.dtype)
    count = float(weight[..., 0].sum())
    n = _Normalised(x, weight, count, (0, 1), BATCH_NORM_EPS)
    affine = _affine_vjp(n, dy, rows)
    a, xhat = np.abs(dy), np.abs(n.xhat)
    dscale, dbias = (a * xhat).sum((0, 1)), a.sum((0, 1))
    through = (dbias + xhat * dscale) / count * weight
    e = (affine["d.2"] + n.e_xhat * dscale + xhat * affine["d.1"]) / count * weight + 4 * UNIT * (a + through)
    mixed = momentum * np.abs([running.mean, running.var]) + (1 - momentum) * np.abs([n.mean, n.var])
    return {
        "y.0": n.affine(scale, bias),
        "saved.mean": n.e_mean,
        "saved.rstd": n.rstd * n.relative,
        "y.1.mean": (1 - momentum) * n.e_mean + 4 * UNIT * mixed[0],
        "y.1.var": (1 - momentum) * n.e_var + 4 * UNIT * mixed[1],
        "d.0": np.abs(scale) * n.rstd * (e + (a + through) * (n.relative + 2 * UNIT)),
        **affine,
    }


class _Normalised:
    """x̂ = (x − μ)/√(σ² + ε) over ``axis`` with weights 0 or 1, and the error of each quantity on the way."""

    def __init__(
        self,
        x: Array,
        weight: Array,
        count: float,
        axis: Any,
        floor: float,
        given: tuple[Array, Array] | None = None,
    ) -> None:
        keep = axis == -1

        def mean(z: Array) -> Array:
            return np.asarray((z * weight).sum(axis, keepdims=keep) / count)

        many = accumulated(int(count) + 1)
        self.mean = mean(x) if given is None else given[0]
        self.e_mean = many * mean(np.abs(x))
        centred = x - self.mean
        e_centred = self.e_mean + UNIT * np.abs(centred)
        self.var = mean(centred**2)
        self.e_var = 2 * mean(np.abs(centred) * e_centred) + (many + UNIT) * self.var
        self.rstd = 1 / np.sqrt(self.var + floor) if given is None else given[1]
        self.relative = self.e_var * self.rstd**2 / 2 + 3 * UNIT
        self.xhat = centred * self.rstd
        self.e_xhat = e_centred * self.rstd + np.abs(self.xhat) * (self.relative + UNIT)

    def affine(self, scale: Array, bias: Array) -> Array:
        scaled = np.abs(scale * self.xhat)
        return np.asarray(np.abs(scale) * self.e_xhat + 2 * UNIT * scaled + UNIT * np.abs(bias))


def _affine_vjp(n: _Normalised, dy: Array, rows: int) -> Bounds:
    a = np.abs(dy)
    return {
        "d.1": (a * n.e_xhat + accumulated(rows + 1) * a * np.abs(n.xhat)).sum((0, 1)),
        "d.2": accumulated(rows) * a.sum((0, 1)),
    }


FIELDS = (embed, linear, conv_pool, scan, gelu_tanh, gelu_erf, glu, layer_norm, batch_norm)
BOUNDS: dict[str, Callable[..., Bounds]] = {bound.__name__: bound for bound in FIELDS}
