"""Zero-order hold, one state after the other. Stands in for s5ref.ssm.discretize.zoh under regular sampling.

A layer has tens of states: of array expressions, forty for φ₁ alone, each would cost more than what it does.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from s5ref.arrays import Array
from s5ref.cpu.compile import compiled
from s5ref.engine import Pair
from s5ref.ssm import discretize
from s5ref.ssm.discretize import Rule, ZOHResiduals
from s5ref.ssm.phi import PHI1, PHI1_PRIME, series
from s5ref.ssm.ssm import SSMOptions


def zoh(Lambda: Array, Delta: Array) -> tuple[tuple[Array, Array], ZOHResiduals]:
    """Λ̄ = exp(ΛΔ), gain = Δ φ₁(ΛΔ). Lambda (P,) complex64 or complex128, Delta (P,). The reference
    refuses what is not finite, and a negative Δ.
    """
    Lambda_bar, gain = np.empty_like(Lambda), np.empty_like(Lambda)
    if not _zoh(Lambda, Delta, _terms(Delta.dtype)[0], Lambda_bar, gain):
        return discretize.zoh(Lambda, Delta)
    return (Lambda_bar, gain), ZOHResiduals(Lambda, Delta, Lambda_bar)


def zoh_vjp(residuals: ZOHResiduals, d: tuple[Array, Array]) -> tuple[Array, Array]:
    """(dΛ, dΔ)."""
    dLambda, dDelta = np.empty_like(residuals.Lambda), np.empty_like(residuals.Delta)
    _zoh_vjp(*residuals, _terms(dDelta.dtype)[1], *d, dLambda, dDelta)
    return dLambda, dDelta


@cache
def with_compiled_zoh(options: SSMOptions) -> SSMOptions:
    """The same SSM, discretised by the functions above where its own are those that they stand in for."""
    own = options.discretization == Rule(Pair(discretize.zoh, discretize.zoh_vjp))
    return replace(options, discretization=Rule(Pair(zoh, zoh_vjp))) if own else options


@cache
def _terms(real: np.dtype[Any]) -> tuple[Array, Array]:
    """The coefficients of φ₁ and of φ₁′, the last first."""
    return np.array(series(PHI1, real), real), np.array(series(PHI1_PRIME, real), real)


@register_jitable
def _series(terms: Any, z: Any) -> Any:
    total = z * terms[0]
    for k in range(1, terms.size - 1):
        total = (total + terms[k]) * z
    return total + terms[-1]


@compiled
def _zoh(Lambda, Delta, terms, Lambda_bar, gain):  # type: ignore[no-untyped-def]
    """Whether all Λ are finite and no Δ is negative, and so Λ̄ and the gain."""
    fits = True
    for p in range(Lambda.size):
        z = Lambda[p] * Delta[p]
        e = np.exp(z)
        Lambda_bar[p] = e
        gain[p] = Delta[p] * (_series(terms, z) if abs(z) <= 1 else (e - terms[-1]) / z)
        fits = fits and Delta[p] >= 0 and np.isfinite(Lambda[p])
    return fits


@compiled
def _zoh_vjp(Lambda, Delta, Lambda_bar, terms, dLambda_bar, dgain, dLambda, dDelta):  # type: ignore[no-untyped-def]
    one = terms[-1] + terms[-1]
    for p in range(Lambda.size):
        z, e = Lambda[p] * Delta[p], Lambda_bar[p]
        slope = _series(terms, z) if abs(z) <= 1 else ((e * (z - one) + one) / z) / z
        dz = e.conjugate() * dLambda_bar[p] + (Delta[p] * slope).conjugate() * dgain[p]
        dLambda[p] = Delta[p] * dz
        dDelta[p] = (e.conjugate() * (Lambda[p].conjugate() * dLambda_bar[p] + dgain[p])).real
