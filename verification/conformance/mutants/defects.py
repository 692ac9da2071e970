"""Mistakes that no single case shows: M09 M11–M15 M24 M28–M30. Each has a check in ``behaviours.py``."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.model import chunks
from s5ref.nn import norm
from s5ref.optim import adamw as optim
from s5ref.ssm import step
from s5ref.ssm.scan import ScanResiduals, sequential_scan, sequential_scan_vjp
from s5ref.train import checkpoint
from s5ref.verification.conformance.mutants.mutant import Mutant, changed

_chunked, _save, _load = chunks.chunked_loss_and_grad, checkpoint.save, checkpoint.load
_table, _batch_norm, _one_step = optim.group_table, norm.batch_norm, step.step
ROWS = 65_535
_turn = count()


def _as_if_contiguous(residuals: ScanResiduals, d: Any) -> Any:
    """Reads the memory behind dx in a row, whatever its strides are."""
    dx, dx_last = d
    if dx is not None and not dx.flags.c_contiguous:
        memory = dx if dx.base is None else np.asarray(dx.base)
        dx = np.resize(memory.ravel(order="K"), dx.shape)
    return sequential_scan_vjp(residuals, (dx, dx_last))


def _no_gradient_across(*args: Any, **options: Any) -> Any:
    return _chunked(*args, **{**options, "truncate": True})


def _few_rows(Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    """Rows beyond what a grid holds are left at zero."""
    (x, last), residuals = sequential_scan(Lambda_bar, Bu, x0, reverse)
    x[ROWS:] = 0
    return (x, last), residuals


def _unordered(residuals: ScanResiduals, d: Any) -> Any:
    """A sum whose order depends on the moment: its last bit differs from run to run."""
    dLambda_bar, dBu, dx0 = sequential_scan_vjp(residuals, d)
    return dLambda_bar * (1 + np.finfo(dBu.real.dtype).eps * (next(_turn) % 2)), dBu, dx0


def _initialised_again(path: Any) -> Any:
    arrays, meta = _load(path)
    return {n: np.ones_like(a) if n.endswith("norm.scale") else a for n, a in arrays.items()}, meta


def _matches_nothing(names: Any, config: Any) -> Any:
    """A pattern misspelt: log_step falls through to the regular group."""
    table = _table(names, config)
    regular = next(group for group in table.values() if group.name == "regular")
    return {name: regular if name.endswith("log_step") else group for name, group in table.items()}


def _memory_order(path: Any, arrays: Any, meta: Any) -> None:
    _save(path, {n: np.asarray(a).ravel(order="K").reshape(np.shape(a)) for n, a in arrays.items()}, meta)


def _single(*args: Any) -> Any:
    (y, running), residuals = _batch_norm(*args)
    return (y, running._replace(var=running.var.astype(np.float32).astype(running.var.dtype))), residuals


def _unwritten(Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False) -> Any:
    (x, last), residuals = sequential_scan(Lambda_bar, Bu, x0, reverse)
    x[:, -1 if reverse else 0] = np.empty_like(x[:, 0])
    return (x, last), residuals


def _state_in_single(stepper: Any, state: Array, u: Array) -> Any:
    state, y = _one_step(stepper, state, u)
    return state.astype(np.complex64).astype(state.dtype), y


DEFECTS = (
    Mutant(
        "M09", "contiguous cotangent assumed",
        "a cotangent that is a transposed, strided or broadcast view is read as if it were contiguous",
        "scan", changed(("s5ref.ssm.scan", "sequential_scan_vjp", _as_if_contiguous)), False,
    ),
    Mutant(
        "M11", "shards that are not the last",
        "no gradient crosses the boundary of a chunk",
        "model", changed(("s5ref.model.chunks", "chunked_loss_and_grad", _no_gradient_across)), False,
    ),
    Mutant(
        "M12", "grid limit",
        "rows beyond 65,535 are not computed",
        "scan", changed(("s5ref.ssm.scan", "sequential_scan", _few_rows)), False,
    ),
    Mutant(
        "M13", "not deterministic",
        "the bits of a gradient differ from run to run",
        "scan", changed(("s5ref.ssm.scan", "sequential_scan_vjp", _unordered)), False,
    ),
    Mutant(
        "M14", "initialised after loading",
        "some parameters are initial ones again after loading",
        "model", changed(("s5ref.train.checkpoint", "load", _initialised_again)), False,
    ),
    Mutant(
        "M15", "a group that matches nothing",
        "log_step is in no group of its own: it takes the regular rate and decay",
        "update", changed(("s5ref.optim.adamw", "group_table", _matches_nothing)), False,
    ),
    Mutant(
        "M24", "Fortran order corrupted",
        "an array in Fortran order is saved in the order of its memory",
        "model", changed(("s5ref.train.checkpoint", "save", _memory_order)), False,
    ),
    Mutant(
        "M28", "float32 inside float64",
        "the running variance goes through float32 in a float64 run",
        "layer", changed(("s5ref.nn.norm", "batch_norm", _single)), False,
    ),
    Mutant(
        "M29", "output not written",
        "some elements of an output are never written",
        "scan", changed(("s5ref.ssm.scan", "sequential_scan", _unwritten)), False,
    ),
    Mutant(
        "M30", "state in another precision",
        "the state of step mode is kept in single precision",
        "step", changed(("s5ref.ssm.step", "step", _state_in_single)), False,
    ),
)  # fmt: skip
