"""One differentiable operation, as the tests see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref import Call, Engine
from s5ref.engine import Pair
from s5ref.random import generator

N, L, H, P, K = 3, 9, 4, 5, 3
Args = dict[str, Any]


@dataclass(frozen=True)
class Op:
    """One operation.

    make    float64 arguments by name
    value   (kernels, args) -> (y, saved)
    vjp     (kernels, saved, dy) -> cotangents by the names of the differentiable arguments
    linear  the arguments in which y is jointly linear, up to a constant
    wide    whether it runs in longdouble
    """

    name: str
    make: Callable[[np.random.Generator], Args]
    value: Callable[[Engine, Args], tuple[Any, Any]]
    vjp: Callable[[Engine, Any, Any], Args]
    linear: tuple[str, ...] = ()
    wide: bool = True

    def args(self) -> Args:
        """The arguments, always the same."""
        return self.make(generator("op", self.name))


def op(
    name: str, pair: Callable[[Engine], Pair], make: Any, wrt: str, linear: str = "", wide: bool = True
) -> Op:
    """An op whose function takes the arguments in order, and whose vjp returns the cotangents of those in
    ``wrt``."""
    names = wrt.split()

    def vjp(engine: Engine, residuals: Any, dy: Any) -> Args:
        d = pair(engine).vjp(residuals, dy)
        return dict(zip(names, d if isinstance(d, tuple) else (d,), strict=True))

    return Op(name, make, lambda engine, a: pair(engine).value(*a.values()), vjp, tuple(linear.split()), wide)


def called(
    name: str,
    pair: Pair,
    make: Any,
    wrt: str,
    linear: str = "",
    extra: Callable[[Engine], tuple[Any, ...]] = lambda k: (),
) -> Op:
    """An op whose function and vjp take the call, and before it ``extra``, behind their arguments."""
    names = wrt.split()

    def vjp(engine: Engine, residuals: Any, dy: Any) -> Args:
        return dict(zip(names, pair.vjp(residuals, dy, *extra(engine), Call(engine)), strict=True))

    return Op(
        name, make, lambda k, a: pair.value(*a.values(), *extra(k), Call(k)), vjp, tuple(linear.split())
    )


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape)


def complex_normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
