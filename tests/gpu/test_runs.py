"""Runs on a device: those of the host, resumed bit for bit, moved between the two, evaluated, predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from devices import kernels_on, on_devices

from s5ref import NUMPY, Model
from s5ref.data import load
from s5ref.data.batches import Dataset
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.estimate import estimate
from s5ref.train.evaluate import evaluate
from s5ref.train.loop import fit


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Three batches of 40, one of validation and one of test."""
    whole = load("digits")
    assert whole.test is not None
    few = [
        replace(split, inputs=split.inputs[:n, :24], targets=split.targets[:n])
        for split, n in ((whole.train, 130), (whole.validation, 40), (whole.test, 40))
    ]
    return replace(whole, train=few[0], validation=few[1], test=few[2])


@pytest.fixture(scope="module")
def config() -> RunConfig:
    settings = [
        "model.n_layers=1",
        "model.d_model=6",
        "model.ssm_size=8",
        "train.batch=40",
        "train.epochs=2",
    ]
    return RunConfig.recipe("digits").override([*settings, "model.blocks=2", "train.dtype=float64"])


@on_devices
def test_a_run_is_that_of_the_host_and_resumes_bit_for_bit(
    device: str, config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    engine = kernels_on(device)
    host = fit(config, digits, tmp_path / "host", engine=NUMPY)
    whole = fit(config, digits, tmp_path / "whole", engine=engine)
    fit(config, digits, tmp_path / "two", engine=engine, stop_after=3)
    resumed = fit(config, digits, tmp_path / "two", engine=engine, resume=True)
    assert (whole.steps, whole.test_accuracy) == (host.steps, host.test_accuracy)
    assert whole.test_loss == pytest.approx(host.test_loss, rel=1e-9)
    assert (resumed.test_loss, resumed.best_val_loss) == (whole.test_loss, whole.best_val_loss)
    with np.load(tmp_path / "two/last/state.npz") as two, np.load(tmp_path / "whole/last/state.npz") as one:
        for name in set(one.files) - {"manifest.json"}:
            np.testing.assert_array_equal(two[name], one[name], err_msg=name)


@pytest.mark.parametrize("device_first", [True, False])
@on_devices
def test_checkpoints_go_from_the_host_to_the_device_and_back(
    device: str, device_first: bool, config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    engines = [kernels_on(device), NUMPY] if device_first else [NUMPY, kernels_on(device)]
    fit(config, digits, tmp_path / "run", engine=engines[0], stop_after=3)
    moved = fit(config, digits, tmp_path / "run", engine=engines[1], resume=True)
    host = fit(config, digits, tmp_path / "host", engine=NUMPY)
    assert moved.test_loss == pytest.approx(host.test_loss, rel=1e-9)
    assert any("another engine" in warning for warning in moved.warnings)


@on_devices
def test_evaluation_on_the_device(device: str, config: RunConfig, digits: Dataset) -> None:
    model = Model(replace(config.model, dropout=0.0))
    params, statistics = model.init(0, "float64")
    here, away = (
        evaluate(model, params, statistics, digits.validation, k, 50) for k in (NUMPY, kernels_on(device))
    )
    assert (away.accuracy, away.examples) == (here.accuracy, here.examples)
    assert away.loss == pytest.approx(here.loss, rel=1e-12)


@on_devices
def test_the_estimate_of_a_dry_run(device: str, config: RunConfig) -> None:
    here, away = estimate(config, NUMPY), estimate(config, kernels_on(device))
    assert away.init_loss == pytest.approx(here.init_loss, rel=1e-12)
    assert away.activation_bytes > 0


@on_devices
def test_a_trained_model_predicts_on_the_device(
    device: str, config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=1)
    loaded = runs.load(tmp_path, "last")
    inputs = digits.validation.batch(range(7), "float64").inputs
    np.testing.assert_array_equal(loaded.predict(inputs, engine=kernels_on(device)), loaded.predict(inputs))
