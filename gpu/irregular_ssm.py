"""The SSM under irregular sampling on a device: `s5ref.ssm.ssm.ssm_without_feedthrough` for a call with
intervals, by the kernels of irregular_scan.py.

Both directions scan the same raw = B̃u, one product with constant weights. Nothing but raw and the states is
an array of the size (N, L, P): Δ, Λ̄ and gain exist in registers only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, to_complex, to_pairs
from s5ref.engine import Call
from s5ref.gpu.irregular_scan import (
    RULES,
    IrregularScanResiduals,
    PerStepCoefficients,
    irregular_scan,
    irregular_scan_vjp,
)
from s5ref.gpu.launch import Launcher
from s5ref.ssm.discretize import (
    TimescaleResiduals,
    ZOHResiduals,
    timescale,
    timescale_vjp,
    zoh,
    zoh_vjp,
)
from s5ref.ssm.intervals import intervals_after
from s5ref.ssm.project import (
    ProjectResiduals,
    ReadoutResiduals,
    project,
    project_vjp,
    readout,
    readout_vjp,
)
from s5ref.ssm.ssm import (
    SSMOptions,
    checked,
    eigenvalues,
    eigenvalues_vjp,
    output_matrices,
    output_matrices_vjp,
)


class IrregularSSMResiduals(NamedTuple):
    """Residuals of `irregular_ssm`: the parameters, those of Δ, of the product B̃u, and of a gain that does
    not depend on the intervals, and for each direction those of the scan and of the readout.
    """

    params: Leaves
    timescale: TimescaleResiduals
    projection: ProjectResiduals
    hold: ZOHResiduals | None
    directions: list[tuple[IrregularScanResiduals, ReadoutResiduals]]


def irregular_ssm(
    on: Launcher, params: Leaves, u: Array, options: SSMOptions, call: Call,
    x0: Array | None = None,
) -> tuple[tuple[Array, Array], IrregularSSMResiduals]:  # fmt: skip
    """y (N, L, H) without D ∘ u, and the final state (N, P)."""
    u, intervals = checked(params, u, options, call, x0), call.intervals
    assert intervals is not None
    inputs = u if call.valid is None else u * call.valid  # nothing enters the state from masked padding
    step, of_step = timescale(params["log_step"], call.step_rescale, len(params["Lambda_re"]))
    rule, Lambda = RULES[options.discretization], eigenvalues(params, options)
    gain, hold = np.ones_like(Lambda), None
    if options.discretization.by_event:
        (_, gain), hold = zoh(Lambda, step)
    raw, projection = project(inputs, to_complex(params["B"]), gain, call)
    forward = PerStepCoefficients(rule, Lambda, step, intervals)
    (x, x_last), scan = irregular_scan(on, forward, raw, x0)
    C, *C_backward = output_matrices(params, options)
    factor = 2 if options.conj_sym else 1
    y, read = readout(x, C, factor, call)
    directions = [(scan, read)]
    if options.bidirectional:
        backward = forward._replace(intervals=intervals_after(intervals, call.valid))
        (x, _), scan = irregular_scan(on, backward, raw, None, True)
        y_backward, read = readout(x, C_backward[0], factor, call)
        y += y_backward
        directions.append((scan, read))
    return (y, x_last), IrregularSSMResiduals(params, of_step, projection, hold, directions)


def irregular_ssm_vjp(
    on: Launcher, residuals: IrregularSSMResiduals, d: tuple[Array, Array | None], options: SSMOptions,
    call: Call,
) -> tuple[dict[str, Array], Array, Array]:  # fmt: skip
    """(dparams without D's, du, dx0) from (dy, dx_last or None)."""
    params, of_step, projection, hold, directions = residuals
    dy, dx_last = d
    (scan, read), *backward = directions
    dx, dC = readout_vjp(read, dy, call)
    dLambda, dstep, draw, dx0 = irregular_scan_vjp(on, scan, (dx, dx_last))
    dCs = [dC]
    for scan_b, read_b in backward:
        dx, dC = readout_vjp(read_b, dy, call)
        dLambda_b, dstep_b, draw, _ = irregular_scan_vjp(on, scan_b, (dx, None), add_to=draw)
        dLambda, dstep = dLambda + dLambda_b, dstep + dstep_b
        dCs.append(dC)
    du, dB, dgain = project_vjp(projection, draw, call)
    if hold is not None:
        dLambda_hold, dstep_hold = zoh_vjp(hold, (np.zeros_like(dgain), dgain))
        dLambda, dstep = dLambda + dLambda_hold, dstep + dstep_hold
    du = du if call.valid is None else du * call.valid
    dseq = {"B": to_pairs(dB), "log_step": timescale_vjp(of_step, dstep)}
    dparams = eigenvalues_vjp(params, options, dLambda) | dseq | output_matrices_vjp(params, dCs)
    return dparams, du, dx0
