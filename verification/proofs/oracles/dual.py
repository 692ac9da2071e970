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
from s5ref.verification.proofs.oracles.balls import Balls, balls, flint, is_float


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

    def chain(self, value: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Dual:
        """f of this, f holomorphic with derivative ``slope``."""
        return Dual(value(self.v), self.t * slope(self.v))

    def real_linear(self, value: Callable[[Any], Any], mat: Callable[[Any], Any]) -> Dual:
        """Re, Im or the conjugate, which are their own differentials."""
        return Dual(value(self.v), mat(self.t))

    def exp(self) -> Dual:
        y = self.v.exp()
        return Dual(y, self.t * y)

    def conjugate(self) -> Dual:
        return Dual(self.v.conjugate(), self.t.conjugate())


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
    paths = {p: leaf for p, leaf in leaves(inputs) if is_float(leaf) and p.split(".")[0] not in constant}
    total = sum(leaf.size * (2 if leaf.dtype.kind == "c" else 1) for leaf in paths.values())
    found: dict[str, Balls] = {}
    seen = 0

    def unit(at: int, value: Any) -> Any:
        row = acb_mat(1, total)
        row[0, at] = value
        return row

    def seed(leaf: Any) -> Balls:
        nonlocal seen
        out = balls(leaf)
        for index in np.ndindex(out.shape):
            row = unit(seen, acb(1))
            seen += 1
            if leaf.dtype.kind == "c":
                row = row + unit(seen, acb(0, 1))
                seen += 1
            out[index] = Dual(out[index], row)
        return out

    y = dict(leaves(fn(_with_leaves(inputs, {p: seed(leaf) for p, leaf in paths.items()}))))
    phi = acb_mat(1, total)
    for name, leaf in y.items():
        found[name] = np.frompyfunc(lambda z: z.v if isinstance(z, Dual) else z, 1, 1)(
            np.asarray(leaf, dtype=object)
        )
        if cotangent.get(name) is not None:
            weights = balls(cotangent[name])
            assert weights.shape == np.shape(leaf), (
                f"cotangent of {name}: {weights.shape}, value {np.shape(leaf)}"
            )
            for c, z in zip(weights.flat, np.asarray(leaf, dtype=object).flat, strict=True):
                if isinstance(z, Dual):
                    phi = phi + z.t * c.conjugate()
    partials = iter([acb(phi[0, k].real) for k in range(total)])
    for path, leaf in paths.items():
        d = np.empty(leaf.shape, dtype=object)
        for index in np.ndindex(leaf.shape):
            d[index] = next(partials)
            if leaf.dtype.kind == "c":
                d[index] = d[index] + next(partials) * acb(0, 1)
        found[f"d.{path}"] = d
    return found


def evaluated(fn: Callable[[Any], Any], inputs: Mapping[str, Any]) -> dict[str, Balls]:
    """Leaves of fn(inputs) with plain balls: the same text, no derivatives."""
    return dict(leaves(fn(_with_leaves(inputs, {p: balls(x) for p, x in leaves(inputs) if is_float(x)}))))


def _with_leaves(tree: Any, new: Mapping[str, Balls]) -> Any:
    """The tree with the leaves of these paths replaced, other floating leaves as plain balls."""
    paths = iter([path for path, _ in leaves(tree)])

    def swap(leaf: Any) -> Any:
        path = next(paths)
        if path in new:
            return new[path]
        return balls(leaf) if is_float(leaf) else leaf

    return map_leaves(swap, tree)
