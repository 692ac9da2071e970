"""The kernels that exist so far, as fields of `Kernels`: what is not here is the reference."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from s5ref.call import Kernels, Pair
from s5ref.engines import NUMPY
from s5ref.gpu.activation import gelu_erf, gelu_erf_vjp, gelu_tanh, gelu_tanh_vjp, glu, glu_vjp
from s5ref.gpu.device import Device
from s5ref.gpu.embed import embed, embed_vjp
from s5ref.gpu.launch import Launcher
from s5ref.gpu.layer_norm import layer_norm, layer_norm_vjp
from s5ref.gpu.norm import batch_norm, batch_norm_vjp
from s5ref.gpu.scan import scan, scan_vjp


def parts(device: Device) -> Kernels:
    """An engine whose embedding, scan, norms, GELUs and gate run on ``device``."""
    on = Launcher(device)
    return replace(
        NUMPY,
        name="gpu parts",
        embed=Pair(partial(embed, on), partial(embed_vjp, on)),
        scan=Pair(partial(scan, on), partial(scan_vjp, on)),
        batch_norm=Pair(partial(batch_norm, on), partial(batch_norm_vjp, on)),
        layer_norm=Pair(partial(layer_norm, on), partial(layer_norm_vjp, on)),
        gelu_tanh=Pair(partial(gelu_tanh, on), partial(gelu_tanh_vjp, on)),
        gelu_erf=Pair(partial(gelu_erf, on), partial(gelu_erf_vjp, on)),
        glu=Pair(partial(glu, on), partial(glu_vjp, on)),
    )
