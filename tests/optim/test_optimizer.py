"""The optimiser as a user takes it: eight lines, the bits of the trainer, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref import ConfigError, DataError, NumericalError, ShapeError
from s5ref.data import digits
from s5ref.data.batches import order
from s5ref.optim import AdamW, OptimConfig
from s5ref.train import checkpoint, runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.tree import subtree

LEAVES = {name: np.ones(2) for name in ("layers_0.seq.B", "decoder.kernel")} | {
    f"layers_0.seq.{name}": np.ones(3) for name in ("Lambda_re", "Lambda_im", "log_step")
}


@pytest.mark.parametrize("name", ["upstream", "warmup_cosine", "constant"])
def test_a_loop_of_ones_own_gives_the_bits_of_the_trainer(name: str, tmp_path: Path) -> None:
    dataset = digits.load()
    model = s5ref.Model(s5ref.ModelConfig(n_layers=1, d_model=6, ssm_size=4, dropout=0.2))
    optim = OptimConfig(schedule=name, lr=0.01, ssm_lr=0.005)
    config = RunConfig("digits", model.config, optim).override(["train.batch=300", "train.epochs=3"])
    fit(config, dataset, tmp_path, engine=s5ref.NUMPY, seed=7)
    arrays, _ = checkpoint.load(runs.checkpoint_path(tmp_path, "last"))

    spe = len(dataset.train) // 300
    optimizer = AdamW(lr=0.01, ssm_lr=0.005, schedule=name, warmup_steps=spe, total_steps=3 * spe)
    assert optimizer == optim.optimizer(spe, 3)
    params, statistics = model.init(7, "float32")
    state = optimizer.init(params)
    for k in range(3 * spe):
        rows = order(7, k // spe, len(dataset.train))[k % spe * 300 :][:300]
        batch = dataset.train.batch(rows)
        result = model.loss_and_grad(params, statistics, batch, engine="numpy", training=True, key=(7, k))
        params, state = optimizer.update(result.grads, state, params)
        statistics = result.statistics
    assert state.updates == 3 * spe
    first, second = state.moments
    for tree, prefix in ((params, "params"), (statistics, "statistics"), (first, "m"), (second, "v")):
        stored = subtree(arrays, prefix)
        assert {name: x.tobytes() for name, x in tree.items()} == {n: x.tobytes() for n, x in stored.items()}


def test_it_is_pure_and_starts_constant() -> None:
    optimizer = AdamW()
    assert optimizer.rates(0) == optimizer.rates(10**6) == {"lr": 4e-3, "ssm_lr": 1e-3}
    state = optimizer.init(LEAVES)
    before = {name: x.copy() for name, x in LEAVES.items()}
    params, after = optimizer.update(LEAVES, state, LEAVES)
    assert (state.updates, after.updates) == (0, 1)
    assert not any(x.any() for x in state.moments.first.values())
    for name, x in before.items():
        np.testing.assert_array_equal(LEAVES[name], x)
        assert params[name].dtype == x.dtype
        assert (params[name] < x).all()


REFUSED: dict[str, tuple[Callable[[], Any], type[s5ref.S5Error], list[str]]] = {
    "a rate of 0": (lambda: AdamW(lr=0.0), ConfigError, ["optim.lr", "> 0"]),
    "true as a rate": (lambda: AdamW(ssm_lr=True), ConfigError, ["optim.ssm_lr", "a number"]),
    "a misspelt schedule": (lambda: AdamW(schedule="constantly"), ConfigError, ["Did you mean constant?"]),
    "a schedule without end": (lambda: AdamW(schedule="upstream"), ConfigError, ["optim.total_steps", "≥ 1"]),
    "a negative warm-up": (lambda: AdamW(warmup_steps=-1), ConfigError, ["optim.warmup_steps"]),
    "no parameters of a model": (lambda: AdamW().init({"a": np.ones(2)}), ConfigError, ["matches none of a"]),
    "a gradient too few": (lambda: _update({"decoder.kernel": None}), DataError, ["grads", "decoder.kernel"]),
    "a NaN": (lambda: _update({"decoder.kernel": np.full(2, np.nan)}), NumericalError, ["decoder.kernel"]),
    "another shape": (lambda: _update({"decoder.kernel": np.ones(1)}), ShapeError, ["(2,)", "(1,)"]),
    "a state of other leaves": (
        lambda: AdamW().update(LEAVES, AdamW().init(LEAVES | {"more": np.ones(1)}), LEAVES),
        DataError,
        ["state", "more"],
    ),
}  # fmt: skip


def _update(changed: dict[str, Any]) -> Any:
    grads = {name: x for name, x in {**LEAVES, **changed}.items() if x is not None}
    return AdamW().update(grads, AdamW().init(LEAVES), LEAVES)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    act, kind, words = REFUSED[case]
    with pytest.raises(kind) as refused:
        act()
    assert [word for word in words if word not in str(refused.value)] == [], str(refused.value)
    assert refused.value.remedy.endswith((".", "?"))
