"""cuBLASLt by ctypes: matrix products that can be recorded in a graph. CuPy 14 refuses to record its own
cuBLAS.

Every product takes this path, recorded or not, so that both give the same bits. The declarations follow
NVIDIA's documentation of cuBLAS 12 and 13.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from s5ref.errors import S5Error

WORKSPACE = 32 << 20  # bytes; what NVIDIA advises for a Hopper GPU
ALIGNED = 256  # bytes; cuBLASLt assumes this alignment unless told otherwise

COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70  # cublasComputeType_t
R_32F, R_64F = 0, 1  # cudaDataType_t
DESC_TRANSA, DESC_TRANSB = 3, 4  # cublasLtMatmulDescAttributes_t
OP_N, OP_T = 0, 1  # cublasOperation_t
PREF_MAX_WORKSPACE_BYTES, PREF_REDUCTION_SCHEME_MASK = 1, 3  # cublasLtMatmulPreferenceAttributes_t
PREF_MIN_ALIGNMENT_A_BYTES = 5  # B, C and D follow
REDUCTION_SCHEME_COMPUTE_TYPE = 2  # a split k is summed in a separate pass in a fixed order, without atomics

P = ctypes.c_void_p
PP = ctypes.POINTER(P)
I32, I64, U64, SIZE = ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_size_t


class Algorithm(ctypes.Structure):
    """cublasLtMatmulAlgo_t: opaque."""

    _fields_ = (("data", U64 * 8),)


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", Algorithm), ("workspace", SIZE), ("state", I32), ("waves", ctypes.c_float),
        ("reserved", I32 * 4),
    )  # fmt: skip


SIGNATURES: dict[str, list[Any]] = {
    "cublasLtCreate": [PP],
    "cublasLtMatmulDescCreate": [PP, I32, I32],
    "cublasLtMatmulDescSetAttribute": [P, I32, P, SIZE],
    "cublasLtMatrixLayoutCreate": [PP, I32, U64, U64, I64],
    "cublasLtMatmulPreferenceCreate": [PP],
    "cublasLtMatmulPreferenceSetAttribute": [P, I32, P, SIZE],
    "cublasLtMatmulPreferenceDestroy": [P],
    "cublasLtMatmulAlgoGetHeuristic": [
        P, P, P, P, P, P, P, I32, ctypes.POINTER(Heuristic), ctypes.POINTER(I32)
    ],
    "cublasLtMatmul": [P, P, P, P, P, P, P, P, P, P, P, P, ctypes.POINTER(Algorithm), P, SIZE, P],
}  # fmt: skip


class Product(NamedTuple):
    """out (m, n) = op(a) (m, k) @ op(b) (k, n), row-major; ``alignments``: of a, b, out, in bytes."""

    m: int
    n: int
    k: int
    a_transposed: bool
    b_transposed: bool
    dtype: str
    alignments: tuple[int, ...]


class Plan(NamedTuple):
    """The objects that describe a product to cuBLASLt. It is column-major, so it computes the transposed
    product outᵀ = op(b)ᵀ op(a)ᵀ: its A is our b, and its B our a.
    """

    description: ctypes.c_void_p
    b: ctypes.c_void_p
    a: ctypes.c_void_p
    out: ctypes.c_void_p
    one: Any
    zero: Any
    algorithm: Algorithm


class Calls:
    """The functions of the library. A status other than success raises S5Error with the status by name."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, types in SIGNATURES.items():
            getattr(library, name).argtypes = types
        library.cublasLtGetStatusName.argtypes = [I32]
        library.cublasLtGetStatusName.restype = ctypes.c_char_p

    def __call__(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            words = (self._library.cublasLtGetStatusName(status) or b"").decode()
            raise S5Error(
                f"{name} must succeed; got {words or 'status'} ({status}).",
                "`s5ref doctor` checks what it needs.",
            )

    def create(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """The object that a …Create function returns."""
        thing = P()
        self(name, ctypes.byref(thing), *arguments)
        return thing

    def set(self, name: str, thing: ctypes.c_void_p, attribute: int, value: Any) -> None:
        """An attribute of an object."""
        self(name, thing, attribute, ctypes.byref(value), ctypes.sizeof(value))


def describe(calls: Calls, product: Product, tf32: bool) -> Plan:
    """The plan of a product, without an algorithm yet."""
    m, n, k = product.m, product.n, product.k
    single = product.dtype == "float32"
    kind, real = (R_32F, ctypes.c_float) if single else (R_64F, ctypes.c_double)
    compute = (COMPUTE_32F_FAST_TF32 if tf32 else COMPUTE_32F) if single else COMPUTE_64F
    description = calls.create("cublasLtMatmulDescCreate", compute, kind)
    for attribute, transposed in (
        (DESC_TRANSA, product.b_transposed), (DESC_TRANSB, product.a_transposed)
    ):  # fmt: skip
        calls.set("cublasLtMatmulDescSetAttribute", description, attribute, I32(OP_T if transposed else OP_N))

    def layout(rows: int, columns: int) -> ctypes.c_void_p:
        return calls.create("cublasLtMatrixLayoutCreate", kind, columns, rows, columns)

    a = layout(k, m) if product.a_transposed else layout(m, k)
    b = layout(n, k) if product.b_transposed else layout(k, n)
    return Plan(description, b, a, layout(m, n), real(1), real(0), Algorithm())


def prefer(calls: Calls, product: Product) -> ctypes.c_void_p:
    """The requirements on the algorithm of a product: workspace, a fixed order of every sum, alignments."""
    preference = calls.create("cublasLtMatmulPreferenceCreate")
    a, b, out = product.alignments
    alignments = {PREF_MIN_ALIGNMENT_A_BYTES + i: bytes_ for i, bytes_ in enumerate((b, a, out, out))}
    calls.set("cublasLtMatmulPreferenceSetAttribute", preference, PREF_MAX_WORKSPACE_BYTES, U64(WORKSPACE))
    for attribute, value in {PREF_REDUCTION_SCHEME_MASK: REDUCTION_SCHEME_COMPUTE_TYPE, **alignments}.items():
        calls.set("cublasLtMatmulPreferenceSetAttribute", preference, attribute, ctypes.c_uint32(value))
    return preference


class CublasLt:
    """Products on one device. ``workspace``: address of `WORKSPACE` bytes there.

    The handle and the plans are never destroyed: they are few, and CUDA may shut down before them.
    """

    def __init__(self, library: ctypes.CDLL, workspace: int, tf32: bool = False) -> None:
        self._calls = Calls(library)
        self._handle = self._calls.create("cublasLtCreate")
        self._workspace = workspace
        self._tf32 = tf32
        self._plans: dict[Product, Plan] = {}

    def multiply(self, product: Product, a: int, b: int, out: int, stream: int) -> None:
        """out = op(a) @ op(b), on addresses of the device."""
        plan = self._plans.get(product)
        if plan is None:
            plan = self._plans[product] = self._plan(product)
        self._calls(
            "cublasLtMatmul", self._handle, plan.description, ctypes.byref(plan.one), b, plan.b, a, plan.a,
            ctypes.byref(plan.zero), out, plan.out, out, plan.out, ctypes.byref(plan.algorithm),
            self._workspace, WORKSPACE, stream,
        )  # fmt: skip

    def _plan(self, product: Product) -> Plan:
        plan = describe(self._calls, product, self._tf32)
        preference = prefer(self._calls, product)
        best, count = Heuristic(), I32()
        try:
            self._calls(
                "cublasLtMatmulAlgoGetHeuristic", self._handle, plan.description, plan.b, plan.a, plan.out,
                plan.out, preference, 1, ctypes.byref(best), ctypes.byref(count),
            )  # fmt: skip
        finally:
            self._calls("cublasLtMatmulPreferenceDestroy", preference)
        if count.value < 1 or best.state:
            raise S5Error(f"cuBLASLt must know an algorithm for {product}; it has none.", "Report this.")
        return plan._replace(algorithm=best.algorithm)


def alignment(address: int) -> int:
    """The largest power of two, up to 256, that divides an address."""
    return min(address & -address, ALIGNED)
