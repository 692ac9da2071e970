"""The encoder and the layers: from inputs to features (N, L, H). Derivation: docs/derivations/stack.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Pair
from s5ref.errors import ConfigError
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

    tokens: bool  # whether the inputs are
    encoder: Any
    layers: list[Any]


def stack(
    params: Leaves, inputs: Array, options: BlockOptions, n_layers: int, call: Call, statistics: Leaves
) -> tuple[StackOut, StackResiduals]:
    """Encoder, then the layers. inputs (N, L) tokens or (N, L, I) reals; ``call`` has masks and the initial
    states.
    """
    kernel, bias = params["encoder.kernel"], params["encoder.bias"]
    tokens = inputs.ndim == 2
    x, encoder_residuals = _encoder(tokens, call).value(inputs, kernel, bias)
    layer = call.engine.layer(options, call.conditions(x.dtype))
    masks, initial = call.masks or [(None, None)] * n_layers, call.initial_state or [None] * n_layers
    kept, states = [], []
    new_statistics: dict[str, Array] = {}
    for i, name in enumerate(layer_names(n_layers)):
        out, residuals = layer.value(
            subtree(params, name), x, options, call, subtree(statistics, name), masks[i], initial[i]
        )
        x = out.y
        if call.keep_residuals:
            kept.append(residuals)
        states.append(out.state)
        new_statistics |= prefixed(name, out.statistics)
    return StackOut(x, states, new_statistics), StackResiduals(tokens, encoder_residuals, kept)


def stack_vjp(
    residuals: StackResiduals, d: tuple[Array, Sequence[Array | None]], options: BlockOptions, call: Call
) -> tuple[dict[str, Array], Array | None, list[Array]]:
    """(dparams, dinputs or None for tokens, the cotangent of each layer's initial state) from (dy,
    dstates).
    """
    dx, dstates = d
    layer = call.engine.layer(options, call.conditions(dx.dtype))
    dparams: dict[str, Array] = {}
    dx0s: list[Array] = []
    for name, of_layer, dstate in reversed(
        list(zip(layer_names(len(residuals.layers)), residuals.layers, dstates, strict=True))
    ):
        dlayer, dx, dx0 = layer.vjp(of_layer, (dx, dstate), options, call)
        dparams |= prefixed(name, dlayer)
        dx0s.insert(0, dx0)
    *dinputs, dkernel, dbias = _encoder(residuals.tokens, call).vjp(residuals.encoder, dx)
    dencoder = {"encoder.kernel": dkernel, "encoder.bias": dbias}
    return dparams | dencoder, dinputs[0] if dinputs else None, dx0s


def _encoder(tokens: bool, call: Call) -> Pair:
    return call.engine.embed if tokens else call.engine.linear


def layer_names(n_layers: int) -> list[str]:
    return [f"layers_{i}" for i in range(n_layers)]


def draw_masks(n_layers: int, n: int, features: int, rate: float, call: Call, like: Array) -> list[Masks]:
    """The two dropout masks of each layer, a function of call.key; (None, None) outside training or at rate
    0.
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
