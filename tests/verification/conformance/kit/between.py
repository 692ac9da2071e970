"""Candidates that are right in every case of one size, and wrong in what only several answers show."""

from __future__ import annotations

import time
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


class FewRows(Right):
    """Rows behind the 1024th are those before."""

    def scan(self, Lambda_bar: Any, Bu: Any, *args: Any, **further: Any) -> Any:
        out = super().scan(Lambda_bar, Bu, *args, **further)
        if len(Bu) > 1024:
            out["x"][1024:] = 0
        return out


class EndsAtAGrid(Right):
    """Steps behind the 65,535th are not computed."""

    def scan(self, Lambda_bar: Any, Bu: Any, *args: Any, **further: Any) -> Any:
        out = super().scan(Lambda_bar, Bu, *args, **further)
        out["x"][:, 65_535:] = 0
        return out


class EndsAtAGridInAnSSM(Right):
    """Outputs behind the 65,535th step are those of the step before."""

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        y = super().ssm(params, u, *args, **further)
        y[:, 65_535:] = y[:, 65_534:65_535]
        return y


class Slow(Right):
    """Answers what is long, after a while."""

    def scan(self, Lambda_bar: Any, Bu: Any, *args: Any, **further: Any) -> Any:
        if Bu.shape[1] > 1000:
            time.sleep(60)
        return super().scan(Lambda_bar, Bu, *args, **further)


class AlwaysTheSameMasks(Right):
    """The seed has no effect on what is drawn."""

    def layer(self, *args: Any, **further: Any) -> Any:
        return super().layer(*args, **{**further, "seed": 0})


class DropsNothing(Right):
    """Takes the rate and has no dropout."""

    def layer(self, *args: Any, **further: Any) -> Any:
        return super().layer(*args, **{**further, "dropout": 0.0})


class DrawsNothing:
    """A layer that says nothing of dropout."""

    def layer(
        self, params: Any, x: Any, train: Any, masks: Any, activation: str = "half_glu2", norm: str = "layer"
    ) -> Any:
        return Right().layer(params, x, train, masks, activation=activation, norm=norm)


class OneLeafConjugated(Right):
    """The gradient of the second layer's C is the conjugate."""

    def vjp(self, stage: str, args: Any, cotangent: Any, **further: Any) -> Any:
        grads = super().vjp(stage, args, cotangent, **further)
        return {n: np.conj(d) if n.endswith("layers_1.seq.C") else d for n, d in grads.items()}


class DStaysWhereItIs(Right):
    """No update moves D."""

    def update(self, params: Any, *args: Any, **further: Any) -> Any:
        out = super().update(params, *args, **further)
        out["params"] |= {n: x for n, x in params.items() if n.endswith("seq.D")}
        return out


class ClipsAtTheStart(Right):
    """clip_eigs holds for eigenvalues that begin below 1/64, as where initial ones alone are clipped."""

    def model(self, params: Any, *args: Any, **further: Any) -> Any:
        above = any(np.any(x.real > 1 / 64) for n, x in params.items() if n.endswith("Lambda"))
        return super().model(params, *args, **{**further, "clip_eigs": not above})


class LogStepHasARateOfItsOwn(Right):
    """Neither that of the state space nor that of the rest."""

    def groups(self, params: Any, **words: Any) -> Any:
        out = super().groups(params, **words)
        return out | {"rates": {n: 1e-5 if n.endswith("log_step") else x for n, x in out["rates"].items()}}


class CDecays(Right):
    """No way of grouping spares C its decay."""

    def groups(self, params: Any, **words: Any) -> Any:
        out = super().groups(params, **words)
        return out | {"decays": {n: words["weight_decay"] if n.endswith("seq.C") else x
                                 for n, x in out["decays"].items()}}  # fmt: skip
