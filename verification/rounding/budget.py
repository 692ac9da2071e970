"""Computed tolerances: one dimensionless ratio, one threshold, one table of constants.

Single kernels have a-priori bounds (`s5ref.verification.rounding.bounds`). Composites and the cotangents
through them have none that is both simple and tight: their budget is a multiple of what single roundings of
every kernel output do to them (`composite_budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Conditions, Engine, Implementation, Pair
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


def over(difference: Array, bound: Any, eps: float, dtype: Any) -> Array:
    """Differences of numbers of ``dtype`` over eps · bound, element by element; NaN counts as infinity.

    Underflow is granted one smallest normal number. Where the bound is 0 only a difference of 0 is allowed.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = eps * np.broadcast_to(np.asarray(bound, dtype=difference.dtype), difference.shape)
        smallest = np.finfo(dtype).tiny if np.dtype(dtype).kind in "fc" else 0.0
        allowed = np.where(allowed > 0, allowed + smallest, 0)
        ratios = difference / np.maximum(allowed, np.finfo(difference.dtype).tiny)
        ratios = np.where(difference == 0, 0, np.where(np.isnan(ratios), np.inf, ratios))
    return np.asarray(ratios)


def element_ratios(got: Array, want: Array, bound: Any, eps: float) -> Array:
    """|got − want| / (eps · bound), element by element; equal infinities do not differ."""
    wide = np.result_type(got, want)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got.astype(wide) - want.astype(wide))
    difference = difference if difference.dtype.kind == "f" else difference.astype(np.float64)
    return over(np.where(got == want, 0, difference), bound, eps, got.dtype)


def ratio(got: Any, want: Any, bound: Any, eps: float) -> float:
    """max |got − want| / (eps · bound): at most THRESHOLD for a rounding-sized difference, whatever the
    scale.

    Parameters
    ----------
    got, want : array_like of one shape
    bound : array_like
        Like want, or one number; in units of eps. Where it is 0 only equal numbers pass.
    eps : float
        Of the precision that is judged; 1.0 for a bound that holds it already.

    Returns
    -------
    float
        Infinity for numbers that are not finite, another shape, and whole numbers that differ.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or not np.isfinite(got).all():
        return float("inf")
    if got.dtype.kind not in "fc":
        return 0.0 if np.array_equal(got, want) else float("inf")
    return float(np.max(element_ratios(got, want, bound, eps), initial=0.0))


def wider(dtype: Any) -> np.dtype[Any]:
    """The precision that judges ``dtype``: float64 for float32, else longdouble (on some machines no wider
    than float64)."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float32 else np.longdouble)


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with every real leaf in ``dtype`` and every complex leaf in its complex counterpart."""
    real = np.dtype(dtype)

    def convert(leaf: Any) -> Any:
        if not is_float(leaf):
            return leaf
        return leaf.astype(np.result_type(real, np.complex64) if leaf.dtype.kind == "c" else real)

    return map_leaves(convert, tree)


class Perturber:
    """Makes functions whose results are off by a little: one key gives one perturbation.

    ``move(leaf, rng)`` is a leaf that is off. The draws are keyed by the key, the name of the function and
    the number of the call. Arguments that a function merely saves are not results and stay as they are.
    """

    def __init__(self, move: Callable[[Any, np.random.Generator], Any], *key: str | int) -> None:
        self.move, self.key, self.calls = move, key, 0

    def of(
        self, name: str, fn: Callable[..., Any], result: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """``fn`` perturbed; ``result(rng, value, args)`` perturbs its value where not every leaf is moved."""

        def moved(rng: np.random.Generator, value: Any, args: Any) -> Any:
            given = {id(leaf) for _, leaf in leaves(args)}
            return map_leaves(lambda leaf: leaf if id(leaf) in given else self.move(leaf, rng), value)

        def perturbed_fn(*args: Any) -> Any:
            self.calls += 1
            rng = generator(*self.key, name, self.calls)
            return (result or moved)(rng, fn(*args), args)

        return perturbed_fn

    def engine(self, engine: Engine, suffixes: tuple[str, str] = ("value", "vjp")) -> Engine:
        """Every value and vjp of an engine perturbed, ``suffixes`` telling the two apart in the key."""
        suffix = dict(zip(("value", "vjp"), suffixes, strict=True))
        moved = wrapped(engine, lambda field, which, fn: self.of(f"{field}.{suffix[which]}", fn))
        return replace(moved, name=f"{engine.name}, perturbed")


def wrapped(engine: Engine, wrap: Callable[[str, str, Callable[..., Any]], Callable[..., Any]]) -> Engine:
    """The engine with ``wrap(field, "value" or "vjp", function)`` for each function of its pairs, and of its
    layers, whose field is "block"."""

    def both(field: str, own: Any) -> dict[str, Any]:
        return {which: wrap(field, which, getattr(own, which)) for which in ("value", "vjp")}

    def layer(options: Any, conditions: Conditions) -> Implementation:
        own = engine.layer(options, conditions)
        return replace(own, **both("block", own))

    pairs = {name: pair for name, pair in vars(engine).items() if isinstance(pair, Pair)}
    changed: dict[str, Any] = {name: Pair(**both(name, pair)) for name, pair in pairs.items()}
    return replace(engine, layer=layer, **changed)


def perturbed(engine: Engine, seed: int) -> Engine:
    """The engine with every leaf that its values and vjps return multiplied by 1 + eps r, r uniform on
    [−1, 1]."""
    return Perturber(_one_rounding, "perturbed", seed).engine(engine)


def is_float(leaf: Any) -> bool:
    """An array of floating or complex numbers."""
    return isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc"


def _one_rounding(leaf: Any, rng: np.random.Generator) -> Any:
    if not is_float(leaf):
        return leaf
    real = np.zeros(0, leaf.dtype).real.dtype
    factor = 1 + np.finfo(real).eps * rng.uniform(-1, 1, leaf.shape)
    return leaf * factor.astype(np.result_type(real, np.float64)).astype(real)


def composite_budget(
    fn: Callable[[Engine], Any], engine: Engine, seeds: Iterable[int], terms: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """COMPOSITE · √terms times the largest deviation of the seeded perturbed runs, leaf by leaf.

    Parameters
    ----------
    fn : function
        engine → a tree of arrays.
    engine : Engine
        The one that is perturbed, SEQUENTIAL as a rule.
    seeds : iterable of int
        A perturbed run each.
    terms : int
        Of the longest sum on the way.

    Returns
    -------
    want, budget : dict
        The leaves of fn(engine), and the budget of each.

    Notes
    -----
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
