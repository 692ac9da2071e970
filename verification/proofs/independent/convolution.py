"""Convolutions by FFT, the convolution form of S5, and S4's shifted kernel in two directions.
docs/derivations/convolution.md."""

from __future__ import annotations

import numpy as np

from s5ref.verification.proofs.independent import s4d
from s5ref.verification.proofs.independent.matrices import C128, F64


def per_input(K: C128, u: F64) -> C128:
    """x^(h)_k = Σ_{l≤k} K_l^(h) u^(h)_{k−l} for every input by itself, (H, L, M); K (L, M, H), u (L, H).
    Zero-padded to 2L."""
    L = len(u)
    n = 2 * L
    spectrum = np.fft.fft(K, n, axis=0) * np.fft.fft(u, n, axis=0)[:, None, :]
    return np.asarray(np.fft.ifft(spectrum, axis=0)[:L].transpose(2, 0, 1))


def _filtered(spectrum: C128, u: F64) -> F64:
    """Outputs (L, M) of a kernel of length 2L with this spectrum (L + 1, M, H)."""
    n = 2 * len(u)
    product = np.einsum("fmh,fh->fm", spectrum, np.fft.rfft(u, n, axis=0))
    return np.asarray(np.fft.irfft(product, n, axis=0)[: len(u)])


def causal(K: F64, u: F64) -> F64:
    """y_k = Σ_{l≤k} K_l u_{k−l}, real, (L, M)."""
    return _filtered(np.fft.rfft(K, 2 * len(u), axis=0), u)


def anticausal(K: F64, u: F64) -> F64:
    """y_k = Σ_{l≥0} K_l u_{k+l}: S5's backward direction, which holds u_k. A correlation: the conjugated
    spectrum."""
    return _filtered(np.fft.rfft(K, 2 * len(u), axis=0).conj(), u)


def s4_bidirectional(K0: F64, K1: F64, u: F64) -> F64:
    """y_t = Σ_{j≥0} K0[j] u_{t−j} + Σ_{j≥0} K1[j] u_{t+1+j}, as the official code: one circular kernel [K0,
    flipped K1] of 2L."""
    return _filtered(np.fft.rfft(np.concatenate([K0, K1[::-1]], axis=0), axis=0), u)


def s5_kernel(Lambda: C128, Delta: F64, B: C128, C: C128, L: int, rule: str, conj_sym: bool) -> F64:
    """K_l = f Re(C̃ Λ̄^l B̄), (L, H, H), f = 2 under conjugate symmetry and 1 without. Delta (P,), B (P,
    H), C (H, P)."""
    states = s4d.state_kernel(Lambda, B, Delta, L, rule)
    return np.asarray((2 if conj_sym else 1) * np.einsum("hp,lpi->lhi", C, states).real)
