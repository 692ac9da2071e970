"""The encoder and the layers, and what pools steps between them: from inputs to features (N, L, H).
Derivation: docs/derivations/stack.md, windows.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call
from s5ref.errors import ConfigError
from s5ref.model.block import BlockOptions
from s5ref.model.encoders import Encoder
from s5ref.model.mix import Masks
from s5ref.nn.dropout import dropout_mask
from s5ref.nn.windows import Window, WindowResiduals, cut, pool_windows, pool_windows_vjp
from s5ref.tree import prefixed, subtree


class StackOut(NamedTuple):
    """Features (N, L, H), the final state of each layer, the running statistics."""

    y: Array
    states: list[Array]
    statistics: dict[str, Array]


class StackResiduals(NamedTuple):
    """Residuals of `stack`; of each layer its call, and what is kept of the pooling behind it."""

    encoder: Any
    layers: list[Any]
    calls: list[Call]
    windows: list[WindowResiduals | None]


def stack(
    params: Leaves,
    inputs: Array,
    encoder: Encoder,
    options: BlockOptions,
    windows: Sequence[Window | None],
    call: Call,
    statistics: Leaves,
) -> tuple[StackOut, StackResiduals]:
    """Encoder, then the layers. inputs (N, L) tokens or (N, L, I) reals; ``windows`` has for each layer what
    its output is pooled by; ``call`` has masks and the initial states.
    """
    n_layers = len(windows)
    x, encoder_residuals = encoder.apply.value(subtree(params, "encoder"), inputs, call)
    call = encoder.of_layers(call)
    masks, initial = call.masks or [(None, None)] * n_layers, call.initial_state or [None] * n_layers
    kept, calls, pooled, states = [], [], [], []
    new_statistics: dict[str, Array] = {}
    layer = call.engine.layer(options, call.conditions(x.dtype))
    for i, name in enumerate(layer_names(n_layers)):
        out, residuals = layer.value(
            subtree(params, name), x, options, call, subtree(statistics, name), masks[i], initial[i]
        )
        x, of_window, own, window = out.y, None, call, windows[i]
        if window is not None:
            x, of_window = pool_windows(x, window, call.valid)
            call = behind_window(call, out.y, window.stride)
            layer = call.engine.layer(options, call.conditions(x.dtype))
        if own.keep_residuals:
            kept.append(residuals)
            calls.append(own)
            pooled.append(of_window)
        states.append(out.state)
        new_statistics |= prefixed(name, out.statistics)
    return StackOut(x, states, new_statistics), StackResiduals(encoder_residuals, kept, calls, pooled)


def stack_vjp(
    residuals: StackResiduals,
    d: tuple[Array, Sequence[Array | None]],
    encoder: Encoder,
    options: BlockOptions,
    call: Call,
) -> tuple[dict[str, Array], Array | None, list[Array]]:
    """(dparams, dinputs, None for tokens and where the call does not ask for them, the cotangent of each
    layer's initial state) from (dy, dstates).
    """
    dx, dstates = d
    of_encoder, layers, calls, windows = residuals
    dparams: dict[str, Array] = {}
    dx0s: list[Array] = []
    layer = call.engine.layer(options, calls[-1].conditions(dx.dtype))
    for name, of_layer, own, of_window, dstate in reversed(
        list(zip(layer_names(len(layers)), layers, calls, windows, dstates, strict=True))
    ):
        if of_window is not None:
            dx = pool_windows_vjp(of_window, dx)
            layer = own.engine.layer(options, own.conditions(dx.dtype))
        dlayer, dx, dx0 = layer.vjp(of_layer, (dx, dstate), options, own)
        dparams |= prefixed(name, dlayer)
        dx0s.insert(0, dx0)
    dencoder, dinputs = encoder.apply.vjp(of_encoder, dx, call)
    return dparams | prefixed("encoder", dencoder), dinputs, dx0s


def behind_window(call: Call, x: Array, stride: int) -> Call:
    """The call of what stands behind a pooling of x (N, L, H): one step a window.

    The interval before a window is the time between the last valid steps of this one and of the one before:
    the sum of its intervals. Episodes begin with a window.
    """
    between = np.ones_like(x[:, :, 0]) if call.intervals is None else call.intervals
    valid, resets = call.valid, call.resets
    if valid is None:
        between = np.sum(cut(between, stride), axis=2)
    else:
        between = np.sum(cut(np.where(valid[:, :, 0], between, np.zeros_like(between)), stride), axis=2)
        valid = cut(valid, stride)[:, :, 0]  # valid steps come first
        between = np.where(valid[:, :, 0], between, np.ones_like(between))
    if resets is not None:
        resets = cut(resets, stride)[:, :, 0]
    return replace(call, intervals=between, valid=valid, resets=resets)


def layer_names(n_layers: int) -> list[str]:
    return [f"layers_{i}" for i in range(n_layers)]


def draw_masks(n_layers: int, n: int, features: int, rate: float, call: Call, like: Array) -> list[Masks]:
    """The two dropout masks of each layer, a function of call.key; (None, None) outside training or at rate
    0.

    Raises
    ------
    ConfigError
        Where masks are drawn and call.key is None.
    """
    if not call.training or rate == 0:
        return [(None, None)] * n_layers
    if call.key is None:
        raise ConfigError(
            f"model: training with dropout {rate} needs the key of its masks; got key=None.",
            "Pass key=(seed, step).",
        )

    def mask(layer: int, place: int) -> Array:
        return dropout_mask((*call.key, layer, place), n, features, rate, like)  # type: ignore[misc]

    return [(mask(i, 0), mask(i, 1)) for i in range(n_layers)]
