"""Estimators as ONNX: raw channels in, what `predict` and `predict_proba` say out."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from s5ref import SEQUENTIAL, S5Classifier, S5Error, S5Regressor
from s5ref.arrays import Array
from s5ref.interop import exported
from s5ref.interop.onnx_estimator import to_onnx
from s5ref.verification.rounding.budget import composite_budget, ratio

pytestmark = pytest.mark.onnx
SMALL: dict[str, Any] = {"n_layers": 1, "steps": 4, "engine": "numpy", "random_state": 0}
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 15, 12)
SERIES = [1e5 + RNG.standard_normal((2, n)).cumsum(axis=1) for n in LENGTHS]  # float32 would round these
CLASSES = np.array(["still", "walks", "runs"] * 4)


@pytest.mark.parametrize("max_length", [128, 6])  # of the model: a step, or a frame of several
@pytest.mark.parametrize("kind", ["classes", "value", "value a step"])
def test_an_estimator_says_the_same(kind: str, max_length: int) -> None:
    estimator: Any
    if kind == "classes":
        estimator = S5Classifier(4, 4, n_estimators=2, n_filters=0, max_length=max_length, **SMALL).fit(
            SERIES, CLASSES
        )
    elif kind == "value":
        estimator = S5Regressor(4, 4, n_estimators=2, n_filters=0, max_length=max_length, **SMALL)
        estimator.fit(SERIES, 50 + RNG.standard_normal(12))
    else:
        estimator = S5Regressor(4, 4, n_estimators=1, max_length=max_length, per_step=True, **SMALL)
        estimator.fit(SERIES, [x[0] for x in SERIES])
    proto = to_onnx(estimator)
    inputs = np.full((12, LENGTHS.max(), 2), np.nan)  # padding is not read
    for row, x in zip(inputs, SERIES, strict=True):
        row[: x.shape[1]] = x.T
    got = exported.onnx_output(proto, {"inputs": inputs, "lengths": LENGTHS})

    def said(engine: Any) -> dict[str, Array]:
        own = copy.copy(estimator)
        own.engine = engine
        if kind == "classes":
            return {"output": own.predict_proba(SERIES)}
        return {"output": np.concatenate([np.atleast_1d(y) for y in own.predict(SERIES)])}

    if kind == "value a step":
        got = np.concatenate([y[:n] for y, n in zip(got, LENGTHS, strict=True)])
    want, budget = composite_budget(said, SEQUENTIAL, range(4), int(LENGTHS.max()))
    assert ratio(got.reshape(want["output"].shape), want["output"], budget["output"], 1.0) <= 1
    if kind == "classes":
        facts = {entry.key: entry.value for entry in proto.metadata_props}
        assert json.loads(facts["classes"]) == sorted(set(CLASSES))


def test_series_with_times_are_refused() -> None:
    X, times = RNG.standard_normal((6, 5)), np.cumsum(RNG.uniform(1, 3, (6, 5)), axis=1)
    estimator = S5Classifier(4, 4, n_estimators=1, **SMALL).fit(X, [0, 1] * 3, times=times)
    with pytest.raises(S5Error, match="regular series"):
        to_onnx(estimator)
