"""The engines of NumPy: SEQUENTIAL, the plain loop and the truth; NUMPY, the blocked parallel scan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from s5ref.engine import Engine, Pair
from s5ref.features.responses import features
from s5ref.model.block import composed
from s5ref.model.streaming import Streaming
from s5ref.nn.activation import gelu_erf, gelu_erf_vjp, gelu_tanh, gelu_tanh_vjp, glu, glu_vjp
from s5ref.nn.conv import conv_pool, conv_pool_vjp
from s5ref.nn.dense import embed, embed_vjp, linear, linear_vjp
from s5ref.nn.norm import batch_norm, batch_norm_vjp, layer_norm, layer_norm_vjp
from s5ref.ssm.scan import blocked_scan, blocked_scan_vjp, sequential_scan, sequential_scan_vjp

_LINEAR = Pair(linear, linear_vjp)

SEQUENTIAL = Engine(
    name="sequential",
    embed=Pair(embed, embed_vjp),
    linear=_LINEAR,
    scan=Pair(sequential_scan, sequential_scan_vjp),
    batch_norm=Pair(batch_norm, batch_norm_vjp),
    layer_norm=Pair(layer_norm, layer_norm_vjp),
    gelu_tanh=Pair(gelu_tanh, gelu_tanh_vjp),
    gelu_erf=Pair(gelu_erf, gelu_erf_vjp),
    glu=Pair(glu, glu_vjp),
    layer=composed,
    stream=Streaming,
    conv_pool=Pair(partial(conv_pool, product=_LINEAR), partial(conv_pool_vjp, product=_LINEAR)),
    features=features,
)

NUMPY = replace(SEQUENTIAL, name="numpy", scan=Pair(blocked_scan, blocked_scan_vjp))
