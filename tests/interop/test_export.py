"""Exported files compute what the model computes: every option, within the rounding budget, in float32."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from s5ref import SEQUENTIAL, Batch, Model, S5Error
from s5ref.arrays import Array
from s5ref.errors import MissingDependency
from s5ref.interop import exported
from s5ref.interop.c import to_c
from s5ref.interop.onnx import to_onnx, to_onnx_step
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, Problem, problem

IRREGULAR, PADDED = {"irregular": True}, {"padded": True}
DOCUMENTS = {"head": "retrieval", "n_classes": 2}
WHOLE: list[
    tuple[dict[str, Any], dict[str, Any]]
] = [  # every option of a model and of a batch, at least once
    ({"activation": "gelu", "norm": "layer"}, {"tokens": True}),
    ({"activation": "half_glu1", "gelu": "erf", "prenorm": False, "bidirectional": True}, {}),
    (
        {"activation": "full_glu", "norm": "layer", "prenorm": False, "conj_sym": False, "dt_scalar": True},
        IRREGULAR,
    ),
    ({"discretization": "bilinear", "bidirectional": True, "pooling": "last"}, IRREGULAR | PADDED),
    ({"discretization": "dirac", "bidirectional": True, "padding": "masked"}, IRREGULAR | PADDED),
    ({"discretization": "bilinear", "clip_eigs": True, "pooling": "max"}, {"clipped": True, **PADDED}),
    ({"c_init": "complex_normal", "bidirectional": True, "pooling": "mean+max", "padding": "masked"}, PADDED),
    ({"discretization": "dirac", **DOCUMENTS}, {"tokens": True, **PADDED}),
    ({"bidirectional": True, "padding": "masked", **DOCUMENTS}, IRREGULAR | PADDED),
    ({"head": "regression", "padding": "masked"}, PADDED),
    ({"head": "regression"}, {"length": 1}),
    ({"head": "pooled_regression"}, {}),
]
KINDS: list[dict[str, Any]] = [  # what goes around while activation, norm and prenorm take all values
    {},
    {"head": "regression"},
    {"pooling": "last", "conj_sym": False, "dt_scalar": True},
    {"pooling": "max", "gelu": "erf"},
    {"pooling": "mean+max", "head": "pooled_regression", "discretization": "dirac"},
    {"discretization": "bilinear", "clip_eigs": True},
]
STEPWISE = [
    (replace(BASE, activation=activation, norm=norm, prenorm=prenorm, **KINDS[i % 6]), i % 3 == 1)
    for i, (activation, norm, prenorm) in enumerate(
        product(["gelu", "half_glu1", "half_glu2", "full_glu"], ["batch", "layer"], [True, False])
    )
]


def single(name: str, config: Any, **variant: Any) -> Problem:
    return problem("export", name, config, training=False, **variant).cast("float32")


def agreement(at: Problem, got: Array) -> float:
    """The difference from the reference over the rounding budget."""

    def output(engine: Any) -> dict[str, Array]:
        batch = at.batch._replace(targets=None)
        return {"output": at.model.forward(at.params, at.statistics, batch, engine=engine).output}

    want, budget = composite_budget(output, SEQUENTIAL, range(4), at.terms)
    return float(ratio(got, want["output"], budget["output"], 1.0))


def last(at: Problem, outputs: Array) -> Array:
    """Of outputs (N, L, K) after every step those that `Model.forward` has."""
    return outputs if at.model.head.stepwise else outputs[:, -1]


def whole(at: Problem, model: Model | None = None) -> Array:
    """The output of the ONNX file of ``model``, at's own if None."""
    b = at.batch
    inputs = {"inputs": b.inputs, "lengths": b.lengths, "intervals": b.intervals}
    feed = {name: x for name, x in inputs.items() if x is not None}
    proto = to_onnx(
        model or at.model, at.params, at.statistics, tokens=b.inputs.dtype.kind == "i",
        lengths="lengths" in feed, intervals="intervals" in feed,
    )  # fmt: skip
    return exported.onnx_output(proto, feed)


@pytest.mark.onnx
@pytest.mark.parametrize("i", range(len(WHOLE)))
def test_whole_sequences_equal_the_model(i: int) -> None:
    options, variant = WHOLE[i]
    at = single(f"whole {i}", replace(BASE, **options), **variant)
    assert agreement(at, whole(at)) <= 1


@pytest.mark.onnx
@pytest.mark.parametrize(
    "change",
    [{"gelu": "erf"}, {"activation": "half_glu1"}, {"discretization": "bilinear"}, {"pooling": "last"}],
)
def test_another_option_is_no_rounding(change: dict[str, Any]) -> None:
    """What `agreement` lets pass is rounding: the file of another model is not."""
    at = single("another", BASE)
    assert agreement(at, whole(at, Model(replace(BASE, **change)))) > 1


