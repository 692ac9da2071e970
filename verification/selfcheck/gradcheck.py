"""Gradients against numbers: directional derivatives by differences, and the adjoint identity of linear maps.

The inner product of two trees is Σ Re(conj(a) b): with the cotangent dz = ∂L/∂Re z + i ∂L/∂Im z it is the
derivative of L along a complex direction as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator

Tree = Mapping[str, Array]
# Of the differences, relative to the size of the direction: truncation and rounding are about 1e-10 at most.
STEP = {"float64": 2.0**-12, "longdouble": 2.0**-14}
WEIGHTS = ((1, 2 / 3), (2, -1 / 12))  # central differences of order 4


def inner(a: Tree, b: Tree) -> float:
    """<a, b> = Σ Re(conj(a) b) over the leaves of b."""
    return float(sum(np.sum(np.real(np.conj(a[name]) * leaf)) for name, leaf in b.items()))


def norm(a: Tree) -> float:
    return float(inner(a, a) ** 0.5)


def random_like(tree: Tree, *key: int | str) -> dict[str, Array]:
    """A standard normal direction for every leaf, complex where the leaf is, keyed by ``key`` and the
    leaf's name."""

    def draw(name: str, leaf: Array) -> Array:
        rng = generator("direction", *key, name)
        t = rng.standard_normal(leaf.shape)
        if leaf.dtype.kind == "c":
            t = t + 1j * rng.standard_normal(leaf.shape)
        return np.asarray(t, dtype=leaf.dtype)

    return {name: draw(name, leaf) for name, leaf in tree.items()}


def along(gradient: Tree, *key: int | str) -> dict[str, Array]:
    """A random direction of norm 1 that is not nearly orthogonal to ``gradient``, so that <gradient, t>
    does not cancel."""
    t = random_like(gradient, *key)
    unit, size = norm(t) * (1 if inner(gradient, t) >= 0 else -1), norm(gradient)
    mixed = {n: leaf / unit + (gradient[n] / size if size > 0 else 0) for n, leaf in t.items()}
    length = norm(mixed)
    return {n: leaf / length for n, leaf in mixed.items()}


def derivative(fn: Callable[[dict[str, Array]], Any], at: Tree, direction: Tree, wide: bool = True) -> float:
    """d/ds fn(at + s · direction) at 0, by central differences of order 4 in longdouble (``wide``) or
    float64.

    ``direction`` may have leaves for a part of ``at`` only. The step is STEP over the largest element of
    the direction.
    """
    real = np.longdouble if wide else np.float64
    largest = max(float(np.max(np.abs(leaf), initial=0.0)) for leaf in direction.values())
    h = real(STEP["longdouble" if wide else "float64"] / max(largest, 1.0))

    def value(s: Any) -> Any:
        return fn(
            {name: leaf + s * direction[name] if name in direction else leaf for name, leaf in base.items()}
        )

    base = {name: leaf.astype(np.result_type(leaf.dtype, real)) for name, leaf in at.items()}
    total = real(0)
    for k, weight in WEIGHTS:
        total += real(weight) * (value(k * h) - value(-k * h))
    return float(total / h)


def relative(got: float, want: float) -> float:
    """|got − want| / max(|got|, |want|); 0 where both are 0."""
    size = max(abs(got), abs(want))
    return abs(got - want) / size if size > 0 else 0.0


def adjoint_gap(Jt: Tree, d: Tree, t: Tree, JTd: Tree) -> float:
    """|<J t, d> − <t, Jᵀ d>| over |J t||d| of a linear map J: rounding-sized if the vjp is its adjoint."""
    scale = norm(Jt) * norm(d)
    return abs(inner(Jt, d) - inner(t, JTd)) / scale if scale > 0 else 0.0
