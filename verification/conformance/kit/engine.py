"""The built-in targets ``sequential``, ``numpy``, ``numba``: s5ref's own engines behind the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.tree import leaves
from s5ref.verification.conformance.protocol import SIGNATURES, named_outputs
from s5ref.verification.conformance.stages import STAGES, cases
from s5ref.verification.conformance.stages.forms import joined


class EngineCandidate:
    """All stages of an engine; its cotangents are s5ref's own vjps."""

    framework = "numpy"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.features = sorted({feature for case in cases() for feature in case.features})  # all there are

    def vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any, **further: Any) -> dict[str, Array]:
        inputs, options = _split(stage, args, further)
        d = {name: x for name, x in leaves(named_outputs(stage, cotangent)) if x is not None}
        of = STAGES[stage].cotangents
        found = {} if of is None else of(inputs, options, d, self.engine)
        return {name[1:]: leaf for name, leaf in found.items()}

    def _call(self, stage: str, args: tuple[Any, ...], further: Mapping[str, Any]) -> dict[str, Any]:
        inputs, options = _split(stage, args, further)
        return nested_outputs(STAGES[stage].evaluate(inputs, options, self.engine))

    def discretize(self, *args: Any, **further: Any) -> Any:
        return self._call("discretize", args, further)

    def scan(self, *args: Any, **further: Any) -> Any:
        return self._call("scan", args, further)

    def ssm(self, *args: Any, **further: Any) -> Any:
        return self._call("ssm", args, further)["y"]

    def layer(self, *args: Any, **further: Any) -> Any:
        return {"statistics": {}, **self._call("layer", args, further)}

    def model(self, *args: Any, **further: Any) -> Any:
        return next(iter(self._call("model", args, further).values()))

    def step(self, *args: Any, **further: Any) -> Any:
        return self._call("step", args, further)

    def update(self, *args: Any, **further: Any) -> Any:
        return self._call("update", args, further)

    def init(self, config: Mapping[str, Any], seed: int, dtype: str = "float32") -> dict[str, Array]:
        params: dict[str, Array] = joined(Model(ModelConfig(**config)).init(seed, dtype)[0])
        return params


def _split(
    stage: str, args: tuple[Any, ...], further: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments and keywords as the inputs and options of a reference stage."""
    given = {**dict(zip(SIGNATURES[stage].args, args, strict=False)), **further}
    given = {name: value for name, value in given.items() if value is not None}
    inputs = {name: given.pop(name) for name in SIGNATURES[stage].inputs if name in given}
    for name in ("masks", "state"):
        if isinstance(inputs.get(name), list):
            inputs[name] = tuple(inputs[name])
    return inputs, given


def nested_outputs(found: Mapping[str, Any]) -> dict[str, Any]:
    """``statistics.norm.mean`` → {"statistics": {"norm.mean": …}}, ``state.0`` … → a tuple."""
    tree: dict[str, Any] = {}
    for path, leaf in found.items():
        name, _, rest = path.partition(".")
        if not rest:
            tree[name] = np.asarray(leaf)
        else:
            tree.setdefault(name, {})[rest] = np.asarray(leaf)
    return {
        name: tuple(value.values())
        if isinstance(value, dict) and set(value) <= {str(i) for i in range(len(value))}
        else value
        for name, value in tree.items()
    }
