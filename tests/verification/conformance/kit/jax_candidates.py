"""Candidates in jax: the built-in one with one mistake each."""

from __future__ import annotations

from typing import Any

import jax

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
