"""Into the state space and out of it: B̄u and Re(C̃x), each as one real 2-D matrix product.

Complex weights are laid out with interleaved real and imaginary parts, so that the product of real u and W
*is* the complex array viewed as pairs: half the arithmetic of a complex product. Derivation:
docs/derivations/ssm.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, real_dtype
from s5ref.engine import Call


class ProjectResiduals(NamedTuple):
    """Residuals of `project`; ``raw`` is B̃u, needed only where the gain varies with time."""

    linear: Any
    B: Array
    gain: Array
    raw: Array | None


def project(u: Array, B: Array, gain: Array, call: Call) -> tuple[Array, ProjectResiduals]:
    """gain ∘ (B̃u). u (N, L, H) real, B (P, H) complex, gain (P,) or (N, L, P); returns (N, L, P) complex.

    A constant gain is folded into the weights; one that varies with time scales B̃u after the product.
    """
    folded = gain.ndim == 1
    pairs, residuals = call.engine.linear.value(u, input_weights(gain[:, None] * B if folded else B))
    raw = _as_complex(pairs)
    Bu, kept = (raw, None) if folded else (gain * raw, raw)
    return Bu, ProjectResiduals(residuals, B, gain, kept)


def project_vjp(residuals: ProjectResiduals, dBu: Array, call: Call) -> tuple[Array, Array, Array]:
    """(du, dB, dgain) from dBu (N, L, P)."""
    linear, B, gain, raw = residuals
    du, dW, _ = call.engine.linear.vjp(linear, _as_pairs(dBu if raw is None else np.conj(gain) * dBu))
    dB = input_weights_vjp(dW)
    if raw is None:
        return du, np.conj(gain)[:, None] * dB, np.sum(np.conj(B) * dB, axis=1)
    return du, dB, np.conj(raw) * dBu


class ReadoutResiduals(NamedTuple):
    """Residuals of `readout`."""

    linear: Any
    factor: int


def readout(x: Array, C: Array, factor: int, call: Call) -> tuple[Array, ReadoutResiduals]:
    """factor · Re(C x): factor 2 where x holds one of each conjugate pair. x (N, L, P) complex, C (H, P);
    returns (N, L, H).
    """
    y, residuals = call.engine.linear.value(_as_pairs(x), output_weights(factor * C))
    return y, ReadoutResiduals(residuals, factor)


def readout_vjp(residuals: ReadoutResiduals, dy: Array, call: Call) -> tuple[Array, Array]:
    """(dx, dC)."""
    dpairs, dW, _ = call.engine.linear.vjp(residuals.linear, dy)
    return _as_complex(dpairs), residuals.factor * output_weights_vjp(dW)


def _as_complex(pairs: Array) -> Array:
    """(…, 2P) real, contiguous → the same memory as (…, P) complex."""
    return pairs.view(np.result_type(pairs.dtype, np.complex64))


def _as_pairs(z: Array) -> Array:
    """(…, P) complex → the same memory as (…, 2P) real."""
    return np.ascontiguousarray(z, like=z).view(real_dtype(z))


def input_weights(B: Array) -> Array:
    """(P, H) complex → (H, 2P) real, columns Re B_p, Im B_p."""
    P, H = B.shape
    return np.stack([B.real, B.imag], axis=1).reshape(2 * P, H).T


def input_weights_vjp(dW: Array) -> Array:
    return dW[:, 0::2].T + 1j * dW[:, 1::2].T


def output_weights(C: Array) -> Array:
    """(H, P) complex → (2P, H) real, rows Re C_p, −Im C_p: Re(C x) = Re C Re x − Im C Im x."""
    H, P = C.shape
    return np.stack([C.real, -C.imag], axis=2).reshape(H, 2 * P).T


def output_weights_vjp(dW: Array) -> Array:
    """dRe C = dW at the even rows, dIm C = −dW at the odd ones."""
    return dW[0::2].T - 1j * dW[1::2].T
