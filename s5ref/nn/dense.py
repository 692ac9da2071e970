"""The matrix product of the layer text, and the embedding of tokens. Derivation:
docs/derivations/dense.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, sum_to_channels


class LinearResiduals(NamedTuple):
    """Residuals of `linear`."""

    x: Array
    W: Array
    has_bias: bool


def linear(x: Array, W: Array, bias: Array | None = None) -> tuple[Array, LinearResiduals]:
    """x W + b over the last axis, as one real 2-D matrix product. x (…, I), W (I, O), bias (O,); returns
    (…, O).
    """
    y = (x.reshape(-1, W.shape[0]) @ W).reshape(*x.shape[:-1], W.shape[1])
    if bias is not None:
        y += bias
    return y, LinearResiduals(x, W, bias is not None)


def linear_vjp(residuals: LinearResiduals, dy: Array) -> tuple[Array, Array, Array | None]:
    """(dx, dW, dbias): dy Wᵀ, xᵀ dy and Σ dy."""
    x, W, has_bias = residuals
    dy2d = dy.reshape(-1, W.shape[1])
    dx = (dy2d @ W.T).reshape(x.shape)
    dW = x.reshape(-1, W.shape[0]).T @ dy2d
    return dx, dW, sum_to_channels(dy) if has_bias else None


class EmbedResiduals(NamedTuple):
    """Residuals of `embed`."""

    tokens: Array
    kernel: Array


def embed(tokens: Array, kernel: Array, bias: Array) -> tuple[Array, EmbedResiduals]:
    """onehot(tokens) W + b: row lookup. tokens (N, L) integers below V, kernel (V, H), bias (H,); returns
    (N, L, H).
    """
    return (kernel + bias)[tokens], EmbedResiduals(tokens, kernel)


def embed_vjp(residuals: EmbedResiduals, dy: Array) -> tuple[Array, Array]:
    """(dkernel, dbias): onehot(tokens)ᵀ dy and Σ dy.

    One example at a time in a fixed order: the same bits every run, and only one example's one-hot in memory.
    """
    tokens, kernel = residuals
    dkernel = np.zeros_like(kernel)
    vocabulary = np.arange(kernel.shape[0], like=tokens)[:, None]
    for n in range(tokens.shape[0]):
        onehot = (vocabulary == tokens[n][None, :]).astype(kernel.dtype)
        dkernel = dkernel + onehot @ dy[n]
    return dkernel, sum_to_channels(dy)
