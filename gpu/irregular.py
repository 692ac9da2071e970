"""What passes through the state on a device under irregular sampling: `s5ref.ssm.ssm.ssm_without_feedthrough` where the
call has intervals.

Both directions scan the same raw = B̃u, one product with constant weights, and kernels make Λ̄_k and gain_k of
the intervals (hold.py): of Δ, Λ̄ and gain (N, L, P) there is nothing in memory. Saved values are the
reference's, without these and with `Hold` for `Scan`; the backward direction shares the projection.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from s5ref.arrays import Array, complex_dtype, real_dtype, to_complex, to_pairs
from s5ref.engine import Call
from s5ref.gpu.hold import RULES, Held, Hold, hold_scan, hold_scan_vjp
from s5ref.gpu.launch import Launcher
from s5ref.ssm.project import ProjectResiduals, input_weights, input_weights_vjp, readout, readout_vjp
from s5ref.ssm.ssm import (
    DirectionResiduals,
    SSMOptions,
    SSMResiduals,
    checked,
    eigenvalues,
    eigenvalues_vjp,
    intervals_after,
    output_matrices,
    output_matrices_vjp,
)


def takes(options: SSMOptions, call: Call) -> bool:
    """Whether the call is sampled irregularly, by a rule that there are kernels for."""
    return call.intervals is not None and options.discretization in RULES


def took(residuals: SSMResiduals) -> bool:
    """Whether `response` saved it: the call of a backward pass knows no intervals."""
    return isinstance(residuals.forward.scan, Hold)


def ssm_without_feedthrough(
    on: Launcher,
    params: Mapping[str, Array],
    u: Array,
    options: SSMOptions,
    call: Call,
    x0: Array | None = None,
) -> tuple[tuple[Array, Array], SSMResiduals]:
    """y without D ∘ u, and the final state; arguments and values as of `s5ref.ssm.ssm.ssm_without_feedthrough`."""
    u, intervals = checked(params, u, options, call, x0), call.intervals
    assert intervals is not None
    B, Cs = to_complex(params["B"]), output_matrices(params, options)
    factor = 2 if options.conj_sym else 1
    inputs = u if call.valid is None else u * call.valid  # nothing enters the state from masked padding
    pairs, linear = call.engine.linear.value(inputs, input_weights(B))
    raw = pairs.view(complex_dtype(pairs))
    step = float(call.step_rescale) * np.exp(params["log_step"])
    held = Held(RULES[options.discretization], eigenvalues(params, options), step, intervals)
    (x, x_last), hold = hold_scan(on, held, raw, x0)
    y, readout_residuals = readout(x, Cs[0], factor, call)
    forward = DirectionResiduals(None, None, ProjectResiduals(linear, B, None, None), hold, readout_residuals)  # type: ignore[arg-type]
    backward = None
    if options.bidirectional:
        held = held._replace(intervals=intervals_after(intervals, call.valid))
        (x, _), hold = hold_scan(on, held, raw, None, True)
        y_backward, readout_residuals = readout(x, Cs[1], factor, call)
        y += y_backward
        backward = DirectionResiduals(None, None, None, hold, readout_residuals)
    return (y, x_last), SSMResiduals(params, u, call.valid, forward, backward)


def ssm_without_feedthrough_vjp(
    on: Launcher, residuals: SSMResiduals, d: tuple[Array, Array | None], options: SSMOptions, call: Call
) -> tuple[dict[str, Array], Array, Array]:
    """(dparams without D's, du, dx0) from (dy, dx_last or None)."""
    params, _u, valid, f, b = residuals
    dy, dx_last = d
    assert f.project is not None
    dx, dC = readout_vjp(f.readout, dy, call)
    hold: Hold = f.scan
    dLambda, dstep, draw, dx0 = hold_scan_vjp(on, hold, (dx, dx_last))
    dCs = [dC]
    if b is not None:
        dx, dC = readout_vjp(b.readout, dy, call)
        dCs.append(dC)
        dLambda_b, dstep_b, draw, _ = hold_scan_vjp(on, b.scan, (dx, None), onto=draw)
        dLambda, dstep = dLambda + dLambda_b, dstep + dstep_b
    du, dW, _ = call.engine.linear.vjp(f.project.linear, draw.view(real_dtype(draw)))
    du = du if valid is None else du * valid
    dseq = {"B": to_pairs(input_weights_vjp(dW)), "log_step": hold.held.step * dstep}
    dparams = eigenvalues_vjp(params, options, dLambda) | dseq | output_matrices_vjp(params, dCs)
    return dparams, du, dx0
