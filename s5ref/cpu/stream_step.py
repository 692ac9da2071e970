"""The compiled step of `s5ref.cpu.stream`: a whole model, one time step, one call.

The product of a vector and a matrix adds up rows of the matrix, so that every loop runs over neighbours and
vectorises without reordering a sum. Nothing is written before everything is known to be finite.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from s5ref.cpu.compile import compiled
from s5ref.cpu.exp import exp_negative, sigmoid
from s5ref.nn.activation import GELU_CUBIC, GELU_FLAT, GELU_SLOPE
from s5ref.nn.norm import LAYER_NORM_EPS


class Weights(NamedTuple):
    """Everything that a step reads: real numbers, complex ones as pairs. I inputs, H features, P' states,
    K outputs.

    encoder (1 + I, H)        bias; W
    into (layers, 2 + H, 2P') of every layer Λ̄; the state before an episode; B̄ᵀ
    back (layers, rows, H)    of every layer the norm's mean, factor, bias; D; C̃ᵀ; for every gate bias, W
    decoder (1 + H, K)        bias; W
    """

    encoder: Any
    into: Any
    back: Any
    decoder: Any


class Options(NamedTuple):
    """What kind of model the weights describe: the number of its gates, and what holds (1) or not (0)."""

    batch_norm: int
    prenorm: int
    gates: int
    gates_gelu: int
    pools_mean: int
    pools_max: int
    classifies: int


def _step(weights, options, reals, tokens, resets, before, after):  # type: ignore[no-untyped-def]
    """One step of N sequences. True; or False and nothing written, where a shape does not fit, a token is
    out of range, or the output is not finite.

    weights    the arrays of Weights: a plain tuple, whose type Numba finds in less time
    options    the numbers of Options, an int64 array
    reals      (N, I), or tokens (N,): the other one is empty
    resets     (N,) bool: the sequences of which an episode begins; or empty: none
    before     states (layers, N, P') complex, the total and the largest features (N, H), the steps (N,)
    after      the same, which may be those of ``before``, and the output (N, K): these are written
    """
    encoder, into, back, decoder = weights
    kind = Options(options[0], options[1], options[2], options[3], options[4], options[5], options[6])
    states, total, largest, count = before
    states_out, total_out, largest_out, count_out, output = after
    layers, width, pairs = into.shape
    N, H, K = total.shape[0], width - 2, decoder.shape[1]
    real, kept = total.dtype, (layers, N, pairs // 2)
    given = tokens.shape == (N,) if tokens.size else reals.shape == (N, encoder.shape[0] - 1)
    comes_in = states.shape == kept and total.shape == largest.shape == (N, H) and count.shape == (N,)
    goes_out = states_out.shape == kept and total_out.shape == largest_out.shape == (N, H)
    goes_out = goes_out and output.shape == (N, K) and count_out.shape == (N,)
    if not (given and comes_in and goes_out and resets.size in (0, N)):
        return False
    old, new = states.view(real), np.empty((layers, N, pairs), real)
    sums, tops, work = np.empty((N, H), real), np.empty((N, H), real), np.empty((5, H), real)
    logits, steps = np.empty((N, K), real), np.empty(N, count.dtype)
    pooled, x = work[0], work[4]
    for n in range(N):
        begins = resets.size > 0 and resets[n]
        if not tokens.size:
            _affine(x, reals[n], encoder)
        elif 0 <= tokens[n] < encoder.shape[0] - 1:
            _copy(x, encoder[1 + tokens[n]])
            _add(x, encoder[0])
        else:
            return False
        for i in range(layers):
            _layer(x, new[i, n], into[i, 1] if begins else old[i, n], into[i], back[i], work, kind)
        steps[n] = 1 if begins else count[n] + 1
        for h in range(H):
            sums[n, h] = x[h] if begins else total[n, h] + x[h]
            tops[n, h] = x[h] if begins else _larger(largest[n, h], x[h])
        _pool(pooled, x, sums[n], tops[n], steps[n], kind)
        _affine(logits[n], pooled, decoder)
        for k in range(K):
            if not math.isfinite(logits[n, k]):
                return False
    written = states_out.view(real)
    for n in range(N):
        for i in range(layers):
            _copy(written[i, n], new[i, n])
        _copy(total_out[n], sums[n])
        _copy(largest_out[n], tops[n])
        count_out[n] = steps[n]
        if kind.classifies:
            _log_softmax(output[n], logits[n])
        else:
            _copy(output[n], logits[n])
    return True


step = compiled(_step, allocates=True)


@register_jitable
def _layer(x: Any, new: Any, old: Any, into: Any, back: Any, work: Any, kind: Any) -> None:
    """One layer: x (H) in and out, its state from old to new (2P'). The rows of ``back`` are those of
    Weights.
    """
    v, y, g, z = work[0], work[1], work[2], work[3]
    H, pairs = x.size, new.size
    if kind.prenorm:
        _normalise(v, x, back, kind.batch_norm)
    else:
        _copy(v, x)
    _recur(new, old, v, into)
    _product(y, new, back[4 : 4 + pairs])
    D = back[3]
    for h in range(H):
        y[h] += D[h] * v[h]
    _gelu(g, y)
    if kind.gates == 2:
        _affine(y, g, back[4 + pairs : 5 + pairs + H])
    if kind.gates:
        _affine(z, g, back[back.shape[0] - 1 - H :])
        _add_glu(x, g if kind.gates_gelu else y, z)
    else:
        _add(x, g)
    if not kind.prenorm:
        _normalise(v, x, back, kind.batch_norm)
        _copy(x, v)


@register_jitable
def _pool(y: Any, x: Any, total: Any, largest: Any, steps: Any, kind: Any) -> None:
    """Mean, maximum, or their sum, of a total over ``steps`` and the largest; or the last of them, x."""
    n = x.dtype.type(steps)
    for h in range(x.size):
        if kind.pools_mean:
            y[h] = total[h] / n + largest[h] if kind.pools_max else total[h] / n
        else:
            y[h] = largest[h] if kind.pools_max else x[h]


@register_jitable
def _larger(a: Any, b: Any) -> Any:
    """The larger of two; NaN where one of them is."""
    return b if b > a or math.isnan(b) else a


@register_jitable
def _product(y: Any, v: Any, M: Any) -> None:
    """y = v M, eight rows of M at a time."""
    for j in range(y.size):
        y[j] = 0
    eights = 8 * (v.size // 8)
    for i in range(0, eights, 8):
        a, R = v[i : i + 8], M[i : i + 8]
        a0, a1, a2, a3, a4, a5, a6, a7 = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
        for j in range(y.size):
            first = (a0 * R[0, j] + a1 * R[1, j]) + (a2 * R[2, j] + a3 * R[3, j])
            second = (a4 * R[4, j] + a5 * R[5, j]) + (a6 * R[6, j] + a7 * R[7, j])
            y[j] += first + second
    for i in range(eights, v.size):
        a0, row = v[i], M[i]
        for j in range(y.size):
            y[j] += a0 * row[j]


@register_jitable
def _affine(y: Any, v: Any, M: Any) -> None:
    """y = v times the rows of M below the first + the first, added last: it may be large, and rounds once."""
    _product(y, v, M[1:])
    _add(y, M[0])


@register_jitable
def _copy(y: Any, x: Any) -> None:
    """y = x. Numba compiles the words of an error for every y[:] = x, longer than all that is here."""
    for j in range(y.size):
        y[j] = x[j]


@register_jitable
def _add(y: Any, x: Any) -> None:
    for j in range(y.size):
        y[j] += x[j]


@register_jitable
def _sum(x: Any) -> Any:
    """Σ x, in four partial sums that do not wait for each other."""
    a = b = c = d = x.dtype.type(0)
    fours = 4 * (x.size // 4)
    for i in range(0, fours, 4):
        q = x[i : i + 4]
        a, b, c, d = a + q[0], b + q[1], c + q[2], d + q[3]
    for i in range(fours, x.size):
        a += x[i]
    return (a + b) + (c + d)


@register_jitable
def _recur(new: Any, old: Any, v: Any, M: Any) -> None:
    """Λ̄ x + B̄ v: complex numbers as pairs, Λ̄ the first row of M and B̄ᵀ those from the third."""
    _product(new, v, M[2:])
    a = M[0]
    for p in range(a.size // 2):
        re, im = old[2 * p], old[2 * p + 1]
        new[2 * p] += a[2 * p] * re - a[2 * p + 1] * im
        new[2 * p + 1] += a[2 * p] * im + a[2 * p + 1] * re


@register_jitable
def _normalise(y: Any, x: Any, rows: Any, batch_norm: Any) -> None:
    """(x − mean) factor + bias; of a LayerNorm the mean is that of x, and the factor over √(σ² + ε)."""
    mean, factor, bias = rows[0], rows[1], rows[2]
    if batch_norm:
        for h in range(x.size):
            y[h] = (x[h] - mean[h]) * factor[h] + bias[h]
        return
    real = x.dtype.type
    mu = _sum(x) / real(x.size)
    for h in range(x.size):
        y[h] = (x[h] - mu) * (x[h] - mu)
    rstd = real(1) / math.sqrt(_sum(y) / real(x.size) + real(LAYER_NORM_EPS))
    for h in range(x.size):
        y[h] = (x[h] - mu) * rstd * factor[h] + bias[h]


@register_jitable
def _gelu(g: Any, y: Any) -> None:
    """y σ(2c(y + 0.044715 y³))."""
    real = y.dtype.type
    one, flat, slope, cubic = real(1), real(GELU_FLAT), real(GELU_SLOPE), real(GELU_CUBIC)
    for h in range(y.size):
        c = min(max(y[h], -flat), flat)
        g[h] = y[h] * sigmoid(slope * (c + cubic * (c * c * c)), one)


@register_jitable
def _add_glu(x: Any, h: Any, z: Any) -> None:
    """x += h σ(z)."""
    one = x.dtype.type(1)
    for i in range(x.size):
        x[i] += h[i] * sigmoid(z[i], one)


@register_jitable
def _log_softmax(y: Any, z: Any) -> None:
    """z − log Σ eᶻ."""
    top = z[0]
    for k in range(z.size):
        top = max(top, z[k])
    for k in range(z.size):
        y[k] = exp_negative(z[k] - top)
    log = math.log(_sum(y))
    for k in range(z.size):
        y[k] = (z[k] - top) - log
