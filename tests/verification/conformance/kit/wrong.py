"""Candidates with one mistake each, as ports have made them; the kit is to name it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from s5ref import SEQUENTIAL
from s5ref.verification.conformance.kit.engine import EngineCandidate


class NoFactorTwo(EngineCandidate):  # type: ignore[misc]
    """y = Re(C x) + D u with half of the states; without gradients, so values alone must do."""

    vjp = None

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        half = {name: leaf / 2 if name.startswith("C") else leaf for name, leaf in params.items()}
        return super().ssm(params if further.get("conj_sym") is False else half, u, *args, **further)


class ConjugateGradient(EngineCandidate):  # type: ignore[misc]
    """JAX's convention, not undone."""

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def vjp(self, *args: Any, **further: Any) -> Any:
        return {name: np.conj(d) for name, d in super().vjp(*args, **further).items()}


class ErfGelu(EngineCandidate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(replace(SEQUENTIAL, name="erf", gelu_tanh=SEQUENTIAL.gelu_erf))


class Unknown(EngineCandidate):  # type: ignore[misc]
    """A mistake that is in no list: the first step's input is counted twice."""

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        u = u.copy()
        u[:, 0] *= 2
        return super().ssm(params, u, *args, **further)

    def layer(self, params: Any, x: Any, *args: Any, **further: Any) -> Any:
        if "out2.bias" in params:
            params = params | {"out2.kernel": params["out2.kernel"] * 1.5}
        return super().layer(params, x, *args, **further)


class NoSingleStep(EngineCandidate):  # type: ignore[misc]
    """Another mistake that is in no list, in what does not take sequences of one step."""

    vjp = None

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        if u.shape[1] == 1:
            raise NotImplementedError
        return super().ssm(params | {"B": 1.25 * params["B"]}, u, *args, **further)


class Single(EngineCandidate):  # type: ignore[misc]
    """float64 in and out, float32 inside."""

    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        found = super().scan(
            *(None if z is None else z.astype(np.complex64) for z in (Lambda_bar, Bu, x0)), reverse
        )
        return {name: z.astype(Bu.dtype) for name, z in found.items()}
