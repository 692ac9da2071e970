"""From continuous time to steps: (Λ, Δ) → (Λ̄, gain), where B̄ = gain ∘ B̃.

Δ broadcasts against Λ (P,): a scalar or (P,) for regular sampling, (N, L, P) for irregular sampling. The gain
is returned by itself, so that B̄u = gain ∘ (B̃u) never materialises (L, P, H). Derivation:
docs/derivations/discretize.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, as_array, check_finite, check_kind, constant, real_dtype, sum_to_channels
from s5ref.errors import NumericalError, ShapeError
from s5ref.ssm.phi import phi1, phi1_prime, phi1_second, phi2, phi2_prime


class ZOHResiduals(NamedTuple):
    """Residuals of `zoh`."""

    Lambda: Array
    Delta: Array
    Lambda_bar: Array


def zoh(Lambda: Array, Delta: Array) -> tuple[tuple[Array, Array], ZOHResiduals]:
    """Zero-order hold: Λ̄ = exp(ΛΔ), gain = Λ⁻¹(Λ̄ − 1) = Δ φ₁(ΛΔ).

    Lambda (P,) complex, Delta (), (P,) or (N, L, P) real and positive. Source: S5 paper, equation 6.
    """
    Lambda, Delta = _checked("zoh", Lambda, Delta)
    z = Lambda * Delta
    Lambda_bar = np.exp(z)
    return (Lambda_bar, Delta * phi1(z)), ZOHResiduals(Lambda, Delta, Lambda_bar)


def zoh_vjp(residuals: ZOHResiduals, d: tuple[Array, Array]) -> tuple[Array, Array]:
    """(dΛ (P,), dΔ like Δ) from (dΛ̄, dgain): ∂gain/∂Λ = Δ² φ₁′(ΛΔ), and ∂gain/∂Δ = Λ̄, in which nothing
    cancels.
    """
    Lambda, Delta, Lambda_bar = residuals
    dLambda_bar, dgain = d
    dz = np.conj(Lambda_bar) * dLambda_bar + np.conj(Delta * phi1_prime(Lambda * Delta)) * dgain
    dDelta = np.real(np.conj(Lambda_bar) * (np.conj(Lambda) * dLambda_bar + dgain))
    return sum_to_channels(Delta * dz), _sum_to(Delta, dDelta)


class BilinearResiduals(NamedTuple):
    """Residuals of `bilinear`."""

    Lambda: Array
    Delta: Array
    inverse: Array


def bilinear(Lambda: Array, Delta: Array) -> tuple[tuple[Array, Array], BilinearResiduals]:
    """Bilinear (Tustin): Λ̄ = (1 + ΛΔ/2)/(1 − ΛΔ/2), gain = Δ/(1 − ΛΔ/2).

    Lambda (P,) complex, Delta (), (P,) or (N, L, P) real and positive. The pole ΛΔ = 2 lies in the right
    half-plane.
    """
    Lambda, Delta = _checked("bilinear", Lambda, Delta)
    half = Lambda * Delta / 2
    inverse = 1 / (1 - half)
    return ((1 + half) * inverse, Delta * inverse), BilinearResiduals(Lambda, Delta, inverse)


def bilinear_vjp(residuals: BilinearResiduals, d: tuple[Array, Array]) -> tuple[Array, Array]:
    """(dΛ (P,), dΔ like Δ) from (dΛ̄, dgain); with s = 1/(1 − ΛΔ/2): ∂Λ̄/∂z = s², ∂gain/∂Λ = ½Δ²s²,
    ∂gain/∂Δ = s².
    """
    Lambda, Delta, inverse = residuals
    dLambda_bar, dgain = d
    slope = np.conj(inverse * inverse)
    dz = slope * (dLambda_bar + Delta / 2 * dgain)
    dDelta = np.real(slope * (np.conj(Lambda) * dLambda_bar + dgain))
    return sum_to_channels(Delta * dz), _sum_to(Delta, dDelta)


class DiracResiduals(NamedTuple):
    """Residuals of `dirac`."""

    Lambda: Array
    Delta: Array
    Lambda_bar: Array


def dirac(Lambda: Array, Delta: Array) -> tuple[tuple[Array, Array], DiracResiduals]:
    """An impulse at each step: Λ̄ = exp(ΛΔ), gain = 1.

    Parameters
    ----------
    Lambda : (P,) complex
        Eigenvalues, 1/time.
    Delta : (), (P,) or (N, L, P) real
        Step, time; ≥ 0.

    Returns
    -------
    Lambda_bar, gain : like Lambda · Delta
        x_k = Lambda_bar x_{k−1} + gain (B u_k): u_k is the weight of a Dirac impulse, so it carries the unit
        u · time and adds to the state whatever the step is.
    residuals : DiracResiduals

    Raises
    ------
    S5Error
        On shapes or dtypes that do not fit, or a negative step.

    Notes
    -----
    ẋ = Λx + B Σ_k u_k δ(t − t_k). docs/derivations/discretize.md.
    """
    Lambda, Delta = _checked("dirac", Lambda, Delta)
    Lambda_bar = np.exp(Lambda * Delta)
    return (Lambda_bar, np.ones_like(Lambda_bar)), DiracResiduals(Lambda, Delta, Lambda_bar)


def dirac_vjp(residuals: DiracResiduals, d: tuple[Array, Array]) -> tuple[Array, Array]:
    """(dΛ (P,), dΔ like Δ) from (dΛ̄, dgain): with dz = conj(Λ̄) dΛ̄, dΛ = Σ Δ dz, dΔ = Re(conj(Λ) dz)."""
    Lambda, Delta, Lambda_bar = residuals
    dz = np.conj(Lambda_bar) * d[0]
    return sum_to_channels(Delta * dz), _sum_to(Delta, np.real(np.conj(Lambda) * dz))


class FirstOrderHoldResiduals(NamedTuple):
    """Residuals of `first_order_hold`."""

    Lambda: Array
    Delta: Array
    Lambda_bar: Array
    before: Array


def first_order_hold(
    Lambda: Array, Delta: Array
) -> tuple[tuple[Array, Array, Array], FirstOrderHoldResiduals]:
    """First-order hold: u runs linearly from sample to sample; exact for such u.

    Parameters
    ----------
    Lambda : (P,) complex
        Eigenvalues, 1/time.
    Delta : (), (P,) or (N, L, P) real
        Time since the sample before; ≥ 0.

    Returns
    -------
    Lambda_bar, gain_before, gain_now : like Lambda · Delta
        x_k = Lambda_bar x_{k−1} + gain_before (B u_{k−1}) + gain_now (B u_k); the gains have the unit of
        Delta. Delta = 0 gives 1, 0, 0.
    residuals : FirstOrderHoldResiduals

    Raises
    ------
    S5Error
        On shapes or dtypes that do not fit, or a negative step.

    Notes
    -----
    Λ̄ = exp(ΛΔ), gain_before = Δ (φ₁(ΛΔ) − φ₂(ΛΔ)), gain_now = Δ φ₂(ΛΔ). φ₁ − φ₂ = φ₁′, in which nothing
    cancels. Their sum is the gain of `zoh`. Not an option of `SSMConfig` yet: it needs u_{k−1}.
    docs/derivations/discretize.md.
    """
    Lambda, Delta = _checked("first_order_hold", Lambda, Delta)
    z = Lambda * Delta
    Lambda_bar, before = np.exp(z), phi1_prime(z)
    residuals = FirstOrderHoldResiduals(Lambda, Delta, Lambda_bar, before)
    return (Lambda_bar, Delta * before, Delta * phi2(z)), residuals


def first_order_hold_vjp(
    residuals: FirstOrderHoldResiduals, d: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """(dΛ (P,), dΔ like Δ) from (dΛ̄, dgain_before, dgain_now): ∂gain_before/∂z = Δ φ₁″, ∂gain_now/∂z =
    Δ φ₂′, ∂gain_before/∂Δ = Λ̄ − φ₁′, ∂gain_now/∂Δ = φ₁′.
    """
    Lambda, Delta, Lambda_bar, before = residuals
    dLambda_bar, dbefore, dnow = d
    z = Lambda * Delta
    slopes = np.conj(Delta * phi1_second(z)) * dbefore + np.conj(Delta * phi2_prime(z)) * dnow
    dz = np.conj(Lambda_bar) * dLambda_bar + slopes
    decayed = np.conj(Lambda_bar) * (np.conj(Lambda) * dLambda_bar + dbefore)
    dDelta = np.real(decayed + np.conj(before) * (dnow - dbefore))
    return sum_to_channels(Delta * dz), _sum_to(Delta, dDelta)


class TimescaleResiduals(NamedTuple):
    """Residuals of `timescale`."""

    Delta: Array


def timescale(log_step: Array, rescale: float, intervals: Array | None) -> tuple[Array, TimescaleResiduals]:
    """Δ = rescale · exp(log_step) · interval: (P,), or (N, L, P) where intervals (N, L) are given."""
    step = float(rescale) * np.exp(log_step)
    if isinstance(step, np.ndarray) and not (step > 0).all():
        raise NumericalError(
            f"ssm: the step exp(log_step) must be positive; the smallest is {step.min()}.",
            "Check log_step: training may have diverged.",
        )
    Delta = step if intervals is None else step * intervals[:, :, None]
    return Delta, TimescaleResiduals(Delta)


def timescale_vjp(residuals: TimescaleResiduals, dDelta: Array) -> Array:
    """dlog_step (P,) = Σ Δ dΔ."""
    return sum_to_channels(residuals.Delta * dDelta)


def clip_eigs(Lambda_re: Array) -> Array:
    """min(Re Λ, −1e-4): keeps every state decaying."""
    clipped: Array = np.minimum(Lambda_re, constant(-1, 10_000, Lambda_re))
    return clipped


def clip_eigs_vjp(Lambda_re: Array, d: Array) -> Array:
    """The cotangent, and 0 where it was clipped."""
    return np.where(Lambda_re < constant(-1, 10_000, Lambda_re), d, np.zeros_like(d))


def _sum_to(Delta: Array, d: Array) -> Array:
    """The cotangent of Δ in the shape that it had before broadcasting."""
    while d.ndim > Delta.ndim:
        d = np.sum(d, axis=0)
    return d if d.shape == Delta.shape else np.sum(d, axis=-1, keepdims=True)


def _checked(where: str, Lambda: Array, Delta: Array) -> tuple[Array, Array]:
    Lambda = check_kind(where, "Lambda", as_array(Lambda), "c", "complex")
    if not hasattr(Delta, "dtype"):
        Delta = np.asarray(Delta, dtype=real_dtype(Lambda))
    check_kind(where, "Delta", Delta, "f", "real")
    if len(Lambda.shape) != 1 or (Delta.shape and Delta.shape[-1] not in (1, Lambda.shape[0])):
        raise ShapeError(
            f"{where}: Delta must be () or (…, P) with P = Lambda's length; got Delta {Delta.shape}, "
            f"Lambda {Lambda.shape}.",
            "Pass one step per kept state, or a scalar.",
        )
    check_finite(where, "Lambda", Lambda)
    if isinstance(Delta, np.ndarray) and not (Delta >= 0).all():
        raise NumericalError(
            f"{where}: Delta must not be negative; the smallest is {Delta.min()}.",
            "Delta is the step itself, not its logarithm: pass exp(log_step).",
        )
    return Lambda, Delta
