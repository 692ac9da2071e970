"""Ridge regression whose strength is chosen by leave-one-out, for more features than series as for fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from s5ref.arrays import Array

ROUNDING, SMALLEST = 1e-5, 1e-7  # a feature varies if by more than this share of its mean, and this
CHUNK = 2048  # features that are in double precision at a time

Batches = Callable[[], Iterable[Array]]  # the features of all series, some after the others, at each call


class Ridge(NamedTuple):
    """standardised, coef (K, p): coefficients of the standardised features, and of the features as they are;
    intercept (K,); alpha, the strength; left_out (n, K), what each series is given by the model of the
    others.
    """

    standardised: Array
    coef: Array
    intercept: Array
    alpha: float
    left_out: Array


def ridge(features: Array, Y: Array, weight: Array, alphas: Array) -> Ridge:
    """The ridge on standardised features with the least squared error on series that are left out. For at
    most as many series as features.

    Parameters
    ----------
    features : (n, p) float32
        Used up: standardised in place.
    Y : (n, K)
    weight : (n,)
        Of each series in errors, means and variances; > 0.
    alphas : (S,)
        Strengths to choose from.

    Notes
    -----
    Let Z be the standardised features and T the centred targets, rows times √weight, and Z = U diag(s) Vᵀ.
    The residual of series i in the model of the others is r_i/(1 − h_i), where r is the residual in the model
    of all and h_i = Σ_j U_ij² s_j²/(s_j² + α) + weight_i/Σ weight, the last term for the intercept. U and s²
    are the eigenvectors and eigenvalues of Z Zᵀ. It is what RidgeCV of scikit-learn computes (the tests
    compare them), without its copies in double precision.
    """
    p = features.shape[1]
    share = weight / weight.sum()
    mean = share @ features
    features -= mean.astype(np.float32)
    deviation = np.sqrt(np.einsum("i,ij,ij->j", share.astype(np.float32), features, features))
    constant = _constant(mean, deviation)
    features[:, constant], deviation[constant] = 0, 1
    root = np.sqrt(weight)[:, None]
    features *= root.astype(np.float32) / deviation
    Z, centre = features, share @ Y
    T = root * (Y - centre)
    parts = (Z[:, k : k + CHUNK].astype(np.float64) for k in range(0, p, CHUNK))
    gram: Array = sum((part @ part.T for part in parts), start=np.zeros((len(Z), len(Z))))
    squares, U = _eigen(gram)
    projected = U.T @ T

    def left_out(alpha: float) -> Array:
        """Residuals (n, K) of each series in the model of the others, times √weight."""
        shrunk = squares / (squares + alpha)
        leverage = U**2 @ shrunk + share
        return np.asarray((T - U @ (shrunk[:, None] * projected)) / (1 - leverage)[:, None])

    alpha = float(min(alphas, key=lambda a: np.sum(left_out(a) ** 2)))
    dual = U @ (projected / (squares + alpha)[:, None])
    standardised = (Z.T @ dual.astype(np.float32)).T.astype(np.float64)
    coef = standardised / deviation
    return Ridge(standardised, coef, centre - coef @ mean, alpha, Y - left_out(alpha) / root)


def ridge_of_batches(batches: Batches, Y: Array, weight: Array, alphas: Array) -> Ridge:
    """`ridge` for more series than features: they are never all in memory, but some and a few (p, p) arrays.

    Parameters
    ----------
    batches : function
        Called twice; each time it gives the features (n_b, p) float32 of all series, batch by batch.
    Y, weight, alphas
        See `ridge`.

    Notes
    -----
    The first pass sums the normal equations ZᵀZ and ZᵀT, about the mean of the first batch; V and s² are the
    eigenvectors and eigenvalues of ZᵀZ, and U = Z V diag(1/s). The second pass computes the leverages h and
    the residuals for all strengths at once.
    """
    share, root = weight / weight.sum(), np.sqrt(weight)[:, None]
    centre = share @ Y
    shift = gram = first = cross = np.empty(0)
    row = 0
    for batch in batches():
        x, at = batch.astype(np.float64), slice(row, row + len(batch))
        if row == 0:
            p, K = x.shape[1], Y.shape[1]
            shift, gram, first, cross = x.mean(axis=0), np.zeros((p, p)), np.zeros(p), np.zeros((p, K))
        x -= shift
        first += share[at] @ x
        cross += x.T @ (weight[at, None] * (Y[at] - centre))
        x *= root[at]
        gram += x.T @ x
        row = at.stop
    gram -= weight.sum() * np.outer(first, first)
    mean = shift + first
    deviation = np.sqrt(np.maximum(np.diag(gram), 0) / weight.sum())
    constant = _constant(mean, deviation)
    deviation[constant] = 1
    scale = np.where(constant, 0, 1 / deviation)
    gram *= scale * scale[:, None]
    squares, V = _eigen(gram)
    projected = V.T @ (scale[:, None] * cross)
    shrunk = 1 / (squares + np.asarray(alphas)[:, None])  # (S, kept)
    errors, said, row = np.zeros(len(alphas)), np.empty((len(alphas), *Y.shape), np.float32), 0
    for batch in batches():
        at = slice(row, row + len(batch))
        z = ((batch - mean) * scale) @ V
        leverage = weight[at, None] * (z**2 @ shrunk.T) + share[at, None]  # (n_b, S)
        for k, inverse in enumerate(shrunk):
            residual = (Y[at] - centre - z @ (inverse[:, None] * projected)) / (1 - leverage[:, k, None])
            errors[k] += np.sum(weight[at, None] * residual**2)
            said[k, at] = Y[at] - residual
        row = at.stop
    best = int(np.argmin(errors))
    standardised = (V @ (shrunk[best][:, None] * projected)).T
    coef = standardised * scale
    return Ridge(standardised, coef, centre - coef @ mean, float(alphas[best]), said[best].astype(np.float64))


def _constant(mean: Array, deviation: Array) -> Array:
    """(p,) which features vary by rounding alone."""
    return np.asarray(deviation <= ROUNDING * np.abs(mean) + SMALLEST)


def _eigen(gram: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of what is more than rounding."""
    squares, vectors = eigh(gram)
    kept = squares > squares[-1] * len(squares) * np.finfo(np.float32).eps ** 2
    return squares[kept], vectors[:, kept]
