"""Mistakes of the state space: M02 M18 M19 M20 M22 M23 M25 M36 M37 M39 M40."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array, sum_to_channels
from s5ref.ssm import discretize, hippo, project, ssm, step
from s5ref.verification.conformance.mutants.mutant import Mutant, changed
from s5ref.verification.conformance.stages.stage import Arrays, Case

_zoh, _zoh_vjp, _sum_to = discretize.zoh, discretize.zoh_vjp, discretize._sum_to
_readout, _stepper, _state_matrix = project.readout, step.stepper, hippo.state_matrix
_matrices, _matrices_vjp = ssm.output_matrices, ssm.output_matrices_vjp


def _textbook_vjp(residuals: Any, d: Any) -> Any:
    """∂gain/∂Λ = (ΔΛ̄ − gain)/Λ."""
    Lambda, Delta, Lambda_bar = residuals
    dLambda_bar, dgain = d
    with np.errstate(all="ignore"):
        gain = (Lambda_bar - 1) / Lambda
        slope = (Delta * Lambda_bar - gain) / Lambda
        dLambda = np.conj(Delta * Lambda_bar) * dLambda_bar + np.conj(slope) * dgain
        dDelta = np.real(np.conj(Lambda_bar) * (np.conj(Lambda) * dLambda_bar + dgain))
    return sum_to_channels(dLambda), _sum_to(Delta, dDelta)


def _euler(Lambda: Array, Delta: Array) -> Any:
    (Lambda_bar, _), residuals = _zoh(Lambda, Delta)
    return (Lambda_bar, residuals.Delta + 0 * Lambda_bar), residuals


def _euler_vjp(residuals: Any, d: Any) -> Any:
    dLambda, dDelta = _zoh_vjp(residuals, (d[0], np.zeros_like(d[1])))
    return dLambda, dDelta + _sum_to(residuals.Delta, np.real(d[1]))


def _cancelling(z: Array) -> Array:
    """(eᶻ − 1)/z."""
    safe = np.where(z == 0, np.ones_like(z), z)
    return np.where(z == 0, np.ones_like(z), (np.exp(z) - 1) / safe)


def _cancelled(case: Case) -> Arrays:
    """An ulp of eᶻ is divided by z."""
    if case.stage != "discretize" or case.options["method"] != "zoh":
        return {}
    Delta = np.abs(case.inputs["Delta"]).astype(np.float64)
    z = np.abs(case.inputs["Lambda"]).astype(np.float64) * Delta
    return {"gain": 4 * Delta * (1 + 1 / np.maximum(z, 1e-30))}


def _divided(case: Case) -> Arrays:
    """An ulp of eᶻ is divided by Λ twice."""
    if case.stage != "discretize" or np.ndim(case.inputs["Delta"]) != 1:
        return {}
    Lambda = np.maximum(np.abs(case.inputs["Lambda"]).astype(np.float64), 1e-30)
    return {"dLambda": 8 * np.abs(case.cotangent["gain"]) / Lambda**2}


def _one_factor(x: Array, C: Array, factor: int, call: Any) -> Any:
    return _readout(x, C, 1, call)


def _one_factor_step(params: Any, options: Any, step_rescale: float = 1.0) -> Any:
    found = _stepper(params, options, step_rescale)
    return found._replace(C=found.C / 2) if options.conj_sym else found


def _repeated(ssm_size: int, blocks: int, conj_sym: bool) -> Any:
    found = _state_matrix(ssm_size, blocks, conj_sym)
    return found._replace(Lambda=np.repeat(found.Lambda[: len(found.Lambda) // blocks], blocks))


def _general(n: int) -> Any:
    """Eigenvalues in whatever order eig gives them: pairs stand side by side."""
    return np.linalg.eig(hippo.legs_normal(n).astype(complex))


def _swapped(params: Any, options: Any) -> list[Array]:
    return list(_matrices(params, options)[::-1])


def _swapped_vjp(params: Any, dCs: list[Array]) -> dict[str, Array]:
    return dict(_matrices_vjp(params, dCs[::-1]))


def _conjugated(params: Any, options: Any) -> list[Array]:
    return [np.conj(C) for C in _matrices(params, options)]


def _conjugated_vjp(params: Any, dCs: list[Array]) -> dict[str, Array]:
    return dict(_matrices_vjp(params, [np.conj(dC) for dC in dCs]))


def _of_the_step(residuals: Any, dDelta: Array) -> Array:
    return sum_to_channels(dDelta)


SPACES = (
    Mutant(
        "M02", "repeated eigenvalues",
        "the eigenvalues of the blocks are repeated one by one (a a b b) where the whole block is to be "
        "tiled (a b a b)",
        "init", changed(("s5ref.ssm.hippo", "state_matrix", _repeated)),
    ),
    Mutant(
        "M18", "gradient of Λ by division",
        "the gradient of Lambda divides by Lambda: it cancels for small Delta, and is NaN at 0",
        "discretize", changed(("s5ref.ssm.discretize", "zoh_vjp", _textbook_vjp)), noise=_divided,
    ),
    Mutant(
        "M19", "conjugate gradient convention",
        "your complex gradients are the conjugates of ours: ∂L/∂Re z − i ∂L/∂Im z, JAX's convention; a "
        "convention, not a mistake",
        "discretize", changed(("s5ref.verification.conformance.stages.reference", "convention", np.conj)),
    ),
    Mutant(
        "M20", "no factor 2",
        "your outputs equal S5 without the factor 2 of conjugate symmetry",
        "ssm",
        changed(
            ("s5ref.ssm.project", "readout", _one_factor), ("s5ref.ssm.step", "stepper", _one_factor_step),
        ),
    ),
    Mutant(
        "M22", "Euler gain",
        "your B_bar is Delta · B (Euler), not zero-order hold",
        "discretize",
        changed(("s5ref.ssm.discretize", "zoh", _euler), ("s5ref.ssm.discretize", "zoh_vjp", _euler_vjp)),
    ),
    Mutant(
        "M23", "exp(z) − 1 cancels",
        "your gain is (exp(Lambda Delta) − 1)/Lambda as written, which loses digits where Lambda Delta is "
        "small",
        "discretize", changed(("s5ref.ssm.phi", "phi1", _cancelling)), noise=_cancelled,
    ),
    Mutant(
        "M25", "half of the eigenvalues by position",
        "the kept half of the spectrum holds both members of some conjugate pairs: general eigenvalues "
        "were cut in the middle",
        "init", changed(("s5ref.ssm.hippo", "diagonalise", _general)),
    ),
    Mutant(
        "M36", "C1 and C2 swapped",
        "your C1 reads the backward states and your C2 the forward ones",
        "ssm",
        changed(
            ("s5ref.ssm.ssm", "output_matrices", _swapped),
            ("s5ref.ssm.ssm", "output_matrices_vjp", _swapped_vjp),
        ),
    ),
    Mutant(
        "M37", "backward intervals",
        "your backward direction uses the interval before each step; it must be the one after it",
        "ssm", changed(("s5ref.ssm.ssm", "intervals_after", lambda intervals, valid: intervals)),
    ),
    Mutant(
        "M39", "gradient of Δ",
        "your gradient of log_step is that of Delta itself: it lacks the factor Delta",
        "ssm", changed(("s5ref.ssm.discretize", "timescale_vjp", _of_the_step)),
    ),
    Mutant(
        "M40", "other half, C not conjugated",
        "your outputs equal S5 with the other half of the spectrum kept and C not conjugated with it: y = "
        "2 Re(conj(C) x)",
        "ssm",
        changed(
            ("s5ref.ssm.ssm", "output_matrices", _conjugated),
            ("s5ref.ssm.ssm", "output_matrices_vjp", _conjugated_vjp),
        ),
    ),
)  # fmt: skip
