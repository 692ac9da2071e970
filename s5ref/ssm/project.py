"""Into the state space and out of it: B̄u and Re(C̃x), each as one real 2-D matrix product.

Complex weights are laid out with interleaved real and imaginary parts, so that the product of real u and W
*is* the complex array viewed as pairs: half the arithmetic of a complex product. Derivation:
docs/derivations/ssm.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, real_dtype, sum_to_channels
from s5ref.engine import Call
from s5ref.ssm.across import held_across, held_across_vjp


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


class HeldResiduals(NamedTuple):
    """Residuals of `project_held`; ``raw`` is B̃u, ``before`` that of the step before."""

    linear: Any
    gains: tuple[Array, Array]
    raw: Array
    before: Array
    resets: Array | None
    reverse: bool


def project_held(
    u: Array,
    B: Array,
    gains: tuple[Array, Array],
    first: Array | None,
    resets: Array | None,
    reverse: bool,
    call: Call,
) -> tuple[tuple[Array, Array], HeldResiduals]:
    """gain_before ∘ (B̃u_{k−1}) + gain ∘ (B̃u_k), and B̃u of the last step: a hold that needs two samples.

    u (N, L, H) real, B (P, H) complex, gains (gain_before, gain) (P,) or (N, L, P) each; first (N, P): B̃u
    before the first step, None: 0; at ``resets`` (N, L) bool it is 0. Reversed in time u_{k+1} takes the
    place of u_{k−1}, and the last step is the first.
    Returns ((N, L, P), (N, P)) complex.
    """
    pairs, residuals = call.engine.linear.value(u, input_weights(B))
    raw = _as_complex(pairs)
    last = raw[:, 0] if reverse else raw[:, -1]
    first, last = held_across(call.grid.sequence, last, first, reverse)
    before = step_before(raw, first, resets, reverse)
    Bu = gains[0] * before + gains[1] * raw
    return (Bu, last), HeldResiduals(residuals, gains, raw, before, resets, reverse)


def project_held_vjp(
    residuals: HeldResiduals, d: tuple[Array, Array | None], call: Call
) -> tuple[Array, Array, tuple[Array, Array], Array]:
    """(du, dB, dgains, dfirst) from (dBu (N, L, P), dlast (N, P) or None)."""
    linear, (gain_before, gain), raw, before, resets, reverse = residuals
    dBu, dlast = d
    draw, dfirst = step_before_vjp(np.conj(gain_before) * dBu, resets, reverse)
    dfirst, dlast = held_across_vjp(call.grid.sequence, dfirst, dlast, reverse)
    draw = draw + np.conj(gain) * dBu
    if dlast is not None:
        draw[:, 0 if reverse else -1] += dlast
    du, dW, _ = call.engine.linear.vjp(linear, _as_pairs(draw))
    dgains = np.conj(before) * dBu, np.conj(raw) * dBu
    if gain.ndim == 1:
        dgains = sum_to_channels(dgains[0]), sum_to_channels(dgains[1])
    return du, input_weights_vjp(dW), dgains, dfirst


def step_before(x: Array, first: Array | None, resets: Array | None, reverse: bool) -> Array:
    """x_{k−1} at step k, of x (N, L, P): ``first`` (N, P) at step 0, None: 0; 0 at resets. Reversed x_{k+1},
    and ``first`` at step L − 1.
    """
    start = np.zeros_like(x[:, :1]) if first is None else first[:, None]
    before = np.concatenate([x[:, 1:], start] if reverse else [start, x[:, :-1]], axis=1)
    return before if resets is None else np.where(resets[:, :, None], np.zeros_like(before), before)


def step_before_vjp(d: Array, resets: Array | None, reverse: bool) -> tuple[Array, Array]:
    """(dx, dfirst): each step of d goes to the step that it came from, and at resets nowhere."""
    none = np.zeros_like(d[:, :1])
    if resets is not None:
        d = np.where(resets[:, :, None], none, d)
    if reverse:
        return np.concatenate([none, d[:, :-1]], axis=1), d[:, -1]
    return np.concatenate([d[:, 1:], none], axis=1), d[:, 0]


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
