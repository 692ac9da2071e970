"""Candidates that are S5 in a form of their own; nothing is to be named a mistake."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from s5ref import SEQUENTIAL
from s5ref.verification.conformance.kit.engine import EngineCandidate


class Ours(EngineCandidate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(SEQUENTIAL)


class Undeclared(Ours):
    """All states are kept, whatever is asked for."""

    def answer(self, stage: str, args: tuple[Any, ...], further: Any) -> Any:
        spaces = stage in ("ssm", "layer", "model", "step")
        return super().answer(stage, args, {**further, "conj_sym": False} if spaces else further)

    def init(self, config: Any, seed: int, dtype: str = "float32") -> Any:
        return super().init({**config, "conj_sym": False}, seed, dtype)


class AllStates(Undeclared):
    """It says so."""

    options: ClassVar = {"conj_sym": False}


class Tustin(Ours):
    """The bilinear rule is its only one, and the norm stands behind the layer."""

    options: ClassVar = {"discretization": "bilinear", "prenorm": False}

    def answer(self, stage: str, args: tuple[Any, ...], further: Any) -> Any:
        assert stage == "scan" or further["discretization"] == "bilinear"
        return super().answer(stage, args, further)


class Permuted(Ours):
    """Another order of the states, and one block only."""

    options: ClassVar = {"init": {"blocks": 1}}

    def init(self, config: Any, seed: int, dtype: str = "float32") -> Any:
        assert config["blocks"] == 1
        params = super().init(config, seed, dtype)
        order = np.random.default_rng(0).permutation(len(params["layers_0.seq.Lambda"]))
        for name, axis in (("Lambda", 0), ("B", 0), ("log_step", 0), ("C", 1)):
            leaf = params[f"layers_0.seq.{name}"]
            params[f"layers_0.seq.{name}"] = np.take(leaf, order, axis)
        return params


class Few:
    """Methods that take what they need and no more; without gradients."""

    def __init__(self) -> None:
        self.engine = EngineCandidate(SEQUENTIAL)

    def discretize(self, Lam: Any, dt: Any) -> Any:
        return self.engine.discretize(Lam, dt, "zoh")

    def scan(self, Lambda_bar: Any, Bu: Any, reverse: bool) -> Any:
        return self.engine.scan(Lambda_bar, Bu, None, reverse)

    def ssm(self, params: Any, u: Any) -> Any:
        assert "C" in params
        return self.engine.ssm(params, u, None, False, 1.0, None)

    def layer(
        self, params: Any, x: Any, train: bool, activation: str, norm: str, bn_momentum: float = 0.95
    ) -> Any:
        options = {"activation": activation, "norm": norm, "bn_momentum": bn_momentum}
        return self.engine.layer(params, x, train, None, **options)


class OneActivation:
    """A layer and a model of half_glu1, with every norm in both places."""

    framework = "numpy"
    options: ClassVar = {"activation": "half_glu1", "gelu": "tanh"}

    def layer(
        self, params: Any, x: Any, train: Any, masks: Any, norm: str = "batch", prenorm: bool = True,
        bn_momentum: float = 0.95,
    ) -> Any:  # fmt: skip
        given = {"norm": norm, "prenorm": prenorm, "bn_momentum": bn_momentum}
        return Ours().layer(params, x, train, masks, activation="half_glu1", **given)

    def model(
        self,
        params: Any,
        x: Any,
        lengths: Any,
        norm: str = "batch",
        prenorm: bool = True,
        train: bool = False,
    ) -> Any:
        given = {"norm": norm, "prenorm": prenorm, "train": train, "n_layers": 2}
        return Ours().model(params, x, lengths, activation="half_glu1", **given)
