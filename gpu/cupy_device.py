"""An NVIDIA GPU by CuPy, as `Device` describes it. Importing this needs no CuPy; `Cupy()` does."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import S5Error
from s5ref.gpu.cublaslt import WORKSPACE, CublasLt, Product, alignment
from s5ref.gpu.device import Module
from s5ref.gpu.doctor import install, refuse
from s5ref.gpu.libraries import load
from s5ref.gpu.machine import survey
from s5ref.gpu.staging import Staging

NO_GRAPH = "Train without graphs: --no-graph."
DTYPES = "?bhilqBHILQfdFD"  # of the arrays that CuPy has; not longdouble


class Cupy:
    """The current GPU: kernels by `cupy.RawModule`, memory of CuPy's pool, products by cuBLASLt.

    ``tf32``: float32 products round their inputs to TF32. Use one stream at a time: products share a
    workspace. Raises S5Error, with what to install, where something is missing.
    """

    def __init__(self, tf32: bool = False) -> None:
        machine = survey()
        refuse(machine)
        library = load("cublasLt", machine.major)
        if library is None:
            raise S5Error(f"libcublasLt.so.{machine.major} must be there; it is gone.", install(machine))
        import cupy

        self._cupy: Any = cupy
        self._runtime: Any = cupy.cuda.runtime
        self.name: str = self._runtime.getDeviceProperties(self._runtime.getDevice())["name"].decode()
        self._workspace = self.empty((WORKSPACE,), np.uint8)  # allocated now, outside the pools of graphs
        self._products = CublasLt(library.handle, _address(self._workspace), tf32)
        self._staging = Staging(cupy)

    def module(self, code: str, options: Sequence[str]) -> Module:
        """The kernels of a source text, compiled by NVRTC at the first ``get_function``."""
        module: Module = self._cupy.RawModule(code=code, options=tuple(options))
        return module

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of the device, not initialised."""
        memory: Array = self._cupy.empty(shape, dtype)
        return memory

    def to_device(self, host: Array) -> Array:
        """A copy on the device, of the same shape and dtype, by pinned memory; does not wait for it."""
        if not isinstance(host, np.ndarray) or host.dtype.char not in DTYPES or not host.dtype.isnative:
            what = f"{type(host).__name__} of {getattr(host, 'dtype', 'no dtype')}"
            raise S5Error(f"to_device: must be a NumPy array of numbers that a GPU has; got {what}.",
                          "Convert it first (np.asarray, astype).")  # fmt: skip
        self._not_in_a_graph("to_device")
        memory: Array = self._staging.to_device(host)
        return memory

    def to_host(self, x: Array) -> Array:
        """A copy on the host; waits for it."""
        self._refuse_others("to_host: must be an array", x)
        self._not_in_a_graph("to_host")
        host: Array = self._cupy.asnumpy(x)
        return host

    def gemm(self, a: Array, b: Array, out: Array, a_transposed: bool, b_transposed: bool) -> None:
        """out (m, n) = op(a) @ op(b), op the transpose where asked for.

        Real arrays of the device, 2-D, C-contiguous, of one dtype; no side of length 0; out overlaps neither.
        The same machine and shapes give the same bits.
        """
        arrays = (a, b, out)
        self._refuse_others("gemm: a, b, out must be arrays", *arrays)
        dtype = out.dtype.name
        if any(x.ndim != 2 or not x.flags.c_contiguous or x.dtype.name != dtype for x in arrays) or (
            dtype not in ("float32", "float64")
        ):
            words = ", ".join(f"{x.dtype} {x.shape} with strides {x.strides}" for x in arrays)
            raise S5Error(
                "gemm: a, b, out must be 2-D, C-contiguous and all float32 or all float64; got "
                f"{words}.", "Reshape, copy or cast them (reshape, ascontiguousarray, astype)."
            )  # fmt: skip
        m, k = a.shape[::-1] if a_transposed else a.shape
        inner, n = b.shape[::-1] if b_transposed else b.shape
        if k != inner or out.shape != (m, n) or 0 in (m, n, k):
            raise S5Error(
                "gemm: op(a) (m, k) @ op(b) (k, n) = out (m, n), none of them 0; got "
                f"{(m, k)} @ {(inner, n)} = {out.shape}.", "Check the two transposes."
            )  # fmt: skip
        at = _address(a), _address(b), _address(out)
        alignments = alignment(at[0]), alignment(at[1]), alignment(at[2])
        product = Product(m, n, k, a_transposed, b_transposed, dtype, alignments)
        self._products.multiply(product, *at, self._cupy.cuda.get_current_stream().ptr)

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """``body``, recorded as a graph: calling the result replays it on the current stream.

        ``body`` runs once for real first, which compiles kernels, plans products and fills the graph's own
        pool of memory: it changes whatever it changes, and the caller restores it. Then it runs once to be
        recorded, which computes nothing. It must find and leave its arrays where they are: a replay reads and
        writes the addresses that it saw. Their memory lives as long as the result.
        """
        cuda = self._cupy.cuda
        pool, stream = cuda.MemoryPool(), cuda.Stream(non_blocking=True)
        cuda.get_current_stream().synchronize()  # what body reads has been written
        with cuda.using_allocator(pool.malloc), stream:
            body()
            stream.synchronize()
            graph = _recorded(stream, body)
        return _Replay(graph, pool, stream)

    def used_by(self, body: Callable[[], object]) -> int:
        """Bytes of device memory that ``body`` needs at most. It runs once for real."""
        cuda = self._cupy.cuda
        pool = cuda.MemoryPool()
        with cuda.using_allocator(pool.malloc):
            body()
            cuda.get_current_stream().synchronize()
        return int(pool.total_bytes())

    def available(self) -> int:
        """Bytes free on the device now: what the driver has, and what CuPy's pool holds but does not use."""
        free, _ = self._runtime.memGetInfo()
        return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def _refuse_others(self, must_be: str, *arrays: Any) -> None:
        """S5Error unless all are arrays of the device."""
        if not all(isinstance(x, self._cupy.ndarray) for x in arrays):
            kinds = ", ".join(type(x).__name__ for x in arrays)
            raise S5Error(f"{must_be} of the device; got {kinds}.", "to_device makes one.")

    def _not_in_a_graph(self, what: str) -> None:
        """S5Error while the stream captures: every replay would use the same host memory again."""
        if self._cupy.cuda.get_current_stream().is_capturing():
            raise S5Error(f"{what}: a copy between host and device cannot be part of a graph.", NO_GRAPH)


