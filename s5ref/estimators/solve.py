"""Ridge regression whose strength is chosen by leave-one-out, for more features than series as for fewer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from s5ref.arrays import Array

ROUNDING, SMALLEST = 1e-5, 1e-7  # a feature varies if by more than this share of its mean, and this
CHUNK = 2048  # features, or series, that are in double precision at a time


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
    """The ridge on standardised features with the least squared error on series that are left out.

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
    are the eigenvectors and eigenvalues of Z Zᵀ, or follow from those of Zᵀ Z where that is smaller. It is
    what RidgeCV of scikit-learn computes (the tests compare them), without its copies in double precision.
    """
    n, p = features.shape
    share = weight / weight.sum()
    mean = share @ features
    features -= mean.astype(np.float32)
    deviation = np.sqrt(np.einsum("i,ij,ij->j", share.astype(np.float32), features, features))
    constant = deviation <= ROUNDING * np.abs(mean) + SMALLEST
    features[:, constant], deviation[constant] = 0, 1
    root = np.sqrt(weight)[:, None]
    features *= root.astype(np.float32) / deviation
    Z, centre = features, share @ Y
    T = root * (Y - centre)
    parts = (
        [Z[:, k : k + CHUNK] for k in range(0, p, CHUNK)]
        if n <= p
        else [Z[k : k + CHUNK].T for k in range(0, n, CHUNK)]
    )
    squares, vectors = eigh(sum(part @ part.T for part in (part.astype(np.float64) for part in parts)))
    kept = squares > squares[-1] * len(squares) * np.finfo(np.float32).eps ** 2
    squares, vectors = squares[kept], vectors[:, kept]
    U = vectors if n <= p else (Z @ vectors) / np.sqrt(squares)
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