@pytest.mark.onnx
def test_batch_and_length_are_dynamic_and_an_interval_of_zero_changes_nothing() -> None:
    """Two samples at one time; and an eigenvalue of zero, whose gain is Δ."""
    at = single("dynamic", BASE, irregular=True)
    for name in ("re", "im"):
        at.params[f"layers_0.seq.Lambda_{name}"][0] = 0
    assert at.batch.intervals is not None
    at.batch.intervals[:, 3] = 0
    proto = to_onnx(at.model, at.params, at.statistics, intervals=True)
    for n, length in ((3, 7), (1, 2)):
        part = Batch(at.batch.inputs[:n, :length], intervals=at.batch.intervals[:n, :length])
        assert part.intervals is not None
        feed = {"inputs": part.inputs, "intervals": part.intervals}
        assert agreement(replace(at, batch=part), exported.onnx_output(proto, feed)) <= 1


@pytest.mark.onnx
@pytest.mark.parametrize("i", range(len(STEPWISE)))
def test_steps_equal_the_model(i: int) -> None:
    config, tokens = STEPWISE[i]
    at = single(f"step {i}", config, tokens=tokens)
    proto = to_onnx_step(at.model, at.params, at.statistics, tokens=tokens)
    assert agreement(at, last(at, exported.onnx_outputs(proto, at.batch.inputs))) <= 1


@pytest.mark.cxx
@pytest.mark.parametrize("i", range(len(STEPWISE)))
def test_steps_in_c_equal_the_model(i: int) -> None:
    config, tokens = STEPWISE[i]
    at = single(f"step {i}", config, tokens=tokens)
    source = to_c(at.model, at.params, at.statistics, tokens=tokens, name="net")
    assert agreement(at, last(at, exported.c_outputs(source, at.batch.inputs, "net"))) <= 1


def test_the_numbers_of_a_c_file_are_those_of_the_model() -> None:
    at = single("numbers", BASE)
    source = to_c(at.model, at.params, at.statistics)
    words = source.partition("s5_decoder_bias[4] = {")[2].partition("}")[0].split(", ")
    assert [float.fromhex(word.removesuffix("f")) for word in words] == at.params["decoder.bias"].tolist()


@pytest.mark.onnx
def test_a_file_says_what_it_is() -> None:
    at = single("facts", BASE)
    proto = to_onnx(at.model, at.params, at.statistics)
    config = json.loads({entry.key: entry.value for entry in proto.metadata_props}["config"])
    assert type(BASE)(**config) == BASE
    assert "log-probabilities" in proto.doc_string


@pytest.mark.onnx
@pytest.mark.parametrize(
    ("change", "message"),
    [({"bidirectional": True}, "sees the future"), (DOCUMENTS, "compares two documents")],
)
@pytest.mark.parametrize("export", [to_onnx_step, to_c])
def test_what_has_no_step_is_refused(export: Any, change: dict[str, Any], message: str) -> None:
    at = single("refused", replace(BASE, **change))
    with pytest.raises(S5Error, match=message):
        export(at.model, at.params, at.statistics)


@pytest.mark.onnx
def test_what_would_be_wrong_is_refused() -> None:
    at = single("refused", replace(BASE, head="regression"))
    given = (at.model, at.params, at.statistics)
    with pytest.raises(S5Error, match="reads lengths where padding is masked"):
        to_onnx(*given, lengths=True)
    with pytest.raises(S5Error, match="identifier of C"):
        to_c(*given, name="1x")
    learned = single("refused", replace(BASE, learn_initial_state=True))
    for export in (to_onnx, to_onnx_step, to_c):
        with pytest.raises(S5Error, match="start from zero"):
            export(learned.model, learned.params, learned.statistics)
    for change, words in (
        ({"head": "gaussian_regression"}, "model.head must be one of"),
        ({"encoder": "image", "in_dim": 64}, "model.encoder must be one of linear; got 'image'"),
        ({"intervals": "ignored"}, "model.intervals must be one of used; got 'ignored'"),
    ):
        other = single("refused", replace(BASE, **change))
        with pytest.raises(S5Error, match=words):
            to_onnx(other.model, other.params, other.statistics)
    with pytest.raises(S5Error, match=r"decoder\.bias is not"):
        to_onnx(at.model, {**at.params, "decoder.bias": np.full(4, np.inf, "float32")}, at.statistics)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    at = single("missing", BASE)
    given = (at.model, at.params, at.statistics)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match="cc"):
        exported.c_outputs(to_c(*given), at.batch.inputs)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"onnx is not installed.*s5ref\[onnx\]"):
        to_onnx(*given)
