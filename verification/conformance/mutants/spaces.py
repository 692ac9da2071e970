"""Mistakes of the state space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.ssm import discretize, hippo
from s5ref.verification.conformance.mutants.mutant import Change, Mutant, mutant
from s5ref.verification.conformance.stages.stage import Arrays, Case

CONVENTION = "verification.conformance.stages.reference:convention"
ZOH, ZOH_VJP = "ssm.discretize:zoh", "ssm.discretize:zoh_vjp"
OUTPUTS, OUTPUTS_VJP = "ssm.ssm:output_matrices", "ssm.ssm:output_matrices_vjp"


def _repeated(state_matrix: Any, ssm_size: int, blocks: int, *more: Any) -> Any:
    """the eigenvalues of the blocks are repeated one by one (a a b b) where the whole block is to be tiled
    (a b a b)"""
    state = state_matrix(ssm_size, blocks, *more)
    return state._replace(Lambda=np.repeat(state.Lambda[: len(state.Lambda) // blocks], blocks))


def _divided(case: Case) -> Arrays:
    """An ulp of eᶻ is divided by Λ twice."""
    if case.stage != "discretize" or np.ndim(case.inputs["Delta"]) != 1:
        return {}
    Lambda = np.maximum(np.abs(case.inputs["Lambda"]).astype(np.float64), 1e-30)
    return {"dLambda": 8 * np.abs(case.cotangent["gain"]) / Lambda**2}


def _textbook_vjp(vjp: Any, residuals: Any, d: Any) -> Any:
    """the gradient of Lambda divides by Lambda: it cancels for small Delta, and is NaN at 0

    ∂gain/∂Λ = (ΔΛ̄ − gain)/Λ.
    """
    Lambda, Delta, Lambda_bar = residuals
    dLambda_bar, dgain = d
    with np.errstate(all="ignore"):
        gain = (Lambda_bar - 1) / Lambda
        slope = (Delta * Lambda_bar - gain) / Lambda
        dLambda = np.conj(Delta * Lambda_bar) * dLambda_bar + np.conj(slope) * dgain
        dDelta = np.real(np.conj(Lambda_bar) * (np.conj(Lambda) * dLambda_bar + dgain))
    return sum_to_channels(dLambda), discretize._sum_to(Delta, dDelta)


def _conjugate(convention: Any, d: Array) -> Array:
    """your complex gradients are the conjugates of ours: ∂L/∂Re z − i ∂L/∂Im z, JAX's convention; a
    convention, not a mistake"""
    return np.conj(d)


def _one_factor(readout: Any, x: Array, C: Array, factor: int, call: Any) -> Any:
    """your outputs equal S5 without the factor 2 of conjugate symmetry (if your SSM keeps all states they are
    right: say options = {'conj_sym': False})"""
    return readout(x, C, 1, call)


def _one_factor_step(stepper: Any, params: Any, options: Any, step_rescale: float = 1.0) -> Any:
    once = stepper(params, options, step_rescale)
    return once._replace(C=once.C / 2) if options.conj_sym else once


def _euler(zoh: Any, Lambda: Array, Delta: Array) -> Any:
    """your B_bar is Delta · B (Euler), not zero-order hold"""
    (Lambda_bar, _), residuals = zoh(Lambda, Delta)
    return (Lambda_bar, residuals.Delta + 0 * Lambda_bar), residuals


def _euler_vjp(vjp: Any, residuals: Any, d: Any) -> Any:
    dLambda, dDelta = vjp(residuals, (d[0], np.zeros_like(d[1])))
    return dLambda, dDelta + discretize._sum_to(residuals.Delta, np.real(d[1]))


def _cancelled(case: Case) -> Arrays:
    """An ulp of eᶻ is divided by z."""
    if case.stage != "discretize" or case.options["method"] != "zoh":
        return {}
    Delta = np.abs(case.inputs["Delta"]).astype(np.float64)
    z = np.abs(case.inputs["Lambda"]).astype(np.float64) * Delta
    return {"gain": 4 * Delta * (1 + 1 / np.maximum(z, 1e-30))}


def _cancelling(phi1: Any, z: Array) -> Array:
    """your gain is (exp(Lambda Delta) − 1)/Lambda as written, which loses digits where Lambda Delta is
    small"""
    safe = np.where(z == 0, np.ones_like(z), z)
    return np.where(z == 0, np.ones_like(z), (np.exp(z) - 1) / safe)


def _general(diagonalise: Any, n: int) -> Any:
    """the kept half of the spectrum holds both members of some conjugate pairs: general eigenvalues were cut
    in the middle

    Eigenvalues stand in whatever order eig gives them: pairs side by side.
    """
    return np.linalg.eig(hippo.legs_normal(n).astype(complex))


def _swapped(matrices: Any, params: Any, options: Any) -> list[Array]:
    """your C1 reads the backward states and your C2 the forward ones"""
    return list(matrices(params, options)[::-1])


def _swapped_vjp(vjp: Any, params: Any, dCs: list[Array]) -> Any:
    return vjp(params, dCs[::-1])


def _before(intervals_after: Any, intervals: Array, valid: Array | None, resets: Array | None) -> Array:
    """your backward direction uses the interval before each step; it must be the one after it"""
    return intervals


def _of_the_step(vjp: Any, residuals: Any, dDelta: Array) -> Array:
    """your gradient of log_step is that of Delta itself: it lacks the factor Delta"""
    return sum_to_channels(dDelta)


def _conjugated(matrices: Any, params: Any, options: Any) -> list[Array]:
    """your outputs equal S5 with the other half of the spectrum kept and C not conjugated with it: y = 2
    Re(conj(C) x)"""
    return [np.conj(C) for C in matrices(params, options)]


def _conjugated_vjp(vjp: Any, params: Any, dCs: list[Array]) -> Any:
    return vjp(params, [np.conj(dC) for dC in dCs])


def _interval_gain(asynchronous: Any, Lambda: Array, Delta: Array, interval: Array | None = None) -> Any:
    """your gain of async grows with the interval of the event; it must be that of one step"""
    elements, residuals = discretize.zoh(Lambda, Delta if interval is None else Delta * interval)
    return elements, (residuals, Delta, interval)


def _interval_gain_vjp(vjp: Any, residuals: Any, d: Any) -> Any:
    of_zoh, Delta, interval = residuals
    dLambda, dstep = discretize.zoh_vjp(of_zoh, d)
    return dLambda, dstep if interval is None else discretize._sum_to(Delta, interval * dstep)


def _gains_swapped(hold: Any, Lambda: Array, Delta: Array) -> Any:
    """your first-order hold gives the input of the step before the gain of this one, and the other way
    round
    """
    (Lambda_bar, before, now), residuals = hold(Lambda, Delta)
    return (Lambda_bar, now, before), residuals


def _gains_swapped_vjp(vjp: Any, residuals: Any, d: Any) -> Any:
    return vjp(residuals, (d[0], d[2], d[1]))


def _signs_swapped(bilinear: Any, Lambda: Array, Delta: Array) -> Any:
    """your bilinear transform has its signs swapped: Lambda_bar is (1 − z/2)/(1 + z/2), which grows, and must
    be (1 + z/2)/(1 − z/2), z = Lambda · Delta"""
    return bilinear(-Lambda, Delta)


def _signs_swapped_vjp(vjp: Any, residuals: Any, d: Any) -> Any:
    dLambda, dDelta = vjp(residuals, d)
    return -dLambda, dDelta


def _flattened(ssm: Any, params: Any, u: Array, options: Any, call: Any, x0: Array | None = None) -> Any:
    """your SSM takes a batch for one sequence: an example starts from the last state of the one before"""

    def flat(leaf: Array | None) -> Any:
        return None if leaf is None else leaf.reshape(1, -1, *leaf.shape[2:])

    given = {name: flat(getattr(call, name)) for name in ("intervals", "valid", "resets")}
    start = None if x0 is None else x0[:1]
    (y, state), residuals = ssm(params, flat(u), options, replace(call, **given), start)
    return (y.reshape(u.shape), np.repeat(state, len(u), axis=0)), residuals


def _flattened_vjp(vjp: Any, residuals: Any, d: Any, options: Any, call: Any) -> Any:
    dy, dstate = d
    dlast = None if dstate is None else np.sum(dstate, axis=0, keepdims=True)
    dparams, du, dx0 = vjp(residuals, (dy.reshape(residuals.u.shape), dlast), options, call)
    others = np.zeros_like(dx0, shape=(len(dy) - 1, *dx0.shape[1:]))
    return dparams, du.reshape(dy.shape), np.concatenate([dx0, others])


def _let_through(vjp: Any, Lambda_re: Array, d: Array) -> Array:
    """your clip of Re Lambda lets its gradient through; it must be 0 where Re Lambda is clipped"""
    return d


def _not_rescaled(timescale: Any, log_step: Array, rescale: float, states: int) -> Any:
    """your SSM ignores step_rescale"""
    return timescale(log_step, 1.0, states)


def _not_clipped(clip_eigs: Any, Lambda_re: Array) -> Array:
    """your SSM does not clip its eigenvalues: clip_eigs has no effect"""
    return Lambda_re


SPACES = (
    mutant("M02", "repeated eigenvalues", "init", ("ssm.hippo:state_matrix", _repeated)),
    mutant("M18", "gradient of Λ by division", "discretize", (ZOH_VJP, _textbook_vjp), noise=_divided),
    mutant("M19", "conjugate gradient convention", "discretize", (CONVENTION, _conjugate)),
    mutant(
        "M20", "no factor 2", "ssm",
        ("ssm.project:readout", _one_factor), ("ssm.step:stepper", _one_factor_step),
    ),
    mutant("M22", "Euler gain", "discretize", (ZOH, _euler), (ZOH_VJP, _euler_vjp)),
    mutant("M23", "exp(z) − 1 cancels", "discretize", ("ssm.phi:phi1", _cancelling), noise=_cancelled),
    mutant("M25", "half of the eigenvalues by position", "init", ("ssm.hippo:diagonalise", _general)),
    mutant("M36", "C1 and C2 swapped", "ssm", (OUTPUTS, _swapped), (OUTPUTS_VJP, _swapped_vjp)),
    mutant("M37", "backward intervals", "ssm", ("ssm.intervals:intervals_after", _before)),
    mutant("M39", "gradient of Δ", "ssm", ("ssm.discretize:timescale_vjp", _of_the_step)),
    mutant(
        "M40", "other half, C not conjugated", "ssm", (OUTPUTS, _conjugated), (OUTPUTS_VJP, _conjugated_vjp)
    ),
    mutant(
        "M44", "async gain from the event's interval", "ssm",
        ("ssm.discretize:asynchronous", _interval_gain),
        ("ssm.discretize:asynchronous_vjp", _interval_gain_vjp),
    ),
    mutant(
        "M45", "FOH gains swapped", "ssm",
        ("ssm.discretize:first_order_hold", _gains_swapped),
        ("ssm.discretize:first_order_hold_vjp", _gains_swapped_vjp),
    ),
    mutant(
        "M48", "bilinear signs swapped", "discretize",
        ("ssm.discretize:bilinear", _signs_swapped), ("ssm.discretize:bilinear_vjp", _signs_swapped_vjp),
    ),
    mutant(
        "M60", "batch as one sequence", "ssm",
        ("ssm.ssm:ssm", _flattened), ("ssm.ssm:ssm_vjp", _flattened_vjp),
    ),
    Mutant(
        "M63", "intervals in the decay alone",
        "your intervals enter Lambda_bar alone; under zero-order hold the gain grows with them too", "ssm",
        (Change("s5ref.ssm.ssm:DISCRETIZATIONS", lambda rules: {**rules, "zoh": rules["async"]}),),
    ),
    mutant("M64", "step_rescale ignored", "ssm", ("ssm.discretize:timescale", _not_rescaled)),
    mutant("M68", "gradient of a clip", "ssm", ("ssm.discretize:clip_eigs_vjp", _let_through)),
    mutant(
        "M75", "eigenvalues not clipped", "ssm",
        ("ssm.discretize:clip_eigs", _not_clipped), ("ssm.discretize:clip_eigs_vjp", _let_through),
    ),
)  # fmt: skip
