"""From inputs to the features (N, L, H) that the layers see: one matrix, or a small convolutional network
first.

Each pair is value(params, inputs, call) -> (features, residuals) and vjp(residuals, dfeatures, call) ->
(dparams, dinputs). ``params`` are the leaves below ``encoder``. Derivation: docs/derivations/stack.md,
conv.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from s5ref import random
from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Pair
from s5ref.model.config import ModelConfig
from s5ref.model.heads import init_dense
from s5ref.model.leaves import image_shapes
from s5ref.nn.activation import ReluResiduals, relu, relu_vjp

CONVOLUTIONS = (("conv1", 1, 2), ("conv2", 2, 1))  # name, stride and padding of `image_encoder`'s


class LinearResiduals(NamedTuple):
    """Residuals of `linear_encoder`."""

    tokens: bool  # whether the inputs are
    product: Any


def linear_encoder(params: Leaves, inputs: Array, call: Call) -> tuple[Array, LinearResiduals]:
    """x W + b of reals (N, L, I), or the row of W of each token (N, L), + b."""
    tokens = inputs.ndim == 2
    pair = call.engine.embed if tokens else call.engine.linear
    x, residuals = pair.value(inputs, params["kernel"], params["bias"])
    return x, LinearResiduals(tokens, residuals)


def linear_encoder_vjp(
    residuals: LinearResiduals, dx: Array, call: Call
) -> tuple[dict[str, Array], Array | None]:
    """(dparams, dinputs, None for tokens)."""
    pair = call.engine.embed if residuals.tokens else call.engine.linear
    *dinputs, dkernel, dbias = pair.vjp(residuals.product, dx)
    return {"kernel": dkernel, "bias": dbias}, dinputs[0] if dinputs else None


class ImageResiduals(NamedTuple):
    """Residuals of `image_encoder`: of its stages, the shape of the inputs, and how many columns of the last
    matrix's input are intervals.
    """

    convolutions: list[Any]
    maps: tuple[int, ...]
    dense: Any
    relu: ReluResiduals
    product: Any
    inputs: tuple[int, ...]
    appended: int


def image_encoder(
    params: Leaves, inputs: Array, call: Call, appends: bool = False
) -> tuple[Array, ImageResiduals]:
    """Of each step an image of s² pixels: two times convolution, rectifier and the largest of 2 × 2; then a
    dense layer with rectifier, and the matrix to the features.

    Parameters
    ----------
    params : leaves
        conv1 (5, 5, 1, 12), conv2 (3, 3, 12, 12), dense (12 (s/8)², 30), kernel (30, H), and their biases.
    inputs : (N, L, s²)
        Row by row.
    call : Call
    appends : bool
        Whether the interval before each step, 1 where there are none, is one more input of the last matrix,
        whose kernel then has 31 rows.
    """
    N, L, pixels = inputs.shape
    side, linear, kept = math.isqrt(pixels), call.engine.linear, []
    x = inputs.reshape(N * L, side, side, 1)
    for name, stride, padding in CONVOLUTIONS:
        leaves = params[f"{name}.kernel"], params[f"{name}.bias"]
        x, residuals = call.engine.conv_pool.value(x, *leaves, stride, padding)
        kept.append(residuals)
    maps = tuple(x.shape)
    h, of_dense = linear.value(x.reshape(N, L, -1), params["dense.kernel"], params["dense.bias"])
    h, of_relu = relu(h)
    if appends:
        intervals = np.ones_like(h[:, :, 0]) if call.intervals is None else call.intervals
        h = np.concatenate([h, intervals[:, :, None]], axis=-1)
    y, of_product = linear.value(h, params["kernel"], params["bias"])
    return y, ImageResiduals(kept, maps, of_dense, of_relu, of_product, tuple(inputs.shape), int(appends))


def image_encoder_vjp(
    residuals: ImageResiduals, dy: Array, call: Call
) -> tuple[dict[str, Array], Array | None]:
    """(dparams, dinputs, None where the call does not ask for them)."""
    convolutions, maps, of_dense, of_relu, of_product, inputs, appended = residuals
    linear = call.engine.linear
    dh, dkernel, dbias = linear.vjp(of_product, dy)
    d: dict[str, Array] = {"kernel": dkernel, "bias": dbias}
    dh = relu_vjp(of_relu, dh[:, :, : dh.shape[2] - appended])
    dx, d["dense.kernel"], d["dense.bias"] = linear.vjp(of_dense, dh)
    dx = dx.reshape(maps)
    for (name, *_), of_conv in reversed(list(zip(CONVOLUTIONS, convolutions, strict=True))):
        of_x = call.input_cotangent or of_conv is not convolutions[0]
        dx, d[f"{name}.kernel"], d[f"{name}.bias"] = call.engine.conv_pool.vjp(of_conv, dx, of_x)
    return d, None if dx is None else dx.reshape(inputs)


class Encoder(NamedTuple):
    """An encoder: its pair, its initial parameters by (seed, name), and whether the layers behind it see the
    intervals.
    """

    apply: Pair
    init: Callable[[int, str], dict[str, Array]]
    layers_see_intervals: bool

    def of_layers(self, call: Call) -> Call:
        """The call for the layers behind it."""
        return call if self.layers_see_intervals or call.intervals is None else replace(call, intervals=None)


def encoder_of(config: ModelConfig) -> Encoder:
    """The encoder that the words of a configuration name."""
    sees = config.intervals == "used"
    if config.encoder == "linear":
        init = partial(init_dense, inputs=config.in_dim, outputs=config.d_model)
        return Encoder(Pair(linear_encoder, linear_encoder_vjp), init, sees)
    value = partial(image_encoder, appends=config.intervals == "appended")
    return Encoder(Pair(value, image_encoder_vjp), partial(_init_image, config), sees)


def _init_image(config: ModelConfig, seed: int, name: str) -> dict[str, Array]:
    """Kernels lecun_normal, of a convolution over all that one output reads; biases 0."""
    params: dict[str, Array] = {}
    for leaf, shape in image_shapes(config).items():
        if leaf.endswith("bias"):
            params[leaf] = np.zeros(shape)
        else:
            stem = ".".join([name, *leaf.split(".")[:-1]])
            rng = random.generator(seed, "init", stem, "kernel")
            params[leaf] = random.lecun_normal(rng, shape, fan_in=math.prod(shape[:-1]))
    return params