def _address(x: Any) -> int:
    return int(x.data.ptr)


class _Replay:
    """A graph with what must live as long as it: its pool of memory and the stream of that pool."""

    def __init__(self, graph: Any, pool: Any, stream: Any) -> None:
        self.graph, self.pool, self.stream = graph, pool, stream

    def __call__(self) -> None:
        self.graph.launch()  # on the current stream, in order with what else is launched there


def _recorded(stream: Any, body: Callable[[], None]) -> Any:
    """The graph of ``body``. The stream stops capturing also after an error."""
    stream.begin_capture()
    try:
        body()
    except BaseException as error:
        with contextlib.suppress(Exception):  # the first error is the one to report
            stream.end_capture()
        if isinstance(error, MemoryError) or not isinstance(error, Exception):
            raise
        raise S5Error(f"{_innermost_line(error)} cannot be part of a graph: {error}", NO_GRAPH) from error
    try:
        return stream.end_capture()
    except Exception as error:
        raise S5Error(f"The graph could not be made: {error}", NO_GRAPH) from error


def _innermost_line(error: BaseException) -> str:
    """The innermost line of Python in the traceback of an error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    if not frames:
        return "An operation"
    last = frames[-1]
    return f"`{last.line}` ({last.name}, {last.filename}:{last.lineno})"


@contextlib.contextmanager
def out_of_memory_explained(remedy: str) -> Iterator[None]:
    """Raises S5Error with ``remedy`` where memory of the device or of the host does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # cupy.cuda.memory.OutOfMemoryError is a MemoryError
        if isinstance(error, RuntimeError) and "cudaErrorMemoryAllocation" not in str(error):
            raise
        raise S5Error(f"Out of memory: {error}", remedy) from error
