"""The built-in targets ``sequential``, ``numpy``, ``numba``: s5ref's own engines behind the protocol."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.optim import OptimConfig
from s5ref.optim import adamw as optim_text
from s5ref.train import checkpoint
from s5ref.tree import leaves
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.protocol import SIGNATURES, named_outputs, outputs_of
from s5ref.verification.conformance.stages import STAGES, cases, nested
from s5ref.verification.conformance.stages.forms import joined, statistics, stored
from s5ref.verification.conformance.stages.reference import handed_out
from s5ref.verification.conformance.stages.stage import Answer


def _method(stage: str) -> Callable[..., Any]:
    def method(self: EngineCandidate, *args: Any, **further: Any) -> Any:
        outputs, _ = self.answer(stage, args, further)
        named = {name: {} for name in outputs_of(stage, further)} | nested(outputs)
        return named if len(named) > 1 else named.popitem()[1]

    return method


def _of_joined(numbers: Mapping[str, Array]) -> dict[str, Array]:
    """A number for each leaf, Λ being one."""
    return {name.removesuffix("_re"): x for name, x in numbers.items() if not name.endswith("Lambda_im")}


class EngineCandidate:
    """All stages of an engine; its cotangents are s5ref's own vjps."""

    framework = "numpy"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        asked = (*(case.features for case in cases()), *(check.features for check in BEHAVIOURS))
        self.features = sorted({feature for features in asked for feature in features})  # all there are

    discretize, scan, ssm = _method("discretize"), _method("scan"), _method("ssm")
    layer, model, step, update = _method("layer"), _method("model"), _method("step"), _method("update")

    def init(self, config: Mapping[str, Any], seed: int, dtype: str = "float32") -> dict[str, Array]:
        params: dict[str, Array] = joined(Model(ModelConfig(**config)).init(seed, dtype)[0])
        return params

    def reload(self, params: Mapping[str, Array]) -> dict[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "params.npz"
            checkpoint.save(file, stored(params) | statistics(params), {})
            loaded: dict[str, Array] = joined(checkpoint.load(file)[0])
        return loaded

    def groups(self, params: Mapping[str, Array], **words: Any) -> dict[str, dict[str, Array]]:
        config = OptimConfig(**words)
        table = optim_text.group_table(stored(params), config)
        rates = {name: np.asarray(getattr(config, group.rate)) for name, group in table.items()}
        decays = {name: np.asarray(group.weight_decay) for name, group in table.items()}
        return {"rates": _of_joined(rates), "decays": _of_joined(decays)}

    def vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any, **further: Any) -> dict[str, Array]:
        _, vjp = self.answer(stage, args, further)
        d = dict(leaves(named_outputs(stage, cotangent, further)))
        return {} if vjp is None else dict(handed_out(vjp(d)))

    def answer(self, stage: str, args: tuple[Any, ...], further: Mapping[str, Any]) -> Answer:
        """The reference's, of arguments in order and by keyword."""
        options = {**dict(zip(SIGNATURES[stage].args, args, strict=False)), **further}
        options = {name: value for name, value in options.items() if value is not None}
        names = (*SIGNATURES[stage].inputs, *SIGNATURES[stage].further)
        inputs = {name: options.pop(name) for name in names if name in options}
        inputs = {name: tuple(x) if isinstance(x, list) else x for name, x in inputs.items()}
        return STAGES[stage](inputs, options, self.engine)
