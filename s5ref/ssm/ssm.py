"""The S5 state-space model: one multi-input multi-output SSM, diagonalised, discretised and scanned.

x_k = Λ̄ x_{k−1} + B̄ u_k,  y_k = 2 Re(C̃ x_k) + D ∘ u_k (conj_sym), Re(C̃ x_k) + D ∘ u_k without.
Source: S5 paper, sections 3 and 4; irregular sampling: section 4.4. Derivation: docs/derivations/ssm.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_reals, check_shape, sum_to_channels, to_complex, to_pairs
from s5ref.engine import Call, Pair
from s5ref.errors import ConfigError, ShapeError
from s5ref.ssm.across import AcrossResiduals, from_last, scan_across, scan_across_vjp
from s5ref.ssm.discretize import (
    Rule,
    TimescaleResiduals,
    asynchronous,
    asynchronous_vjp,
    bilinear,
    bilinear_vjp,
    clip_eigs,
    clip_eigs_vjp,
    dirac,
    dirac_vjp,
    first_order_hold,
    first_order_hold_vjp,
    timescale,
    timescale_vjp,
    zoh,
    zoh_vjp,
)
from s5ref.ssm.project import (
    HeldResiduals,
    ProjectResiduals,
    ReadoutResiduals,
    project,
    project_held,
    project_held_vjp,
    project_vjp,
    readout,
    readout_vjp,
)
from s5ref.ssm.resets import FoldResiduals, check_resets

DISCRETIZATIONS = {
    "zoh": Rule(Pair(zoh, zoh_vjp)),
    "bilinear": Rule(Pair(bilinear, bilinear_vjp)),
    "dirac": Rule(Pair(dirac, dirac_vjp)),
    "async": Rule(Pair(asynchronous, asynchronous_vjp), by_event=True),
    "foh": Rule(Pair(first_order_hold, first_order_hold_vjp), gains=2),
}


@dataclass(frozen=True)
class SSMOptions:
    """What kind of SSM the parameters describe."""

    conj_sym: bool = True
    bidirectional: bool = False
    clip_eigs: bool = False
    discretization: Rule = DISCRETIZATIONS["zoh"]
    learn_initial_state: bool = False


class DirectionResiduals(NamedTuple):
    """Saved by one direction of the scan. ``elements``: by the discretisation and the projection, from which
    the scan's elements Λ̄ and B̄u come; None for the backward direction where it has those of the forward one.
    """

    elements: tuple[Any, ProjectResiduals | HeldResiduals] | None
    fold: FoldResiduals | None  # of the resets
    scan: Any  # `ScanResiduals`, or what an engine saves in their place
    product: Array | None  # of Λ̄, where other processes have other steps: `AcrossResiduals`
    readout: ReadoutResiduals

    @property
    def across(self) -> AcrossResiduals:
        """Those of the scan."""
        return AcrossResiduals(self.fold, self.scan, self.product)


class SSMResiduals(NamedTuple):
    """Residuals of `ssm`."""

    params: Leaves
    u: Array
    valid: Array | None
    given: bool  # whether x0 is; else the first step starts from the leaf, where there is one
    forward: DirectionResiduals
    backward: DirectionResiduals | None


def ssm(
    params: Leaves, u: Array, options: SSMOptions, call: Call, x0: Array | None = None
) -> tuple[tuple[Array, Array], SSMResiduals]:
    """y (N, L, H) and the final state (N, S) from u (N, L, H).

    params: Lambda_re, Lambda_im, log_step (P'), B (P', H, 2), D (H,), and C (H, P', 2), or C1 and C2, or both
    joined as C (H, 2P', 2); where the initial state is learned x0 (P', 2), or x0_1 and x0_2.
    The final state is that after step L, also where ``call.valid`` ends a sequence before.
    x0 (N, S) complex; None: the learned one, or zero. A bidirectional SSM has no state to carry and refuses
    one. S = P', or 2P' where the rule holds an input over two samples: [x | B̃u of the last step]
    (`state_parts`). ``call.resets`` are the steps that start from the learned state, or zero, again.
    Raises S5Error on shapes that do not fit, NaN or infinity in u, or an empty sequence.
    """
    (y, x_last), residuals = ssm_without_feedthrough(params, u, options, call, x0)
    y += params["D"] * residuals.u
    return (y, x_last), residuals


def ssm_vjp(
    residuals: SSMResiduals, d: tuple[Array, Array | None], options: SSMOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams, du, dx0) from (dy, dx_last or None)."""
    u, D, dy = residuals.u, residuals.params["D"], d[0]
    dparams, du, dx0 = ssm_without_feedthrough_vjp(residuals, d, options, call)
    return dparams | {"D": sum_to_channels(u * dy)}, du + D * dy, dx0


def ssm_without_feedthrough(
    params: Leaves, u: Array, options: SSMOptions, call: Call, x0: Array | None = None
) -> tuple[tuple[Array, Array], SSMResiduals]:
    """What passes through the state: y without D ∘ u, and the final state. Arguments as of `ssm`."""
    u = checked(params, u, options, call, x0)
    B, Cs = to_complex(params["B"]), output_matrices(params, options)
    factor = 2 if options.conj_sym else 1
    inputs = u if call.valid is None else u * call.valid  # nothing enters the state from masked padding
    s, scan, ranks = initial_states(params, options), call.engine.scan, call.grid.sequence

    def elements(
        intervals: Array | None, first: Array | None, resets: Array | None, reverse: bool
    ) -> tuple[Array, Array, Array | None, tuple[Any, ProjectResiduals | HeldResiduals]]:
        (Lambda_bar, *gains), residuals = discretised(params, options, call, intervals)
        if options.discretization.gains == 1:
            Bu, projected = project(inputs, B, gains[0], call)
            return Lambda_bar, Bu, None, (residuals, projected)
        (Bu, last), held = project_held(inputs, B, (gains[0], gains[1]), first, resets, reverse, call)
        return Lambda_bar, Bu, last, (residuals, held)

    start, first = (_repeated(s[0], u), None) if x0 is None else state_parts(x0, options)
    Lambda_bar, Bu, last, elements_residuals = elements(call.intervals, first, call.resets, False)
    (x, x_last), across = scan_across(scan, ranks, Lambda_bar, Bu, start, False, call.resets, s[0])
    y, readout_residuals = readout(x, Cs[0], factor, call)
    forward, backward = DirectionResiduals(elements_residuals, *across, readout_residuals), None
    if options.bidirectional:
        own = None
        intervals, ends, resets = from_last(call, s[1] is not None)
        if call.intervals is not None or options.discretization.gains == 2:
            Lambda_bar, Bu, _, own = elements(intervals, None, ends, True)
        (x, _), across = scan_across(scan, ranks, Lambda_bar, Bu, _repeated(s[1], u), True, resets, s[1])
        y_backward, readout_residuals = readout(x, Cs[1], factor, call)
        y += y_backward
        backward = DirectionResiduals(own, *across, readout_residuals)
    state = x_last if last is None else np.concatenate([x_last, last], axis=1)
    return (y, state), SSMResiduals(params, u, call.valid, x0 is not None, forward, backward)


def ssm_without_feedthrough_vjp(
    residuals: SSMResiduals, d: tuple[Array, Array | None], options: SSMOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams without D's, du, dx0) from (dy, dx_last or None)."""
    params, _u, valid, given, f, b = residuals
    (dy, dstate), scan, ranks = d, call.engine.scan, call.grid.sequence
    dx_last, dlast = state_parts(dstate, options)
    dx, dC = readout_vjp(f.readout, dy, call)
    dLambda_bar, dBu, dx0, ds = scan_across_vjp(scan, ranks, f.across, (dx, dx_last))
    dCs, dstates = [dC], [(np.zeros_like(dx0) if given else dx0, ds)]

    def elements_vjp(
        elements: Any, dLambda_bar: Array, dBu: Array, dlast: Array | None
    ) -> tuple[tuple[Array, Array, Array, Array], Array | None]:
        discretization, projection = elements
        dgains: tuple[Array, ...]
        if options.discretization.gains == 1:
            du, dB, dgain = project_vjp(projection, dBu, call)
            dgains, dfirst = (dgain,), None
        else:
            du, dB, dgains, dfirst = project_held_vjp(projection, (dBu, dlast), call)
        return (du, dB, *discretised_vjp(discretization, (dLambda_bar, *dgains), options)), dfirst

    through: list[tuple[Array, Array, Array, Array]] = []
    if b is not None:
        dx, dC = readout_vjp(b.readout, dy, call)
        dLambda_bar_b, dBu_b, dstart, ds = scan_across_vjp(scan, ranks, b.across, (dx, None), True)
        dCs.append(dC)
        dstates.append((dstart, ds))
        if b.elements is None:
            dLambda_bar, dBu = dLambda_bar + dLambda_bar_b, dBu + dBu_b
        else:
            through.append(elements_vjp(b.elements, dLambda_bar_b, dBu_b, None)[0])
    of_forward, dfirst = elements_vjp(f.elements, dLambda_bar, dBu, dlast)
    through.append(of_forward)
    du, dB, dLambda, dlog_step = (sum(parts[1:], parts[0]) for parts in zip(*through, strict=True))
    du = du if valid is None else du * valid
    dseq = {"B": to_pairs(dB), "log_step": dlog_step}
    dparams = eigenvalues_vjp(params, options, dLambda) | dseq | output_matrices_vjp(params, dCs)
    dparams = dparams | initial_states_vjp(options, dstates)
    return dparams, du, dx0 if dfirst is None else np.concatenate([dx0, dfirst], axis=1)


def state_parts(state: Array | None, options: SSMOptions) -> tuple[Array | None, Array | None]:
    """(x, B̃u of the last step) of a carried state (N, S), or of its cotangent. S = P', and the second part
    None, under a rule of one gain; S = 2P' under one of two. B̃u is without gain, for the gain that multiplies
    it belongs to the next step.
    """
    if state is None or options.discretization.gains == 1:
        return state, None
    kept = state.shape[1] // 2
    return state[:, :kept], state[:, kept:]


def discretised(
    params: Leaves, options: SSMOptions, call: Call, intervals: Array | None = None
) -> tuple[tuple[Array, ...], tuple[TimescaleResiduals, Any]]:
    """(Λ̄, *gains): (P',) each, or (N, L, P') of what depends on the intervals (N, L)."""
    Delta, timescale_residuals = timescale(params["log_step"], call.step_rescale, len(params["Lambda_re"]))
    interval = None if intervals is None else intervals[:, :, None]
    elements, residuals = options.discretization.value(eigenvalues(params, options), Delta, interval)
    return elements, (timescale_residuals, residuals)


def discretised_vjp(
    residuals: tuple[TimescaleResiduals, Any], d: tuple[Array, ...], options: SSMOptions
) -> tuple[Array, Array]:
    """(dΛ, dlog_step) from (dΛ̄, *dgains)."""
    dLambda, dDelta = options.discretization.vjp(residuals[1], d)
    return dLambda, timescale_vjp(residuals[0], dDelta)


def eigenvalues(params: Leaves, options: SSMOptions) -> Array:
    """Λ (P',) complex from its two real leaves."""
    Lambda_re = clip_eigs(params["Lambda_re"]) if options.clip_eigs else params["Lambda_re"]
    return Lambda_re + 1j * params["Lambda_im"]


def eigenvalues_vjp(params: Leaves, options: SSMOptions, dLambda: Array) -> dict[str, Array]:
    """The cotangents of Lambda_re and Lambda_im."""
    dLambda_re = dLambda.real
    if options.clip_eigs:
        dLambda_re = clip_eigs_vjp(params["Lambda_re"], dLambda_re)
    return {"Lambda_re": dLambda_re, "Lambda_im": dLambda.imag}


def output_matrices(params: Leaves, options: SSMOptions) -> list[Array]:
    """[C̃], or [C̃1, C̃2] of a bidirectional SSM, each (H, P') complex, however they are stored."""
    if "C1" in params:
        return [to_complex(params["C1"]), to_complex(params["C2"])]
    C = to_complex(params["C"])
    kept = params["Lambda_re"].shape[0]
    return [C[:, :kept], C[:, kept:]] if options.bidirectional else [C]


def output_matrices_vjp(params: Leaves, dCs: list[Array]) -> dict[str, Array]:
    """The cotangent of C1 and C2, or of C, as they are stored."""
    if "C1" in params:
        return {"C1": to_pairs(dCs[0]), "C2": to_pairs(dCs[1])}
    return {"C": to_pairs(np.concatenate(dCs, axis=1))}


def initial_state_names(options: SSMOptions) -> tuple[str, ...]:
    """The leaves (P', 2) of the learned initial state, one a direction; none where it is not learned."""
    if not options.learn_initial_state:
        return ()
    return ("x0_1", "x0_2") if options.bidirectional else ("x0",)


def initial_states(params: Leaves, options: SSMOptions) -> list[Array | None]:
    """Where each direction starts, and starts again at a reset: (P') complex, or None for zero."""
    names = initial_state_names(options)
    return [to_complex(params[name]) for name in names] or [None, None]


def initial_states_vjp(options: SSMOptions, dstates: list[tuple[Array, Array | None]]) -> dict[str, Array]:
    """The cotangents of the leaves that there are, from those of the states (N, P') that start from them, and
    of the resets (P').
    """
    dparams = {}
    for name, (dstart, ds) in zip(initial_state_names(options), dstates, strict=False):
        d = sum_to_channels(dstart)
        dparams[name] = to_pairs(d if ds is None else d + ds)
    return dparams


def _repeated(s: Array | None, u: Array) -> Array | None:
    """The state s (P') of every sequence of u, (N, P')."""
    return None if s is None else s + np.zeros_like(s, shape=(len(u), len(s)))


def checked(params: Leaves, u: Array, options: SSMOptions, call: Call, x0: Array | None) -> Array:
    """u as an array, where what a call gives fits together.

    Raises
    ------
    ShapeError
        On axes, sizes or dtypes that do not fit.
    ConfigError
        On an initial state of a bidirectional SSM.
    """
    kept, features = params["B"].shape[:2]
    u = u if hasattr(u, "dtype") else np.asarray(u, dtype=params["D"].dtype)
    u = check_reals("ssm", "u", u, "N L H", {"H": features}, "H is that of B. Did the encoder run?")
    if u.dtype != params["D"].dtype:
        raise ShapeError(
            f"ssm: u must have the dtype of the parameters, {params['D'].dtype}; got {u.dtype}.",
            "Convert u (astype).",
        )
    sizes = {"N": u.shape[0], "L": u.shape[1], "1": 1}
    if call.intervals is not None:
        check_shape("ssm", "intervals", call.intervals, "N L", sizes)
    if call.valid is not None:
        check_shape("ssm", "valid", call.valid, "N L 1", sizes)
    if call.resets is not None:
        check_resets("ssm", call.resets, "N L", sizes)
    if x0 is not None:
        if options.bidirectional:
            raise ConfigError(
                "ssm: a bidirectional SSM needs the whole sequence and carries no state; got an "
                "initial state.",
                "Use a unidirectional model, or process the sequence in one piece.",
            )
        letter, size = ("S", 2 * kept) if options.discretization.gains == 2 else ("P", kept)
        check_shape("ssm", "x0", x0, f"N {letter}", {"N": u.shape[0], letter: size})
    return u
