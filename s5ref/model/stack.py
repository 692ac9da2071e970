"""The encoder and the layers: from inputs to features (N, L, H). Derivation: docs/derivations/stack.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.engine import Call
from s5ref.errors import S5Error
from s5ref.model.block import BlockOptions
from s5ref.model.mix import Masks
from s5ref.nn.dropout import dropout_mask
from s5ref.tree import prefixed, subtree


class StackOut(NamedTuple):
    """Features (N, L, H), the final state of each layer, the running statistics."""

    y: Array
    states: list[Array]
    statistics: dict[str, Array]


class StackResiduals(NamedTuple):
    """Residuals of `stack`."""

    encoder: Any
    layers: list[Any]


def stack(
    params: Mapping[str, Array],
    inputs: Array,
    options: BlockOptions,
    n_layers: int,
    call: Call,
    statistics: Mapping[str, Array],
    masks: Sequence[Masks],
    states: Sequence[Array | None],
) -> tuple[StackOut, StackResiduals]:
    """Encoder, then the layers. inputs (N, L) tokens or (N, L, I) reals; states: the initial state of each
    layer or None.
    """
    kernel, bias = params["encoder.kernel"], params["encoder.bias"]
    encoder = call.engine.embed if inputs.ndim == 2 else call.engine.linear
    x, encoder_residuals = encoder.value(inputs, kernel, bias)
    layers_residuals, new_states, moments = [], [], None
    new_statistics: dict[str, Array] = {}
    for i, name in enumerate(layer_names(n_layers)):
        out, residuals = call.engine.block.value(
            subtree(params, name), x, options, call, subtree(statistics, name), masks[i], states[i], moments
        )
        x, moments = out.y, out.moments
        layers_residuals.append(residuals if call.keep_residuals else None)
        new_states.append(out.state)
        new_statistics |= prefixed(name, out.statistics)
    return StackOut(x, new_states, new_statistics), StackResiduals(encoder_residuals, layers_residuals)


def stack_vjp(
    residuals: StackResiduals, d: tuple[Array, Sequence[Array | None]], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array | None, list[Array]]:
    """(dparams, dinputs or None for tokens, the cotangent of each layer's initial state) from (dy,
    dstates).
    """
    if None in residuals.layers:
        raise S5Error(
            "model: a backward pass needs what the forward pass saved; it was called with keep_residuals=False.",
            "Pass Call(…, keep_residuals=True).",
        )
    dx, dstates = d
    dparams: dict[str, Array] = {}
    dx0s: list[Array] = []
    for name, layer_residuals, dstate in reversed(
        list(zip(layer_names(len(residuals.layers)), residuals.layers, dstates, strict=True))
    ):
        dlayer, dx, dx0 = call.engine.block.vjp(layer_residuals, (dx, dstate), options, call)
        dparams |= prefixed(name, dlayer)
        dx0s.insert(0, dx0)
    if hasattr(residuals.encoder, "tokens"):
        dkernel, dbias = call.engine.embed.vjp(residuals.encoder, dx)
        dinputs = None
    else:
        dinputs, dkernel, dbias = call.engine.linear.vjp(residuals.encoder, dx)
    return dparams | {"encoder.kernel": dkernel, "encoder.bias": dbias}, dinputs, dx0s


def layer_names(n_layers: int) -> list[str]:
    return [f"layers_{i}" for i in range(n_layers)]


def draw_masks(n_layers: int, n: int, features: int, rate: float, call: Call, like: Array) -> list[Masks]:
    """The two dropout masks of each layer, a function of call.key; (None, None) outside training or at rate
    0.
    """
    if not call.training or rate == 0:
        return [(None, None)] * n_layers
    if call.key is None:
        raise S5Error(
            f"model: training with dropout {rate} needs the key of its masks; got key=None.",
            "Pass Call(…, key=(seed, step)).",
        )

    def mask(layer: int, place: int) -> Array:
        return dropout_mask((*call.key, layer, place), n, features, rate, like)  # type: ignore[misc]

    return [(mask(i, 0), mask(i, 1)) for i in range(n_layers)]
