"""LayerNorm and BatchNorm. Derivation: docs/derivations/norm.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.ranks import ALONE, Ranks, ranks_of

LAYER_NORM_EPS = 1e-6
BATCH_NORM_EPS = 1e-5


class LayerNormResiduals(NamedTuple):
    """Residuals of `layer_norm`."""

    xhat: Array
    rstd: Array
    scale: Array


def layer_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, LayerNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-6) + bias over the features. x (N, L, H); scale, bias (H,).

    σ² is the biased variance, computed from centred values: E[x²] − E[x]² would cancel where |μ| ≫ σ.
    """
    centred = x - np.mean(x, axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + LAYER_NORM_EPS)
    xhat = centred * rstd
    return scale * xhat + bias, LayerNormResiduals(xhat, rstd, scale)


def layer_norm_vjp(residuals: LayerNormResiduals, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias); dx = rstd (g − mean(g) − x̂ mean(g x̂)), g = scale ∘ dy."""
    xhat, rstd, scale = residuals
    g = dy * scale
    dx = rstd * (g - np.mean(g, axis=-1, keepdims=True) - xhat * np.mean(g * xhat, axis=-1, keepdims=True))
    return dx, sum_to_channels(dy * xhat), sum_to_channels(dy)


class BatchNormResiduals(NamedTuple):
    """Residuals of `batch_norm`: mean and rstd are what x was normalised with; count is the number of steps
    they were taken over (None when they are running statistics, hence constants).
    """

    x: Array
    mean: Array
    rstd: Array
    scale: Array
    valid: Array | None
    count: Array | None  # type: ignore[assignment]


class Running(NamedTuple):
    """Running statistics of a BatchNorm: mean (H,) and biased variance (H,)."""

    mean: Array
    var: Array


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    running: Running,
    momentum: float,
    training: bool | Ranks,
    valid: Array | None,
) -> tuple[tuple[Array, Running], BatchNormResiduals]:
    """scale ∘ (x − μ)/√(σ² + 1e-5) + bias, μ and biased σ² over (batch, time) jointly. x (N, L, H).

    In training μ, σ² are the batch's, and running ← momentum · running + (1 − momentum) · batch, with the
    biased variance (PyTorch keeps the unbiased one). Otherwise they are the running ones. ``valid`` (N, L, 1)
    restricts the statistics to valid steps; None includes padding, as upstream does. ``training``
    may be the ranks that share the batch.
    """
    count, ranks = None, ranks_of(training)
    if training:
        count = (
            np.full_like(x[:1, 0, :1], x.shape[0] * x.shape[1])[0]
            if valid is None
            else sum_to_channels(valid.astype(x.dtype))
        )
        count = ranks.total(count)
        mean = ranks.total(sum_to_channels(x if valid is None else x * valid)) / count
        centred = x - mean if valid is None else (x - mean) * valid
        var = ranks.total(sum_to_channels(centred * centred)) / count
        running = Running(
            momentum * running.mean + (1 - momentum) * mean, momentum * running.var + (1 - momentum) * var
        )
    else:
        mean, var = running
    rstd = 1 / np.sqrt(var + BATCH_NORM_EPS)
    residuals = BatchNormResiduals(x, mean, rstd, scale, valid, count)
    return (scale * ((x - mean) * rstd) + bias, running), residuals


def batch_norm_vjp(
    residuals: BatchNormResiduals, dy: Array, ranks: Ranks = ALONE
) -> tuple[Array, Array, Array]:
    """(dx, dscale, dbias); in training dx = scale rstd (dy − Σdy/n − x̂ Σ(dy x̂)/n), n the number of valid
    steps; the sums run over all steps, since padding is normalised with these statistics too, and over all
    ``ranks``. dscale and dbias are those of this one.
    """
    x, mean, rstd, scale, valid, count = residuals
    xhat = (x - mean) * rstd
    dscale, dbias = sum_to_channels(dy * xhat), sum_to_channels(dy)
    if count is None:
        return dy * (scale * rstd), dscale, dbias
    through_statistics = ranks.total(dbias) / count + xhat * (ranks.total(dscale) / count)
    if valid is not None:
        through_statistics = through_statistics * valid
    return (dy - through_statistics) * (scale * rstd), dscale, dbias
