"""Computed tolerances: one dimensionless ratio, one threshold, one table of constants.

Single kernels have a-priori bounds (`s5ref.verification.bounds`). Composites and the cotangents through
them have none that is both simple and tight: their budget is a multiple of what single roundings of every
kernel output do to them (`composite_budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.random import generator
from s5ref.tree import leaves, map_leaves

THRESHOLD = 1.0  # of every ratio

# In units of eps = 2u, u the unit roundoff. A sum or inner product of n terms: (n + 1) u (Higham, Accuracy
# and Stability, ch. 3).
UNIT = 0.5  # one rounding
COMPLEX_STEP = (
    5**0.5 + 1
) / 2  # a·b + c, complex: √5 u for the product (Brent, Percival, Zimmermann 2007), u for the sum
EXP = 2.6  # real exp: 2.52 ulp is the worst of NumPy's float32 loops
COMPLEX_EXP = 5.0  # exp(x)(cos y + i sin y): EXP, 1.5 ulp for each of cos and sin, one rounding
NORMAL_CDF = 4.0  # SciPy's ndtr at an exact argument: 2 in erfc, 2 in its exponential
COMPOSITE = 4.0  # times √n for sums of n terms: see composite_budget


def accumulated(n: int) -> float:
    """The constant of a sum, or an inner product, of n terms in any order."""
    return (n + 1) * UNIT


def ratio(got: Any, want: Any, bound: Any, eps: float) -> float:
    """max |got − want| / (eps · bound): at most THRESHOLD for a rounding-sized difference, whatever the
    scale.

    Where the bound is 0 the two must be equal. Underflow is granted one smallest normal number. NaN, or a
    wrong shape: infinity.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return float("inf")
    if got.dtype.kind not in "fc":
        return 0.0 if np.array_equal(got, want) else float("inf")
    wide = np.result_type(got, want)
    difference = np.abs(got.astype(wide) - want.astype(wide))
    allowed = eps * np.broadcast_to(np.asarray(bound, dtype=difference.dtype), difference.shape)
    allowed = np.where(allowed > 0, allowed + np.finfo(got.dtype).tiny, 0)
    at_least = np.finfo(difference.dtype).tiny
    ratios = np.where(difference == 0, 0, difference / np.maximum(allowed, at_least))
    worst = float(np.max(ratios, initial=0.0))
    return worst if worst == worst else float("inf")


def wider(dtype: Any) -> np.dtype[Any]:
    """The precision that judges ``dtype``: float64 for float32, else longdouble (on some machines no wider
    than float64)."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float32 else np.longdouble)


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with every real leaf in ``dtype`` and every complex leaf in its complex counterpart."""
    real = np.dtype(dtype)

    def convert(leaf: Any) -> Any:
        kind = leaf.dtype.kind if isinstance(leaf, np.ndarray | np.generic) else ""
        if kind == "f":
            return leaf.astype(real)
        return leaf.astype(np.result_type(real, np.complex64)) if kind == "c" else leaf

    return map_leaves(convert, tree)


def perturbed(engine: Engine, seed: int) -> Engine:
    """The same engine with every leaf that its values and vjps return multiplied by 1 + eps r, r uniform on
    [−1, 1].

    The draws are keyed by (seed, field, call), so one seed gives one perturbation. Arguments that a kernel
    merely saves are not results and stay as they are.
    """
    calls = 0

    def wrap(field: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        def perturbed_fn(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            rng = generator("perturbed", seed, field, calls)
            given = {id(leaf) for _, leaf in leaves(args)}
            return map_leaves(lambda leaf: leaf if id(leaf) in given else _one_rounding(leaf, rng), fn(*args))

        return perturbed_fn

    values = {f.name: getattr(engine, f.name) for f in fields(engine)}
    pairs = {name: value for name, value in values.items() if isinstance(value, Pair)}
    wrapped: dict[str, Any] = {
        name: Pair(wrap(f"{name}.value", pair.value), wrap(f"{name}.vjp", pair.vjp))
        for name, pair in pairs.items()
    }
    return replace(engine, name=f"{engine.name}, perturbed", **wrapped)


def _one_rounding(leaf: Any, rng: np.random.Generator) -> Any:
    if not isinstance(leaf, np.ndarray | np.generic) or leaf.dtype.kind not in "fc":
        return leaf
    real = np.zeros(0, leaf.dtype).real.dtype
    factor = 1 + np.finfo(real).eps * rng.uniform(-1, 1, leaf.shape)
    return leaf * factor.astype(np.result_type(real, np.float64)).astype(real)


def composite_budget(
    fn: Callable[[Engine], Any], engine: Engine, seeds: Iterable[int], terms: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """(leaves of fn(kernels), budget of each): COMPOSITE · √terms times the largest deviation of the seeded
    perturbed runs.

    A perturbed run rounds each output once; the sum of ``terms`` numbers that it is rounds like √terms of
    those (Higham & Mary 2019). At least two roundings of the largest element, the last operation's and one
    before it: the perturbed runs are rounded too, and for a scalar all of them may come out the same. The
    budget is in absolute units and already holds eps: compare with ``ratio(got, want, budget, 1.0)``.
    """
    want = {path: np.asarray(leaf) for path, leaf in leaves(fn(engine))}
    deviation = dict.fromkeys(want, 0.0)
    for seed in seeds:
        for path, leaf in leaves(fn(perturbed(engine, seed))):
            if want[path].dtype.kind in "fc" and want[path].size:
                deviation[path] = max(deviation[path], float(np.max(np.abs(np.asarray(leaf) - want[path]))))
    factor = COMPOSITE * terms**0.5
    return want, {path: np.asarray(max(factor * d, _stored(want[path]))) for path, d in deviation.items()}


def _stored(x: Array) -> float:
    """Two roundings of the largest element."""
    if x.dtype.kind not in "fc" or not x.size:
        return 0.0
    return 2 * UNIT * float(np.finfo(x.dtype).eps) * float(np.max(np.abs(x)))
