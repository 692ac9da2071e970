"""Mistakes that no single case shows: M09 M12–M14 M24 M28–M30 M70–M74. Each has a check of
behaviour.
"""

from __future__ import annotations

from dataclasses import replace
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

    As those of sums whose order depends on the moment.
    """
    dLambda_bar, dBu, dx0 = vjp(residuals, d)
    off = 1 + np.finfo(dBu.real.dtype).eps * (next(_turn) % 2)
    return dLambda_bar * off, dBu * off, dx0


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


def _sums_of_logarithms(
    scan: Any, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> Any:
    """the rounding of your scan grows with the number of steps, as where logarithms of Lambda_bar are added
    up

    Λ̄_k is exp(A_k − A_{k−1}) with A_k = Σ log Λ̄ rounded: products of many are then exp(A_k − A_j).
    """
    a = np.broadcast_to(Lambda_bar, Bu.shape)
    order = slice(None, None, -1 if reverse else 1)
    with np.errstate(divide="ignore"):
        logs = np.log(a[:, order])
    zero = ~np.isfinite(logs)
    A = np.cumsum(np.where(zero, np.zeros_like(logs), logs), axis=1)
    ratios = np.exp(np.diff(A, axis=1, prepend=np.zeros_like(A[:, :1])))
    ratios = np.where(zero, np.zeros_like(ratios), ratios)[:, order]
    (x, last), _ = scan(ratios, Bu, x0, reverse)
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def _unscaled(dropout_mask: Any, *given: Any) -> Array:
    """your dropout leaves what it keeps as it is; it must divide it by 1 − p"""
    return np.asarray(np.sign(dropout_mask(*given)))


def _keeps_what_is_to_drop(dropout_mask: Any, key: Any, n: int, features: int, rate: float, like: Any) -> Any:
    """your dropout keeps a feature with the probability p with which it must drop it"""
    return dropout_mask(key, n, features, 1 - rate, like)


def _one_for_all(dropout_mask: Any, *given: Any) -> Array:
    """your dropout draws one mask for all examples of a batch; each must have its own"""
    mask = dropout_mask(*given)
    return np.broadcast_to(mask[:1], mask.shape)


def _always(draw_masks: Any, n_layers: int, n: int, features: int, rate: float, call: Any, like: Any) -> Any:
    """your dropout goes on in evaluation"""
    return draw_masks(n_layers, n, features, rate, replace(call, training=True), like)


MASK = "nn.dropout:dropout_mask"
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
    defect("M70", "rounding grows with the length", "scan", (SCAN, _sums_of_logarithms)),
    defect("M71", "dropout not scaled", "layer", (MASK, _unscaled)),
    defect("M72", "rate taken for what is kept", "layer", (MASK, _keeps_what_is_to_drop)),
    defect("M73", "one mask for the batch", "layer", (MASK, _one_for_all)),
    defect("M74", "dropout in evaluation", "layer", ("model.stack:draw_masks", _always)),
)  # fmt: skip
