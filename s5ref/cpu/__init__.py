"""The NUMBA engine: the reference's operations on the cores of a CPU, with the same bits for any number of
threads.

Work is cut into jobs by the shapes alone, never by the number of threads; each job is one single-threaded run
of a compiled loop, matrix products among them, and partial sums are combined in the order of the jobs.
"""

from __future__ import annotations

from dataclasses import replace

from s5ref.cpu.block import layer
from s5ref.cpu.conv import conv_pool, conv_pool_vjp
from s5ref.cpu.elementwise import gelu_erf, gelu_erf_vjp, gelu_tanh, gelu_tanh_vjp, glu, glu_vjp
from s5ref.cpu.features import features
from s5ref.cpu.linear import linear, linear_vjp
from s5ref.cpu.norm import batch_norm, batch_norm_vjp, layer_norm, layer_norm_vjp
from s5ref.cpu.parallel import set_threads, threads
from s5ref.cpu.scan import scan, scan_vjp
from s5ref.cpu.stream import stream
from s5ref.engine import Pair
from s5ref.engines import SEQUENTIAL

NUMBA = replace(
    SEQUENTIAL,
    name="numba",
    linear=Pair(linear, linear_vjp),
    scan=Pair(scan, scan_vjp),
    batch_norm=Pair(batch_norm, batch_norm_vjp),
    layer_norm=Pair(layer_norm, layer_norm_vjp),
    gelu_tanh=Pair(gelu_tanh, gelu_tanh_vjp),
    gelu_erf=Pair(gelu_erf, gelu_erf_vjp),
    glu=Pair(glu, glu_vjp),
    conv_pool=Pair(conv_pool, conv_pool_vjp),
    layer=layer,
    stream=stream,
    features=features,
)

__all__ = ["NUMBA", "set_threads", "threads"]
