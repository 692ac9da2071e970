"""Properties of every operation of the table in ops.py, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from op import Args, Op
from ops import OPS

from s5ref import SEQUENTIAL, Engine, S5Error
from s5ref.tree import leaves, map_leaves
from s5ref.verification.rounding.budget import accumulated, cast, composite_budget, ratio
from s5ref.verification.selfcheck.gradcheck import (
    adjoint_gap,
    along,
    derivative,
    inner,
    random_like,
    relative,
)
from s5ref.verification.selfcheck.gradients import LIMIT

by_op = pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
WIDE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
EPS = float(np.finfo(np.float64).eps)


def arrays(tree: Any) -> dict[str, Any]:
    """The floating-point leaves by path."""
    return {
        path: leaf
        for path, leaf in leaves(tree)
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc"
    }


def with_leaves(tree: Any, new: dict[str, Any]) -> Any:
    """The tree with the floating-point leaves replaced."""
    values = iter(new.values())
    return map_leaves(
        lambda leaf: (
            next(values) if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc" else leaf
        ),
        tree,
    )


def differentiable(op: Op) -> dict[str, Any]:
    """The leaves of the arguments that the vjp returns a cotangent of."""
    args = op.args()
    y, residuals = op.value(SEQUENTIAL, args)
    got = arrays(op.vjp(SEQUENTIAL, residuals, map_leaves(np.ones_like, y)))
    return {path: leaf for path, leaf in arrays(args).items() if path in got}


def cotangent(op: Op, y: Any) -> Any:
    return with_leaves(y, random_like(arrays(y), "cotangent", op.name))


@by_op
def test_vjp_is_the_derivative_of_every_argument_and_of_all_at_once(op: Op) -> None:
    args, at = op.args(), differentiable(op)
    dy = arrays(cotangent(op, op.value(SEQUENTIAL, args)[0]))

    def scalar(values: dict[str, Any]) -> Any:
        everything = arrays(args) | values
        y = arrays(op.value(SEQUENTIAL, with_leaves(args, everything))[0])
        return sum(np.sum(np.real(np.conj(dy[path]) * leaf)) for path, leaf in y.items())

    grads = {}
    for engine in ENGINES:
        y, residuals = op.value(engine, args)
        grads[engine.name] = arrays(op.vjp(engine, residuals, with_leaves(y, dy)))
        assert grads[engine.name].keys() == at.keys()
        assert all(grads[engine.name][path].shape == leaf.shape for path, leaf in at.items())
    reference = grads[SEQUENTIAL.name]
    parts = [{path: reference[path]} for path in at] + [reference] * 2
    for i, part in enumerate(parts):
        direction = along(part, op.name, i)
        number = derivative(scalar, arrays(cast(args, np.float64)) | at, direction, op.wide and WIDE)
        assert number != 0, f"{op.name}: nothing flows into {list(part)}"
        for name, grad in grads.items():
            assert relative(inner(grad, direction), number) <= LIMIT, f"{name}: {list(part)}"


@pytest.mark.parametrize("op", [op for op in OPS if op.linear], ids=[op.name for op in OPS if op.linear])
@by_engine
def test_linear_arguments(op: Op, engine: Engine) -> None:
    """Linearity, exact for powers of two, and the adjoint identity <J t, d> = <t, Jᵀ d>."""
    args = op.args()
    chosen = [path for path in arrays(args) if path.split(".")[0] in op.linear]

    def value(t: dict[str, Any]) -> dict[str, Any]:
        return arrays(op.value(engine, with_leaves(args, arrays(args) | t))[0])

    zero = {path: np.zeros_like(arrays(args)[path]) for path in chosen}
    constant = value(zero)
    for seed in range(3):
        t, s = (random_like(zero, op.name, seed, which) for which in ("t", "s"))
        Jt, Js = ({p: leaf - constant[p] for p, leaf in value(v).items()} for v in (t, s))
        both = {p: leaf - constant[p] for p, leaf in value({p: t[p] + s[p] for p in t}).items()}
        terms = sum(leaf.size for leaf in arrays(args).values())
        scale = max(float(np.max(np.abs(leaf))) for tree in (Jt, Js, constant) for leaf in tree.values())
        for p, leaf in both.items():
            assert ratio(leaf, Jt[p] + Js[p], accumulated(terms) * scale, EPS) <= 1, p
        if not any(np.any(leaf) for leaf in constant.values()):
            for p, leaf in value({p: 4 * t[p] for p in t}).items():
                np.testing.assert_array_equal(leaf, 4 * Jt[p])
        y, residuals = op.value(engine, args)
        d = cotangent(op, y)
        JTd = {p: leaf for p, leaf in arrays(op.vjp(engine, residuals, d)).items() if p in chosen}
        assert adjoint_gap(Jt, arrays(d), t, JTd) <= accumulated(terms) * EPS


def _strided(x: Any) -> Any:
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]) if x.ndim else (), x.dtype)
    if not x.ndim:
        return x
    wide[..., ::2] = x
    return wide[..., ::2]


def _read_only(x: Any) -> Any:
    x = np.array(x)
    x.flags.writeable = False
    return x


def _broadcast(x: Any) -> Any:
    return np.broadcast_to(np.asarray(x).ravel()[:1].reshape(()), np.shape(x))


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": _strided,
    "Fortran order": lambda x: np.asarray(x, order="F"),
    "read-only": _read_only,
    "broadcast": _broadcast,
    "reversed twice": lambda x: np.ascontiguousarray(x[::-1])[::-1] if np.ndim(x) else x,
}


@by_op
@by_engine
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_arguments_and_cotangents(op: Op, engine: Engine, layout: str) -> None:
    """What stands in memory does not matter, within the rounding of another order of summation; nothing is
    written to."""
    lay = LAYOUTS[layout]
    relaid = map_leaves(lambda leaf: lay(leaf) if isinstance(leaf, np.ndarray) else leaf, op.args())
    if layout == "broadcast":
        relaid = op.args()
    contiguous = map_leaves(lambda leaf: np.array(leaf) if isinstance(leaf, np.ndarray) else leaf, relaid)
    dy = lay_out(op, lay)

    def run(args: Args, d: Any) -> Callable[[Engine], Any]:
        def outcome(k: Engine) -> dict[str, Any]:
            y, residuals = op.value(k, args)
            return {"y": y, "d": op.vjp(k, residuals, d)}

        return outcome

    plain = map_leaves(np.array, dy)
    want, budget = composite_budget(run(contiguous, plain), engine, range(3), terms=100)
    before = {path: np.array(leaf) for path, leaf in arrays({"args": relaid, "dy": dy}).items()}
    for path, leaf in leaves(run(relaid, dy)(engine)):
        # operations outside the kernels may sum in another order, too
        at_least = accumulated(100) * EPS * float(np.max(np.abs(want[path]), initial=0.0))
        assert ratio(leaf, want[path], max(budget[path], at_least), 1.0) <= 1, path
    for path, leaf in arrays({"args": relaid, "dy": dy}).items():
        np.testing.assert_array_equal(leaf, before[path], err_msg=f"{path} was written to")


def lay_out(op: Op, lay: Callable[[Any], Any]) -> Any:
    return map_leaves(lay, cotangent(op, op.value(SEQUENTIAL, op.args())[0]))


@by_op
@by_engine
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_dtype_of_every_output_saved_leaf_and_cotangent(op: Op, engine: Engine, dtype: str) -> None:
    real = np.dtype(dtype)
    args = cast(op.args(), dtype)
    if real.itemsize > 8 and not op.wide:
        with pytest.raises(S5Error, match="float32 or float64"):
            op.value(engine, args)
        return
    y, residuals = op.value(engine, args)
    d = op.vjp(engine, residuals, cast(cotangent(op, y), dtype))
    for path, leaf in arrays({"y": y, "saved": residuals, "d": d}).items():
        assert leaf.dtype in (real, np.result_type(real, np.complex64)), path
    kinds = {path: leaf.dtype.kind for path, leaf in arrays(args).items()}
    for path, leaf in arrays(d).items():
        assert leaf.dtype.kind == kinds[path], path


@by_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_engines_agree_with_the_reference_within_budget(op: Op, dtype: str) -> None:
    args = cast(op.args(), dtype)
    dy = cast(cotangent(op, op.value(SEQUENTIAL, op.args())[0]), dtype)

    def run(k: Engine) -> dict[str, Any]:
        y, residuals = op.value(k, args)
        return {"y": y, "d": op.vjp(k, residuals, dy)}

    want, budget = composite_budget(run, SEQUENTIAL, range(6), terms=100)
    for engine in ENGINES[1:]:
        for path, leaf in leaves(run(engine)):
            assert ratio(leaf, want[path], budget[path], 1.0) <= 1, f"{engine.name}: {path}"
