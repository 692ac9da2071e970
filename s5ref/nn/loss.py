"""Losses: log-softmax cross-entropy, mean squared error, Gaussian negative log-likelihood.

Each is the mean over the batch (and time). Derivation: docs/derivations/loss.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, constant, pi

VARIANCE_FLOOR = (1, 1_000_000)  # 1e-6


def log_softmax(z: Array) -> tuple[Array, Array]:
    """z − log Σ eᶻ over the last axis, shifted by the maximum so that it does not overflow. Saves its
    result.
    """
    shifted = z - np.max(z, axis=-1, keepdims=True)
    y = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return y, y


def log_softmax_vjp(y: Array, dy: Array) -> Array:
    """dz = dy − softmax(z) Σ dy."""
    dz: Array = dy - np.exp(y) * np.sum(dy, axis=-1, keepdims=True)
    return dz


class CrossEntropyResiduals(NamedTuple):
    """Residuals of `cross_entropy`: the one-hot targets."""

    onehot: Array


def cross_entropy(log_probabilities: Array, targets: Array) -> tuple[Array, CrossEntropyResiduals]:
    """−mean over the batch of log p[target]. log_probabilities (N, K), targets (N,) integers; returns a
    scalar.
    """
    classes = np.arange(log_probabilities.shape[-1], like=targets)
    onehot = (classes == targets[..., None]).astype(log_probabilities.dtype)
    picked = np.sum(np.where(onehot != 0, log_probabilities, np.zeros_like(log_probabilities)), axis=-1)
    return -np.mean(picked), CrossEntropyResiduals(onehot)


def cross_entropy_vjp(residuals: CrossEntropyResiduals, d: Array) -> Array:
    """dlog_probabilities = −d onehot / N."""
    dy: Array = -d * residuals.onehot / (residuals.onehot.size // residuals.onehot.shape[-1])
    return dy


class SquaredErrorResiduals(NamedTuple):
    """Residuals of `mse`: the error (0 at padding), and the number of elements that count."""

    error: Array
    elements: Array


def mse(y: Array, target: Array, valid: Array | None = None) -> tuple[Array, SquaredErrorResiduals]:
    """mean (y − target)² over all elements, or over those of valid steps. y, target (N, L, K) or (N, K);
    valid (N, L, 1); 0 where none is.
    """
    error = y - target
    elements = np.full_like(y, y.size, shape=())
    if valid is not None:
        error = error * valid
        elements = np.maximum(np.sum(valid.astype(y.dtype)), 1) * y.shape[-1]
    return np.sum(error * error) / elements, SquaredErrorResiduals(error, elements)


def mse_vjp(residuals: SquaredErrorResiduals, d: Array) -> Array:
    """dy = 2 d (y − target) / elements, 0 at padding."""
    return 2 * d / residuals.elements * residuals.error


class GaussianNLLResiduals(NamedTuple):
    """Residuals of `gaussian_nll`: error and v (…, K), where v is the floor, which rows count (None: all),
    and how many.
    """

    error: Array
    var: Array
    floored: Array
    valid: Array | None
    rows: Array


def gaussian_nll(
    mean: Array, var: Array, target: Array, valid: Array | None = None
) -> tuple[Array, GaussianNLLResiduals]:
    """½ Σ over the last axis of (log v + (mean − target)²/v + log 2π), v = max(var, 1e-6); mean over the
    rest, or over its valid steps, 0 where there is none. mean, var, target (…, K); valid (N, L, 1) of (N,
    L, K).
    """
    floor = constant(*VARIANCE_FLOOR, var)
    v = np.maximum(var, floor)
    error = mean - target
    terms = np.log(v) + error * error / v + v.dtype.type(np.log(2 * pi(v)))
    each = 0.5 * np.sum(terms, axis=-1, keepdims=True)
    rows = np.full_like(each, each.size, shape=())
    if valid is not None:
        each = each * valid
        rows = np.maximum(np.sum(valid.astype(each.dtype)), 1)
    return np.sum(each) / rows, GaussianNLLResiduals(error, v, var <= floor, valid, rows)


def gaussian_nll_vjp(residuals: GaussianNLLResiduals, d: Array) -> tuple[Array, Array]:
    """(dmean, dvar): d/M · error/v and d/M · ½(1/v − error²/v²), 0 where the floor holds and at padding; M
    the number of rows that count.
    """
    error, v, floored, valid, rows = residuals
    each = d / rows if valid is None else d / rows * valid
    dvar = 0.5 * each * (1 / v - (error / v) * (error / v))
    return each * error / v, np.where(floored, np.zeros_like(dvar), dvar)
