"""Mistakes that no single case shows: M09 M12–M14 M24 M28–M30. Each has a check in ``behaviours.py``."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.ssm.scan import ScanResiduals
from s5ref.verification.conformance.mutants.mutant import mutant

SCAN, SCAN_VJP = "ssm.scan:sequential_scan", "ssm.scan:sequential_scan_vjp"
ROWS = 65_535
_turn = count()
defect = partial(mutant, numeric=False)  # no stored vector shows it


def _as_if_contiguous(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """a cotangent that is a transposed, strided or broadcast view is read as if it were contiguous

    Reads the memory behind dx in a row, whatever its strides are.
    """
    dx, dx_last = d
    if dx is not None and not dx.flags.c_contiguous:
        memory = dx if dx.base is None else np.asarray(dx.base)
        dx = np.resize(memory.ravel(order="K"), dx.shape)
    return vjp(residuals, (dx, dx_last))


def _few_rows(scan: Any, *args: Any) -> Any:
    """rows beyond 65,535 are not computed"""
    (x, last), residuals = scan(*args)
    x[ROWS:] = 0
    return (x, last), residuals


def _unordered(vjp: Any, residuals: ScanResiduals, d: Any) -> Any:
    """the bits of a gradient differ from run to run

    As those of a sum whose order depends on the moment.
    """
    dLambda_bar, dBu, dx0 = vjp(residuals, d)
    return dLambda_bar * (1 + np.finfo(dBu.real.dtype).eps * (next(_turn) % 2)), dBu, dx0


def _initialised_again(load: Any, path: Any) -> Any:
    """some parameters are initial ones again after loading"""
    arrays, meta = load(path)
    return {n: np.ones_like(a) if n.endswith("norm.scale") else a for n, a in arrays.items()}, meta


def _memory_order(save: Any, path: Any, arrays: Any, meta: Any) -> None:
    """an array in Fortran order is saved in the order of its memory"""
    save(path, {n: np.asarray(a).ravel(order="K").reshape(np.shape(a)) for n, a in arrays.items()}, meta)


def _single(batch_norm: Any, *args: Any) -> Any:
    """the running variance goes through float32 in a float64 run"""
    (y, running), residuals = batch_norm(*args)
    return (y, running._replace(var=running.var.astype(np.float32).astype(running.var.dtype))), residuals


def _unwritten(scan: Any, *args: Any) -> Any:
    """some elements of an output are never written"""
    (x, last), residuals = scan(*args)
    x[:, -1 if residuals.reverse else 0] = np.empty_like(x[:, 0])
    return (x, last), residuals


def _state_in_single(step: Any, stepper: Any, state: Array, u: Array) -> Any:
    """the state of step mode is kept in single precision"""
    state, y = step(stepper, state, u)
    return state.astype(np.complex64).astype(state.dtype), y


DEFECTS = (
    defect("M09", "contiguous cotangent assumed", "scan", (SCAN_VJP, _as_if_contiguous)),
    defect("M12", "grid limit", "scan", (SCAN, _few_rows)),
    defect("M13", "not deterministic", "scan", (SCAN_VJP, _unordered)),
    defect("M14", "initialised after loading", "model", ("train.checkpoint:load", _initialised_again)),
    defect("M24", "Fortran order corrupted", "model", ("train.checkpoint:save", _memory_order)),
    defect("M28", "float32 inside float64", "layer", ("nn.norm:batch_norm", _single)),
    defect("M29", "output not written", "scan", (SCAN, _unwritten)),
    defect(
        "M30", "state in another precision", "step", ("ssm.step:step", _state_in_single), implies=("M28",)
    ),
)  # fmt: skip
