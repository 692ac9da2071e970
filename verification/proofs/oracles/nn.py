"""The network operations in exact formulas, for balls and duals. Written from the definitions, not from
`s5ref.nn`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from s5ref.verification.proofs.oracles.balls import Balls
from s5ref.verification.proofs.oracles.elementary import (
    bounded,
    constant,
    erfc,
    exp,
    larger,
    log,
    pi,
    sqrt,
    tanh,
)
from s5ref.verification.proofs.oracles.ssm import only_valid

LAYER_NORM_EPS = Fraction(1, 10**6)
BATCH_NORM_EPS = Fraction(1, 10**5)
GELU_CUBIC = Fraction(44715, 10**6)
VARIANCE_FLOOR = Fraction(1, 10**6)
Masks = tuple[Balls | None, Balls | None]


def linear(x: Balls, W: Balls, bias: Balls | None = None) -> Balls:
    """x W + b."""
    y = x @ W
    return np.asarray(y if bias is None else y + bias, dtype=object)


def embed(tokens: Any, kernel: Balls, bias: Balls) -> Balls:
    """The row of each token, + b."""
    return np.asarray(kernel[tokens] + bias, dtype=object)


def layer_norm(x: Balls, scale: Balls, bias: Balls) -> Balls:
    """scale ∘ (x − mean)/√(var + 10⁻⁶) + bias over the last axis."""
    H = x.shape[-1]
    mean = np.sum(x, axis=-1, keepdims=True) / constant(H)
    var = np.sum((x - mean) * (x - mean), axis=-1, keepdims=True) / constant(H)
    return np.asarray(scale * ((x - mean) / sqrt(var + constant(LAYER_NORM_EPS))) + bias, dtype=object)


def batch_norm(
    x: Balls,
    scale: Balls,
    bias: Balls,
    mean: Balls,
    var: Balls,
    momentum: Any,
    training: bool,
    lengths: Any = None,
) -> tuple[Balls, Balls, Balls]:
    """(y, running mean, running variance); the statistics are those of all valid steps, with the biased
    variance."""
    used_mean, used_var = mean, var
    if training:
        n = x.shape[0] * x.shape[1] if lengths is None else int(np.sum(lengths))

        def average(z: Balls) -> Balls:
            valid = z if lengths is None else only_valid(z, lengths)
            return np.asarray(np.sum(valid, axis=(0, 1)) / constant(n), dtype=object)

        used_mean = average(x)
        used_var = average((x - used_mean) * (x - used_mean))
        keep = constant(momentum)
        mean, var = keep * mean + (1 - keep) * used_mean, keep * var + (1 - keep) * used_var
    y = scale * ((x - used_mean) / sqrt(used_var + constant(BATCH_NORM_EPS))) + bias
    return np.asarray(y, dtype=object), mean, var


def sigmoid(x: Balls) -> Balls:
    """1/(1 + e⁻ˣ)."""
    return np.asarray(1 / (1 + exp(-x)), dtype=object)


def gelu_tanh(x: Balls) -> Balls:
    """½x(1 + tanh(√(2/π)(x + 0.044715x³))): the published form."""
    a = (2 / pi()).sqrt() * (x + constant(GELU_CUBIC) * (x * x * x))
    return np.asarray(x * (1 + tanh(a)) / 2, dtype=object)


def gelu_erf(x: Balls) -> Balls:
    """x Φ(x), Φ(x) = ½ erfc(−x/√2)."""
    return np.asarray(x * erfc(-x / constant(2).sqrt()) / 2, dtype=object)


GELUS = {"tanh": gelu_tanh, "erf": gelu_erf}


def glu(h: Balls, z: Balls) -> Balls:
    """h σ(z)."""
    return np.asarray(h * sigmoid(z), dtype=object)


def dropout(x: Balls, mask: Balls | None) -> Balls:
    """x ∘ mask."""
    return x if mask is None else np.asarray(x * mask, dtype=object)


def mix(
    y: Balls,
    activation: str,
    gelu: str = "tanh",
    params: Mapping[str, Balls] = {},
    masks: Masks = (None, None),
) -> Balls:
    """What follows the SSM, in the four forms of upstream's SequenceLayer."""
    first, second = masks
    g = dropout(GELUS[gelu](y), first)
    if activation == "gelu":
        return g
    gate = linear(g, params["out2.kernel"], params["out2.bias"])
    if activation == "full_glu":
        h = linear(g, params["out1.kernel"], params["out1.bias"])
    else:
        h = {"half_glu1": g, "half_glu2": y}[activation]
    return dropout(glu(h, gate), second)


def relu(x: Balls) -> Balls:
    """max(x, 0); at 0 the derivative is 0."""
    return bounded(x, Fraction(0), above=False)


def exp_linear(x: Balls) -> Balls:
    """eˣ below 0, 1 + x above: the exponential of min(x, 0), + max(x, 0)."""
    return np.asarray(exp(bounded(x, Fraction(0), above=True)) + relu(x), dtype=object)


def two_layers(params: Mapping[str, Balls], x: Balls) -> Balls:
    """tanh(x W₁ + b₁) W₂ + b₂."""
    h = tanh(linear(x, params["layer1.kernel"], params["layer1.bias"]))
    return linear(h, params["layer2.kernel"], params["layer2.bias"])


