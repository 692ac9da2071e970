"""A user's own arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from s5ref.data import from_arrays
from s5ref.data.user import for_model
from s5ref.errors import S5Error
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig

REALS = np.linspace(0, 1, 24).reshape(4, 3, 2)
TOKENS = np.arange(12).reshape(4, 3) % 5
CLASSES = np.array([0, 1, 2, 1])
GOOD = (REALS, CLASSES)


def test_reals() -> None:
    dataset = from_arrays(
        {"train": GOOD, "validation": (REALS[:2], CLASSES[:2]), "test": (REALS[:1], CLASSES[:1])}
    )
    task = dataset.task
    assert (task.kind, task.length, task.in_dim, task.n_classes, task.sizes) == ("real", 3, 2, 3, (4, 2, 1))
    assert dataset.source == "user arrays"
    batch = dataset.train.batch([1, 2], "float32")
    assert batch.inputs.shape == (2, 3, 2)
    assert batch.inputs.dtype == np.float32
    np.testing.assert_array_equal(batch.inputs, REALS[[1, 2]].astype(np.float32))


def test_a_sequence_lists_tokens_and_no_test() -> None:
    dataset = from_arrays(
        [(TOKENS.tolist(), CLASSES.tolist(), [3, 1, 2, 3]), (TOKENS.tolist(), CLASSES.tolist())]
    )
    assert dataset.test is None
    assert list(dataset.splits()) == ["train", "validation"]
    assert (dataset.task.kind, dataset.task.length, dataset.task.in_dim) == ("tokens", 3, 5)
    batch = dataset.train.batch([1])
    assert batch.inputs.dtype == np.int64
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [1]


def test_batches_mappings_and_integers_with_channels() -> None:
    pixels = np.zeros((4, 3, 1), np.uint8)
    value = Batch(pixels, CLASSES, intervals=np.ones((4, 3), int))
    dataset = from_arrays({"train": value, "validation": {"inputs": pixels, "targets": CLASSES}}, n_classes=7)
    assert dataset.task.n_classes == 7
    batch = dataset.train.batch([0], "float64")
    assert batch.inputs.dtype == np.float64
    assert batch.intervals is not None
    assert batch.intervals.dtype == np.float64


def test_retrieval_and_regression() -> None:
    pairs = np.zeros((4, 2, 3), int)
    split = (pairs, CLASSES, np.full((4, 2), 3))
    dataset = from_arrays({"train": split, "validation": split}, head="retrieval")
    assert (dataset.task.kind, dataset.task.length) == ("tokens", 3)
    regression = (REALS, np.zeros((4, 3, 5)))
    dataset = from_arrays({"train": regression, "validation": regression}, head="regression")
    assert dataset.task.n_classes == 5
    assert dataset.task.measured_by == "mse"


def test_values_of_a_sequence_need_no_axis_of_one() -> None:
    """As scikit-learn takes them: whole numbers and lists, too."""
    for targets in ([3, 1, 2, 0], np.arange(4.0), np.arange(4.0)[:, None]):
        dataset = from_arrays(dict.fromkeys(("train", "validation"), (REALS, targets)),
                              head="pooled_regression")  # fmt: skip
        assert dataset.task.n_classes == 1
        assert dataset.task.measured_by == "mse"
        assert dataset.train.targets.shape == (4, 1)
    wide = (REALS, np.zeros((4, 3)))
    dataset = from_arrays({"train": wide, "validation": wide}, head="pooled_regression")
    assert dataset.task.n_classes == 3
    with pytest.raises(S5Error, match=r"validation: targets must be \(N, K\) with N=4, K=3; got \(4,\)"):
        from_arrays({"train": wide, "validation": (REALS, np.zeros(4))}, head="pooled_regression")
    steps = (REALS, np.zeros((4, 3)))
    dataset = from_arrays({"train": steps, "validation": steps}, head="regression")
    assert dataset.train.targets.shape == (4, 3, 1)


def changed(array: Any, index: Any, value: Any) -> Any:
    out = np.array(array)
    out[index] = value
    return out


BAD: list[tuple[Any, str]] = [
    (
        (changed(REALS, (1, 2, 0), np.nan), CLASSES),
        r"train: inputs must be finite; got nan at index \(1, 2, 0\)",
    ),
    ((changed(REALS, (0, 0, 0), np.inf), CLASSES), "train: inputs must be finite"),
    ((REALS[..., 0], CLASSES), r"channel axis: inputs\[\.\.\., None\]"),
    ((REALS[:0], CLASSES[:0]), "train: inputs must hold at least one example"),
    ((REALS[:, :0], CLASSES), "train: inputs must hold at least one example"),
    (([[1, 2], [3]], [0, 1]), "train: inputs must be rectangular"),
    ((TOKENS - 1, CLASSES), "train: tokens must be at least 0; got -1"),
    ((REALS, CLASSES[:3]), r"train: targets must be \(N\) with N=4; got \(3,\)"),
    ((REALS, CLASSES * 1.0), "train: targets must be integers; got dtype float64"),
    ((REALS, CLASSES - 1), r"train: targets must lie in 0 … 2 .*; got -1"),
    ((REALS, CLASSES + 1), r"train: targets must lie in 0 … 2 .*; got 1 … 3"),
    ((REALS, CLASSES, [3, 3, 0, 3]), r"train: lengths must lie in 1 … 3 \(L\); got 0"),
    ((REALS, CLASSES, [3, 3, 4, 3]), r"train: lengths must lie in 1 … 3 \(L\); got 3 … 4"),
    ((REALS, CLASSES, [3, 3, 3]), "train: lengths must be"),
    ((REALS, CLASSES, [3.0, 3.0, 3.0, 3.0]), "train: lengths must be integers"),
    (
        (REALS, CLASSES, None, -np.ones((4, 3))),
        "train: intervals .* must not be negative; the smallest is -1",
    ),
    ((REALS, CLASSES, None, np.ones((4, 2))), "train: intervals must be"),
    ((REALS, CLASSES, None, None, np.ones((4, 3))), "train: resets must be boolean"),
    ((REALS, CLASSES, None, None, np.ones((4, 2), bool)), r"train: resets must be \(N, L\) with N=4, L=3"),
    ((np.array([["a"]]), CLASSES), "train: inputs must be real numbers or integers"),
    ((REALS + 1j, CLASSES), "train: inputs must be real numbers or integers"),
    ((REALS, None), "train must hold inputs and targets; targets is missing"),
    ((REALS,), "train must be a mapping or a sequence of 2 to 5"),
    (REALS, "train must be a mapping or a sequence of 2 to 5; got ndarray"),
    ({"inputs": REALS, "labels": CLASSES}, "train must hold inputs and targets; unknown labels"),
]


@pytest.mark.parametrize(("train", "message"), BAD)
def test_refusals(train: Any, message: str) -> None:
    with pytest.raises(S5Error, match=message):
        from_arrays({"train": train, "validation": GOOD}, n_classes=3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": GOOD, "val": GOOD}, "arrays must hold train and validation; unknown val"),
        ({"train": GOOD}, "validation is missing"),
        ([GOOD], "a sequence of 2 to 3"),
        ((GOOD, None), "arrays must hold train and validation; validation is missing"),
        (REALS, "a sequence of 2 to 3; got ndarray"),
        (
            {"train": GOOD, "validation": (REALS[:, :2], CLASSES)},
            "validation: inputs must be of the kind and shape",
        ),
        (
            {"train": GOOD, "validation": (TOKENS, CLASSES)},
            "validation: inputs must be of the kind and shape",
        ),
    ],
)
def test_refused_splits(arrays: Any, message: str) -> None:
    with pytest.raises(S5Error, match=message):
        from_arrays(arrays)


def test_in_dim_and_regression_width() -> None:
    with pytest.raises(S5Error, match="in_dim=3 channels; got 2"):
        from_arrays({"train": GOOD, "validation": GOOD}, in_dim=3)
    wide, narrow = ((REALS, np.zeros((4, 3, k))) for k in (2, 1))
    with pytest.raises(S5Error, match=r"validation: targets must be \(N, L, K\) with .*K=2; got \(4, 3, 1\)"):
        from_arrays({"train": wide, "validation": narrow}, head="regression")


def test_channels_before_steps_are_noticed() -> None:
    wide = np.zeros((4, 2, 9)), CLASSES
    with pytest.raises(S5Error, match=r"in_dim=2 channels; got 9.*inputs\.transpose\(0, 2, 1\)"):
        from_arrays([wide, wide], in_dim=2)
    with pytest.warns(UserWarning, match=r"more channels \(9\) than steps \(2\)"):
        from_arrays([wide, wide])
    turned = wide[0].transpose(0, 2, 1), CLASSES
    assert from_arrays([turned, turned], in_dim=2).task.length == 9
    assert from_arrays([wide, wide], in_dim=9).task.length == 2  # said, so no warning


def test_measured_integers_are_not_silently_tokens() -> None:
    with pytest.raises(S5Error, match=r"are tokens, which must lie below in_dim=1; got 4.*\[\.\.\., None\]"):
        from_arrays([(TOKENS, CLASSES)] * 2, in_dim=1)
    assert from_arrays([(TOKENS[..., None], CLASSES)] * 2, in_dim=1).task.kind == "real"


def test_unequal_lengths_are_trained_on_with_masked_padding_alone() -> None:
    config = ModelConfig(in_dim=2, n_classes=3)
    arrays = [(REALS, CLASSES, [3, 2, 3, 3]), GOOD]
    with pytest.raises(S5Error, match=r"unequal lengths need padding=.masked.*ModelConfig"):
        for_model(arrays, config)
    assert for_model(arrays, replace(config, padding="masked")).train.lengths is not None
    assert for_model(arrays, config, training=False).train.lengths is not None
    assert for_model([(REALS, CLASSES, [3, 3, 3, 3]), GOOD], config).train.lengths is not None
