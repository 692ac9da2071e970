"""Candidates in jax: the built-in one with one mistake each."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from s5ref.verification.conformance.kit.s5_jax import S5Jax


class ErfGelu(S5Jax):  # type: ignore[misc]
    def layer(self, *args: Any, **further: Any) -> Any:
        return super().layer(*args, **{**further, "gelu": "erf"})


class Conjugated(S5Jax):  # type: ignore[misc]
    """Hands out jax's own gradients, as they are."""

    def vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any, **further: Any) -> dict[str, Any]:
        assert stage == "scan"
        a, b, x0, reverse = args
        _, vjp = jax.vjp(lambda a, b, x0: self.scan(a, b, x0, reverse), a, b, x0)
        conjugated = tuple(jax.numpy.conj(d) for d in cotangent)
        return dict(zip(("Lambda_bar", "Bu", "x0"), vjp(conjugated), strict=True))


class Textbook(S5Jax):  # type: ignore[misc]
    """The gain as the authors wrote it; its gradient is autodiff's."""

    def discretize(self, Lambda: Any, Delta: Any, method: str = "zoh") -> tuple[Any, Any]:
        Lambda_bar, gain = super().discretize(Lambda, Delta, method)
        if method != "zoh":
            return Lambda_bar, gain
        Lambda_bar = jax.numpy.exp(Lambda * Delta)
        return Lambda_bar, (1 / Lambda) * (Lambda_bar - 1)


class NotUnderAutodiff(S5Jax):  # type: ignore[misc]
    """Its states go through NumPy, which no tracer can."""

    def scan(self, *args: Any) -> Any:
        x, last = super().scan(*args)
        return jax.numpy.asarray(np.asarray(x)), last
