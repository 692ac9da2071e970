"""Every public boundary refuses what does not fit, and says the invariant, what arrived and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boundary import (
    AT,
    BU,
    CALL,
    LAMBDA,
    POOLED,
    REGRESSION,
    RETRIEVAL,
    SEQ,
    TOKENS,
    L,
    N,
    X,
    Y,
    config,
    nan_at,
    run,
    with_leaf,
)

import s5ref
from s5ref import (
    NUMPY,
    Call,
    ConfigError,
    DataError,
    MissingDependency,
    NumericalError,
    S5Error,
    ShapeError,
    chunked_loss_and_grad,
    streaming,
)
from s5ref.errors import optional, suggest
from s5ref.ssm.discretize import bilinear, zoh
from s5ref.ssm.phi import phi1
from s5ref.ssm.scan import blocked_scan, sequential_scan
from s5ref.ssm.ssm import SSMOptions, ssm
from s5ref.ssm.step import step, stepper
from s5ref.verification import verify
from s5ref.verification.selfcheck.problems import BASE, problem

REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    # inputs of a model
    "inputs of rank 1": (lambda: run(inputs=X[0, 0]), ["inputs", "(N, L, I)", "(3,)"]),
    "inputs without a channel axis": (lambda: run(inputs=X[..., 0]), ["inputs", "(N, L, I)", "adds one"]),
    "inputs with another channel axis": (lambda: run(inputs=X[..., :2]), ["inputs", "I=3", "(3, 7, 2)"]),
    "an empty sequence": (lambda: run(inputs=X[:, :0]), ["inputs", "≥ 1", "(3, 0, 3)"]),
    "an empty batch": (lambda: run(inputs=X[:0], targets=Y[:0]), ["inputs", "≥ 1", "(0, 7, 3)"]),
    "complex inputs": (lambda: run(inputs=X + 0j), ["inputs", "complex128"]),
    "NaN": (lambda: run(inputs=nan_at(X, np.nan)), ["inputs", "finite", "nan", "(0, 0, 0)"]),
    "infinity": (lambda: run(inputs=nan_at(X, -np.inf)), ["inputs", "finite", "-inf"]),
    "ragged lists": (lambda: run(inputs=[[[1.0, 2, 3]], [[1.0, 2, 3], [1.0, 2, 3]]]), ["ragged"]),
    "a token too many": (lambda: run(TOKENS, inputs=np.full((3, 7), 3)), ["tokens", "0 … 2", "3"]),
    "a negative token": (lambda: run(TOKENS, inputs=np.full((3, 7), -1)), ["tokens", "-1"]),
    "one document": (lambda: run(RETRIEVAL, inputs=X), ["inputs", "N, 2, L", "(3, 7, 3)"]),
    # the rest of a batch
    "no targets": (lambda: run(targets=None), ["targets"]),
    "too few targets": (lambda: run(targets=Y[:2]), ["targets", "N=3", "(2,)"]),
    "real targets of a classifier": (lambda: run(targets=Y + 0.5), ["targets", "integers", "float64"]),
    "a class too many": (lambda: run(targets=np.full(N, 4)), ["targets", "0 … 3", "4"]),
    "targets of a regression": (
        lambda: run(REGRESSION, targets=np.ones((N, L))),
        ["targets", "K=4", "(3, 7)"],
    ),
    "a value of a sequence missing": (
        lambda: run(POOLED, targets=np.ones(N)),
        ["targets", "N, K", "K=4", "(3,)"],
    ),
    "classes for values of a sequence": (
        lambda: run(POOLED, targets=np.ones((N, L, 4))),
        ["targets", "N, K"],
    ),
    "a misspelt pooling": (config(pooling="maximum"), ["pooling", "maximum", "max"]),
    "NaN in targets": (lambda: run(REGRESSION, targets=np.full((N, L, 4), np.nan)), ["targets", "finite"]),
    "length 0": (lambda: run(lengths=np.array([7, 0, 3])), ["lengths", "1 … 7", "0"]),
    "length beyond the sequence": (lambda: run(lengths=np.array([8, 1, 3])), ["lengths", "8"]),
    "too few lengths": (lambda: run(lengths=np.array([7, 1])), ["lengths", "(2,)"]),
    "real lengths": (lambda: run(lengths=np.array([7.0, 1, 3])), ["lengths", "integers"]),
    "intervals of another shape": (
        lambda: run(intervals=np.ones((N, L + 1))),
        ["intervals", "L=7", "(3, 8)"],
    ),
    "an interval below 0": (lambda: run(intervals=-np.ones((N, L))), ["intervals", "negative", "-1"]),
    "a NaN interval": (lambda: run(intervals=np.full((N, L), np.nan)), ["intervals", "finite"]),
    # parameters, statistics, states
    "a missing leaf": (lambda: with_leaf("layers_1.seq.D", None), ["missing", "layers_1.seq.D"]),
    "an unknown leaf": (lambda: with_leaf("layers_2.seq.D", np.ones(5)), ["unknown", "layers_2.seq.D"]),
    "a leaf that would broadcast": (
        lambda: with_leaf("layers_0.seq.D", np.ones(1)),
        ["layers_0.seq.D", "(5,)", "(1,)"],
    ),
    "mixed precision": (lambda: with_leaf("layers_0.seq.D", np.ones(5, np.float32)), ["float32, float64"]),
    "integer parameters": (lambda: with_leaf("decoder.bias", np.ones(4, int)), ["int64"]),
    "no statistics": (
        lambda: REGRESSION.model.forward(REGRESSION.params, {}, REGRESSION.batch),
        ["statistics", "missing"],
    ),
    "too few states": (lambda: run(states=[None]), ["states", "2", "1"]),
    "a state of another batch": (
        lambda: run(states=[np.zeros((2, 4), complex), None]),
        ["x0", "N=3", "(2, 4)"],
    ),
    "a real state": (lambda: run(states=[np.zeros((N, 4)), None]), ["x0", "complex128", "float64"]),
    # the call
    "dropout without a key": (
        lambda: problem("errors", "key", replace(BASE, dropout=0.5)).model.forward(
            REGRESSION.params, REGRESSION.statistics, AT.batch, engine=NUMPY, training=True
        ),
        ["dropout", "key=None"],
    ),
    "step_rescale 0": (lambda: Call(NUMPY, step_rescale=0.0), ["step_rescale", "0.0"]),
    "step_rescale NaN": (lambda: Call(NUMPY, step_rescale=float("nan")), ["step_rescale", "nan"]),
    # configuration
    "J not dividing P": (config(blocks=3), ["blocks", "divisor", "8", "3"]),
    "an odd block": (config(ssm_size=6, blocks=2), ["even", "conj_sym", "3"]),
    "a width that is no integer": (config(d_model=1.5), ["d_model", "an integer", "1.5"]),
    "no layers": (config(n_layers=0), ["n_layers", "at least 1", "0"]),
    "dropout 1": (config(dropout=1.0), ["dropout", "1.0"]),
    "dt_min 0": (config(dt_min=0.0), ["dt_min", "0.0"]),
    "dt_min above dt_max": (config(dt_min=1.0), ["dt_min", "1.0", "0.5"]),
    "a misspelt word": (config(activation="half_glu3"), ["half_glu3", "half_glu"]),
    # chunks and streaming
    "chunk 0": (lambda: chunked_loss_and_grad(AT.model, AT.params, {}, AT.batch, 0), ["chunk", "0"]),
    "chunks of a bidirectional model": (
        lambda: chunked_loss_and_grad(
            replace(AT.model, config=replace(BASE, bidirectional=True)), AT.params, {}, AT.batch, 2
        ),
        ["bidirectional"],
    ),
    "chunks with batch statistics": (
        lambda: chunked_loss_and_grad(
            REGRESSION.model,
            REGRESSION.params,
            REGRESSION.statistics,
            REGRESSION.batch,
            2,
            training=True,
        ),
        ["BatchNorm"],
    ),
    "cotangents of too few states": (
        lambda: chunked_loss_and_grad(AT.model, AT.params, {}, AT.batch, 2, dstates=[None]),
        ["dstates", "each layer", "[None]"],
    ),
    "a cotangent of another state": (
        lambda: AT.model.loss_and_grad(AT.params, {}, AT.batch, dstates=[np.zeros((1, 4)), None]),
        ["dstates", "(1, 4)", "result.dstates"],
    ),
    "an unknown engine": (
        lambda: AT.model.forward(AT.params, {}, AT.batch, engine="fortran"),
        ["engine", "sequential, numpy, numba", "fortran"],
    ),
    "an unknown keyword of a call": (
        lambda: AT.model.forward(AT.params, {}, AT.batch, lengths=[1]),
        ["step_rescale", "lengths", "Batch"],
    ),
    "streaming two documents": (
        lambda: streaming(RETRIEVAL.model, RETRIEVAL.params, RETRIEVAL.statistics, NUMPY),
        ["retrieval"],
    ),
    "a step of another batch": (
        lambda: _stream().step(_stream().initial_state(2), X[:, 0]),
        ["(N, H)", "N=2", "(3, 5)"],
    ),
    "a step with NaN": (
        lambda: _stream().step(_stream().initial_state(N), X[:, 0] * np.nan),
        ["finite", "nan"],
    ),
    "a step into the arrays of another batch": (
        lambda: _stream().step(_stream().initial_state(N), X[:, 0], (_stream().initial_state(2), X[:, 0])),
        ["out", "(3, 4) complex128", "(2, 4) complex128", "(3, 4) float64", "(3, 3) float64"],
    ),
    # one SSM, one scan, one discretisation
    "u of another width": (lambda: ssm(SEQ, X, SSMOptions(), CALL), ["u", "H=5", "(3, 7, 3)", "encoder"]),
    "u with infinity": (
        lambda: ssm(SEQ, np.full((1, 2, 5), np.inf), SSMOptions(), CALL),
        ["u", "finite", "inf"],
    ),
    "u in another precision": (
        lambda: ssm(SEQ, np.ones((1, 2, 5), "f"), SSMOptions(), CALL),
        ["float64", "float32"],
    ),
    "an empty u": (lambda: ssm(SEQ, np.ones((1, 0, 5)), SSMOptions(), CALL), ["u", "(1, 0, 5)"]),
    "a state of a bidirectional SSM": (
        lambda: ssm(SEQ, np.ones((1, 2, 5)), SSMOptions(bidirectional=True), CALL, np.zeros((1, 4), complex)),
        ["bidirectional"],
    ),
    "a bidirectional step": (lambda: stepper(SEQ, SSMOptions(bidirectional=True)), ["bidirectional"]),
    "a step of an SSM": (
        lambda: step(stepper(SEQ, SSMOptions()), np.zeros((1, 3), complex), np.ones((1, 5))),
        ["state", "P=4"],
    ),
    "Bu of rank 2": (lambda: sequential_scan(LAMBDA, BU[0]), ["Bu", "(N, L, P)", "(4, 2)"]),
    "an empty scan": (lambda: blocked_scan(LAMBDA, BU[:, :0]), ["Bu", "(2, 0, 2)"]),
    "a multiplier that does not fit": (lambda: NUMPY.scan.value(LAMBDA[:1], BU), ["Lambda_bar", "(1,)"]),
    "a multiplier in another precision": (
        lambda: sequential_scan(LAMBDA.astype("F"), BU),
        ["complex64", "complex128"],
    ),
    "an integer scan": (lambda: sequential_scan(np.ones(2, int), BU.real.astype(int)), ["Bu", "int64"]),
    "x0 of another shape": (
        lambda: sequential_scan(LAMBDA, BU, np.zeros((1, 2), complex)),
        ["x0", "N=2", "(1, 2)"],
    ),
    "a step of 0": (
        lambda: ssm(SEQ | {"log_step": SEQ["log_step"] - 1e9}, np.ones((1, 2, 5)), SSMOptions(), CALL),
        ["exp(log_step)", "positive", "0.0"],
    ),
    "Δ < 0": (
        lambda: bilinear(LAMBDA, np.array([0.1, -3.0])),
        ["Delta", "negative", "-3.0", "exp(log_step)"],
    ),
    "Δ NaN": (lambda: zoh(LAMBDA, np.full(2, np.nan)), ["Delta", "negative", "nan"]),
    "Δ of another shape": (lambda: zoh(LAMBDA, np.ones(3)), ["Delta", "(3,)"]),
    "a real Λ": (lambda: zoh(LAMBDA.real, np.ones(2)), ["Lambda", "complex", "float64"]),
    "Λ NaN": (lambda: zoh(LAMBDA * np.nan, np.ones(2)), ["Lambda", "finite"]),
    "φ₁ of integers": (lambda: phi1(np.array([0, 1])), ["z", "int64"]),
    # verification
    "an unknown level": (lambda: verify(level="thorough"), ["quick", "thorough"]),
    "no engines": (lambda: verify(engines=[]), ["engine"]),
}


def _stream() -> Any:
    return streaming(AT.model, AT.params, AT.statistics, NUMPY)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refused_with_invariant_arrival_and_remedy(case: str) -> None:
    act, words = REFUSED[case]
    with pytest.raises(S5Error) as refused:
        act()
    text = str(refused.value)
    assert [word for word in words if word not in text] == [], text
    assert refused.value.remedy
    assert refused.value.remedy.endswith((".", "?"))
    assert refused.value.message.rstrip().endswith(".")


KINDS: dict[str, type[S5Error]] = {
    "inputs of rank 1": ShapeError,
    "complex inputs": ShapeError,
    "u in another precision": ShapeError,
    "a token too many": DataError,
    "no targets": DataError,
    "length 0": DataError,
    "a missing leaf": DataError,
    "NaN": NumericalError,
    "Δ < 0": NumericalError,
    "J not dividing P": ConfigError,
    "dropout without a key": ConfigError,
    "chunk 0": ConfigError,
}


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_class_says_which_kind(case: str) -> None:
    with pytest.raises(KINDS[case]):
        REFUSED[case][0]()


def test_every_error_is_of_a_kind() -> None:
    """No S5Error as such: whoever catches one can tell a shape from a file."""
    folders = ("arrays.py", "ssm", "nn", "model", "train", "data", "recipes", "interop", "cli")
    root = Path(s5ref.__file__).parent
    files = [
        path for name in folders for path in ([root / name] if "." in name else (root / name).rglob("*.py"))
    ]
    assert len(files) > 80
    bare = r"(raise|return) S5Error\("
    assert [str(path) for path in files if re.search(bare, path.read_text(encoding="utf-8"))] == []
    for kind in (ShapeError, DataError, ConfigError, MissingDependency, NumericalError):
        error = kind("It must be so; it is not.", "Do this. ")
        assert isinstance(error, S5Error)
        assert (str(error), error.remedy) == ("It must be so; it is not. Do this.", "Do this.")


def test_suggestions() -> None:
    assert suggest("Encoder.kernal", ["encoder.kernel", "decoder.bias"]) == "Did you mean encoder.kernel? "
    assert suggest("lambda_re", ["Lambda_re", "B"]) == "Did you mean Lambda_re? "
    assert suggest("xyz", ["Lambda_re", "B"]) == ""
    assert suggest("xyz", []) == ""


def test_an_optional_package_that_is_missing() -> None:
    with pytest.raises(MissingDependency, match="nowhere is not installed") as missing:
        optional("nowhere.at_all", "interop")
    assert missing.value.remedy == 'Run: pip install "s5ref[interop]"'
    assert optional("math", "interop").pi > 3
