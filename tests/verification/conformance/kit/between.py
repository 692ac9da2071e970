"""Candidates that are right in every case of one size, and wrong in what only several answers show."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref import SEQUENTIAL
from s5ref.verification.conformance.kit.engine import EngineCandidate

TILE = 64


class Right(EngineCandidate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)


class WrongAtSeventeen(Right):
    """The last of 17 steps counts twice, as where a block is filled up wrongly."""

    def scan(self, Lambda_bar: Any, Bu: Any, *args: Any, **further: Any) -> Any:
        out = super().scan(Lambda_bar, Bu, *args, **further)
        if Bu.shape[1] == 17:
            out["x"][:, -1] *= 2
        return out


class TilesOfItsOwn(Right):
    """An SSM whose state is zero at every 64th step."""

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        if u.shape[1] <= TILE:
            return super().ssm(params, u, *args, **further)
        first = super().ssm(params, u[:, :TILE], *args, **further)
        rest = super().ssm(params, u[:, TILE:], None, *args[1:], **further)
        if not further.get("final_state"):
            return np.concatenate([first, rest], axis=1)
        return {"y": np.concatenate([first["y"], rest["y"]], axis=1), "x_last": rest["x_last"]}


class OneIsSqueezed(Right):
    """A single example comes back without its axis."""

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        y = super().ssm(params, u, *args, **further)
        return y[0] if len(u) == 1 and not further.get("final_state") else y


class StateDropped(Right):
    """x0 is taken and has no effect."""

    vjp = None

    def ssm(self, params: Any, u: Any, x0: Any = None, *args: Any, **further: Any) -> Any:
        return super().ssm(params, u, None, *args, **further)


class WithoutFinalState:
    """An SSM that cannot return its state."""

    def ssm(
        self, params: Any, u: Any, x0: Any, bidirectional: bool, step_rescale: float, intervals: Any
    ) -> Any:
        return Right().ssm(params, u, x0, bidirectional, step_rescale, intervals)


class ForgetsTheCotangent(Right):
    """In a piece longer than a tile the cotangent of the final state has no effect."""

    def vjp(self, stage: str, args: Any, cotangent: Any, **further: Any) -> Any:
        if stage == "ssm" and further.get("final_state") and 70 > args[1].shape[1] > TILE:
            cotangent = cotangent[0], 0 * cotangent[1]
        return super().vjp(stage, args, cotangent, **further)
