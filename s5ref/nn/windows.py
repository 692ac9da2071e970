"""Event pooling: of every window of steps one step, so that what follows runs on fewer. Derivation:
docs/derivations/windows.md.

Window j of stride s is the steps js … js + s − 1; the last one may be shorter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array

MODES = ("mean", "last")


class Window(NamedTuple):
    """A pooling: of how many steps, and by which of `MODES`."""

    stride: int
    mode: str


class WindowResiduals(NamedTuple):
    """Residuals of `pool_windows`: the weight (N or 1, L, 1) of each step within its window."""

    weight: Array
    stride: int


def pool_windows(x: Array, window: Window, valid: Array | None) -> tuple[Array, WindowResiduals]:
    """The mean over the valid steps of each window, or the last of them.

    Parameters
    ----------
    x : (N, L, H)
    window : Window
    valid : (N, L, 1) bool or None
        The valid steps, which come first in each row; None: all.

    Returns
    -------
    y : (N, ⌈L/s⌉, H)
        0 for a window without a valid step.
    residuals : WindowResiduals
    """
    stride, mode = window
    inside = cut(np.ones_like(x[:1, :, :1]) if valid is None else valid.astype(x.dtype), stride)
    if mode == "mean":
        weight = inside / np.maximum(np.sum(inside, axis=2, keepdims=True), 1)
    else:  # a step is the last one where the step after it is not valid, or in another window
        after = np.concatenate([inside[:, :, 1:], np.zeros_like(inside[:, :, :1])], axis=2)
        weight = inside - after
    cells = cut(x, stride)
    # where, not product alone: what stands at padding must not count even if it is infinite
    y: Array = np.sum(np.where(weight != 0, cells * weight, np.zeros_like(cells)), axis=2)
    return y, WindowResiduals(weight.reshape(weight.shape[0], -1, 1)[:, : x.shape[1]], stride)


def pool_windows_vjp(residuals: WindowResiduals, dy: Array) -> Array:
    """dx (N, L, H): at every step its weight times dy of its window."""
    weight, stride = residuals
    dx: Array = weight * np.repeat(dy, stride, axis=1)[:, : weight.shape[1]]
    return dx


def cut(x: Array, stride: int) -> Array:
    """The windows of x (N, L, …) as (N, ⌈L/s⌉, s, …), zeros behind its end."""
    N, L, *rest = x.shape
    if more := -L % stride:
        x = np.concatenate([x, np.zeros_like(x, shape=(N, more, *rest))], axis=1)
    return x.reshape(N, -1, stride, *rest)