def conv2d(x: Balls, kernel: Balls, bias: Balls, stride: int, padding: int) -> Balls:
    """Of every pixel of the output the sum over the pixels of the image that the kernel lies on, tap by
    tap.
    """
    (M, H, W, _), (h, w, _, O) = x.shape, kernel.shape
    rows, columns = ((n + 2 * padding - k) // stride + 1 for n, k in ((H, h), (W, w)))
    y = np.empty((M, rows, columns, O), dtype=object)
    for m, r, c in np.ndindex(M, rows, columns):
        total = bias
        for i, j in np.ndindex(h, w):
            at, by = r * stride + i - padding, c * stride + j - padding
            if 0 <= at < H and 0 <= by < W:
                total = total + x[m, at, by] @ kernel[i, j]
        y[m, r, c] = total
    return y


def max_pool2d(x: Balls) -> Balls:
    """The largest of each 2 × 2 square; of equal ones the first, row by row, in value and derivative."""
    squares = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    return np.asarray(reduce(larger, squares), dtype=object)


def conv_pool(x: Balls, kernel: Balls, bias: Balls, stride: int, padding: int) -> Balls:
    """Convolution, rectifier, the largest of 2 × 2."""
    return max_pool2d(relu(conv2d(x, kernel, bias, stride, padding)))


def image_encoder(params: Mapping[str, Balls], x: Balls, appended: Any = None) -> Balls:
    """Two convolutions, each with rectifier and pooling, a dense layer with rectifier, a matrix. x (N, L,
    s²); ``appended``, (N, L), joins what the matrix sees."""
    N, L, pixels = x.shape
    side = round(pixels**0.5)
    y = x.reshape(N * L, side, side, 1)
    y = conv_pool(y, params["conv1.kernel"], params["conv1.bias"], 1, 2)
    y = conv_pool(y, params["conv2.kernel"], params["conv2.bias"], 2, 1)
    h = relu(linear(y.reshape(N, L, -1), params["dense.kernel"], params["dense.bias"]))
    if appended is not None:
        h = np.concatenate([h, appended[:, :, None]], axis=2)
    return linear(h, params["kernel"], params["bias"])


def pool_mean(x: Balls, lengths: Any = None) -> Balls:
    """Mean over the valid steps."""
    if lengths is None:
        return np.asarray(np.sum(x, axis=1) / constant(x.shape[1]), dtype=object)
    rows = [np.sum(row[: int(n)], axis=0) / constant(int(n)) for row, n in zip(x, lengths, strict=True)]
    return np.array(rows, dtype=object).reshape(x.shape[0], x.shape[2])


def pool_last(x: Balls, lengths: Any = None) -> Balls:
    """The last valid step."""
    last = np.full(x.shape[0], x.shape[1]) if lengths is None else np.asarray(lengths)
    return np.asarray(x[np.arange(x.shape[0]), last - 1], dtype=object)


def pool_max(x: Balls, lengths: Any = None) -> Balls:
    """The largest valid step of each channel; of equal ones the first, in value and derivative."""
    ends = np.full(x.shape[0], x.shape[1]) if lengths is None else lengths
    rows = [reduce(larger, row[: int(n)]) for row, n in zip(x, ends, strict=True)]
    return np.array(rows, dtype=object).reshape(x.shape[0], x.shape[2])


def pool_mean_max(x: Balls, lengths: Any = None) -> Balls:
    """Mean + largest."""
    return np.asarray(pool_mean(x, lengths) + pool_max(x, lengths), dtype=object)


def pool_windows(x: Balls, stride: int, mode: str, lengths: Any = None) -> Balls:
    """Of each window of so many steps the mean of the valid ones, or the last of them; 0 where none is."""
    N, L, H = x.shape
    y = np.full((N, -(-L // stride), H), constant(0), dtype=object)
    for n, j in np.ndindex(*y.shape[:2]):
        inside = x[n, j * stride : min((j + 1) * stride, L if lengths is None else int(lengths[n]))]
        if len(inside):
            y[n, j] = np.sum(inside, axis=0) / constant(len(inside)) if mode == "mean" else inside[-1]
    return y


POOLS = {"mean": pool_mean, "last": pool_last, "max": pool_max, "mean+max": pool_mean_max}


def log_softmax(z: Balls) -> Balls:
    """z − log Σ eᶻ."""
    return np.asarray(z - log(np.sum(exp(z), axis=-1, keepdims=True)), dtype=object)


def cross_entropy(log_probabilities: Balls, targets: Any) -> Balls:
    """−mean log p[target], a scalar."""
    n = len(targets)
    return np.asarray(-np.sum(log_probabilities[np.arange(n), targets]) / constant(n), dtype=object)


def mse(y: Balls, target: Balls, lengths: Any = None) -> Balls:
    """Mean square of the error, of (N, L, K) over valid steps, a scalar."""
    error = y - target
    steps = error[..., 0].size if lengths is None else int(np.sum(lengths))
    error = error if lengths is None else only_valid(error, lengths)
    return np.asarray(np.sum(error * error) / constant(steps * y.shape[-1]), dtype=object)


def gaussian_nll(mean: Balls, var: Balls, target: Balls, lengths: Any = None) -> Balls:
    """−log of the normal densities N(target; mean, max(var, 10⁻⁶)), summed over the last axis, mean over the
    rest; of (N, L, K) over valid steps."""
    v = bounded(var, VARIANCE_FLOOR, above=False)
    error = mean - target
    terms = log(2 * pi() * v) / 2 + error * error / (2 * v)
    steps = terms[..., 0].size if lengths is None else int(np.sum(lengths))
    terms = terms if lengths is None else only_valid(terms, lengths)
    return np.asarray(np.sum(terms) / constant(steps), dtype=object)
