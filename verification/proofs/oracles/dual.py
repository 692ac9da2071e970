"""Dual numbers over balls: a value and its derivatives along all seeded directions at once, in forward mode.

Every real component of every input is a direction. The derivatives of what is computed from them follow from
the rules of +, −, ×, ÷ and of the few functions below alone, so they are independent of every hand-derived
vjp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s5ref.tree import leaves, map_leaves
from s5ref.verification.proofs.oracles.balls import Balls, balls, elementwise, flint, is_float


class Dual:
    """value + Σ_k tangent[k] ε_k, ε_k² = 0: an acb and a row of acb."""

    __slots__ = ("t", "v")

    def __init__(self, v: Any, t: Any) -> None:
        self.v, self.t = v, t

    def __add__(self, o: Any) -> Dual:
        return Dual(self.v + o.v, self.t + o.t) if isinstance(o, Dual) else Dual(self.v + o, self.t)

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return Dual(-self.v, -self.t)

    def __sub__(self, o: Any) -> Dual:
        return Dual(self.v - o.v, self.t - o.t) if isinstance(o, Dual) else Dual(self.v - o, self.t)

    def __rsub__(self, o: Any) -> Dual:
        return Dual(o - self.v, -self.t)

    def __mul__(self, o: Any) -> Dual:
        if isinstance(o, Dual):
            return Dual(self.v * o.v, self.t * o.v + o.t * self.v)
        return Dual(self.v * o, self.t * flint().acb(o))

    __rmul__ = __mul__

    def __truediv__(self, o: Any) -> Dual:
        inverse = 1 / (o.v if isinstance(o, Dual) else flint().acb(o))
        q = self.v * inverse
        return Dual(q, (self.t - o.t * q) * inverse if isinstance(o, Dual) else self.t * inverse)

    def __rtruediv__(self, o: Any) -> Dual:
        q = o / self.v
        return Dual(q, self.t * (-q / self.v))


def differentiated(
    fn: Callable[[Any], Any],
    inputs: Mapping[str, Any],
    cotangent: Mapping[str, Any],
    constant: tuple[str, ...] = (),
) -> dict[str, Balls]:
    """Leaves of fn(inputs), and the cotangent ``d.<leaf>`` of each input leaf: dz = ∂φ/∂Re z + i ∂φ/∂Im z, φ
    = Re Σ conj(c) y.

    fn takes the tree with object arrays for its floating leaves and returns a tree of object arrays.
    ``cotangent`` names leaves of that result; those missing count as 0. Leaves of inputs below a name in
    ``constant`` are not differentiated.
    """
    acb, acb_mat = flint().acb, flint().acb_mat
    trees = {name: tree for name, tree in inputs.items() if name not in constant}
    floats = {path: leaf for path, leaf in leaves(trees) if is_float(leaf)}
    total = sum(leaf.size * _components(leaf) for leaf in floats.values())
    free = iter(range(total))

    def seeded(leaf: Any) -> Any:
        """Exact, with a direction of its own for each real component."""
        if not is_float(leaf):
            return leaf
        out = balls(leaf)
        for index in np.ndindex(leaf.shape):
            row = acb_mat(1, total)
            for unit in (acb(1), acb(0, 1))[: _components(leaf)]:
                row[0, next(free)] = unit
            out[index] = Dual(out[index], row)
        return out

    y = fn(_exact(inputs) | map_leaves(seeded, trees))
    phi = acb_mat(1, total)
    enclosed: dict[str, Balls] = {}
    for name, leaf in ((name, np.asarray(leaf, dtype=object)) for name, leaf in leaves(y)):
        enclosed[name] = elementwise(lambda z: z.v if isinstance(z, Dual) else z, leaf)
        if cotangent.get(name) is not None:
            weights = balls(cotangent[name])
            assert weights.shape == leaf.shape, f"cotangent of {name}: {weights.shape}, value {leaf.shape}"
            for c, z in zip(weights.flat, leaf.flat, strict=True):
                if isinstance(z, Dual):
                    phi = phi + z.t * c.conjugate()
    partials = iter([phi[0, k].real for k in range(total)])
    for path, leaf in floats.items():
        enclosed[f"d.{path}"] = np.empty(leaf.shape, dtype=object)
        for index in np.ndindex(leaf.shape):
            enclosed[f"d.{path}"][index] = acb(*(next(partials) for _ in range(_components(leaf))))
    return enclosed


def evaluated(fn: Callable[[Any], Any], inputs: Mapping[str, Any]) -> dict[str, Balls]:
    """Leaves of fn(inputs) with plain balls: the same text, no derivatives."""
    return dict(leaves(fn(_exact(inputs))))


def _exact(inputs: Mapping[str, Any]) -> Any:
    """The tree with its floating leaves as plain balls."""
    return map_leaves(lambda leaf: balls(leaf) if is_float(leaf) else leaf, inputs)


def _components(leaf: Any) -> int:
    """Real ones of each number of a leaf."""
    return 2 if leaf.dtype.kind == "c" else 1
