"""The engine of a device: every kernel that it has, and the reference for the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.engine import Engine, Pair
from s5ref.engines import NUMPY
from s5ref.gpu.activation import gelu_erf, gelu_erf_vjp, gelu_tanh, gelu_tanh_vjp, glu, glu_vjp
from s5ref.gpu.block import layer
from s5ref.gpu.device import Device
from s5ref.gpu.embed import embed, embed_vjp
from s5ref.gpu.launch import Launcher
from s5ref.gpu.layer_norm import layer_norm, layer_norm_vjp
from s5ref.gpu.linear import linear, linear_vjp
from s5ref.gpu.norm import batch_norm, batch_norm_vjp
from s5ref.gpu.scan import scan, scan_vjp
from s5ref.gpu.updates import Updates
from s5ref.nn.conv import conv_pool, conv_pool_vjp
from s5ref.tree import map_leaves


def engine_of(device: Device, name: str = "cuda", *, strict: bool = False, graphs: bool = True) -> Engine:
    """The engine that computes on a device. Its ``to_device`` and ``to_host`` move arrays.

    strict  compile the kernels without contracting a b + c
    graphs  record a training step once and replay it
    """
    on = Launcher(device, strict)

    def to_device(leaf: Any) -> Any:
        return device.to_device(leaf) if isinstance(leaf, np.ndarray) else leaf

    def to_host(leaf: Any) -> Any:
        return device.to_host(leaf) if hasattr(leaf, "__array_function__") else leaf

    product = Pair(partial(linear, on), partial(linear_vjp, on))
    made: Engine = replace(
        NUMPY,
        name=name,
        linear=product,
        conv_pool=Pair(partial(conv_pool, product=product), partial(conv_pool_vjp, product=product)),
        embed=Pair(partial(embed, on), partial(embed_vjp, on)),
        scan=Pair(partial(scan, on), partial(scan_vjp, on)),
        batch_norm=Pair(partial(batch_norm, on), partial(batch_norm_vjp, on)),
        layer_norm=Pair(partial(layer_norm, on), partial(layer_norm_vjp, on)),
        gelu_tanh=Pair(partial(gelu_tanh, on), partial(gelu_tanh_vjp, on)),
        gelu_erf=Pair(partial(gelu_erf, on), partial(gelu_erf_vjp, on)),
        glu=Pair(partial(glu, on), partial(glu_vjp, on)),
        layer=partial(layer, on),
        to_device=partial(map_leaves, to_device),
        to_host=partial(map_leaves, to_host),
        updates=partial(Updates, on, graphs),
    )
    return made
