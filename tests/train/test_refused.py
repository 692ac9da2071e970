"""What is not finite is named; what is wrong with a run is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s5ref import NUMPY, SEQUENTIAL, Engine, Pair, S5Error
from s5ref.data.batches import Dataset
from s5ref.model.block import block, composed
from s5ref.train import checkpoint, metrics, runs
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit
from s5ref.train.results import NonFinite

Same = Callable[[Path, Path], None]


def _poisoned(leaf: str, at: int) -> Engine:
    """An engine whose gradient of the classifier's kernel or bias turns NaN in call number ``at``."""
    calls = [0]

    def vjp(residuals: object, dy: object) -> object:
        dx, dw, db = SEQUENTIAL.linear.vjp(residuals, dy)
        calls[0] += dw.shape == (6, 10)
        if calls[0] == at and dw.shape == (6, 10):
            dw, db = (dw * np.nan, db) if leaf == "kernel" else (dw, db * np.nan)
        return dx, dw, db

    return replace(NUMPY, linear=Pair(NUMPY.linear.value, vjp))


@pytest.mark.parametrize("leaf", ["kernel", "bias"])
def test_a_gradient_that_is_not_finite(leaf: str, config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=3)
    before = runs.checkpoint_path(tmp_path, "last").read_bytes()
    with pytest.raises(NonFinite, match=f"Step 5: the gradient .*decoder.{leaf}.*group regular") as caught:
        fit(config, digits, tmp_path, engine=_poisoned(leaf, 2), resume=True)
    assert (caught.value.step, caught.value.leaf) == (5, f"decoder.{leaf}")
    assert runs.checkpoint_path(tmp_path, "last").read_bytes() == before
    fit(config, digits, tmp_path, engine=NUMPY, resume=True)
    assert [line["step"] for line in metrics.read(tmp_path) if "step" in line] == list(range(1, 16))


def test_a_loss_that_is_not_finite(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    config = config.override(["optim.lr=1e30", "optim.ssm_lr=1e30"])
    with pytest.raises(NonFinite, match=r"Step \d.*layers_0.seq.*group ssm") as caught:
        fit(config, digits, tmp_path, engine=NUMPY)
    assert caught.value.step >= 2
    assert caught.value.layer == "layers_0"


@pytest.mark.parametrize("layer", ["layers_0", "layers_1"])
def test_a_forward_pass_that_is_not_finite_names_the_layer(
    layer: str, config: RunConfig, digits: Dataset, tmp_path: Path
) -> None:
    calls = [-1]

    def value(*args: object) -> object:
        calls[0] += 1
        here = layer == f"layers_{calls[0] % 2}"
        out, residuals = block(*args)  # type: ignore[arg-type]
        return (out._replace(y=out.y * np.inf) if here else out), residuals

    engine = replace(NUMPY, layer=lambda *args: replace(composed(*args), value=value))
    with pytest.raises(NonFinite, match="Step 1: ") as caught:
        fit(config, digits, tmp_path, engine=engine)
    assert caught.value.layer == layer


def test_bad_data_is_not_called_a_divergence(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    inputs = digits.train.inputs.astype(np.float32)
    inputs[5, 3] = np.nan
    broken = replace(digits, train=replace(digits.train, inputs=inputs))
    with pytest.raises(S5Error, match="inputs") as caught:
        fit(config, broken, tmp_path, engine=NUMPY)
    assert not isinstance(caught.value, NonFinite)


def test_refusals(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(S5Error, match=r"train\.batch=1000"):
        fit(config.override(["train.batch=1000"]), digits, tmp_path, engine=NUMPY)
    with pytest.raises(S5Error, match="stop_after"):
        fit(config, digits, tmp_path, engine=NUMPY, stop_after=0)
    with pytest.raises(S5Error, match="not a run folder"):
        fit(config, digits, tmp_path / "new", engine=NUMPY, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(S5Error, match="must be a folder"):
        fit(config, digits, tmp_path / "file", engine=NUMPY)
    run = tmp_path / "run"
    fit(config, digits, run, engine=NUMPY, stop_after=1)
    with pytest.raises(S5Error, match="already holds a checkpoint"):
        fit(config, digits, run, engine=NUMPY)
    with pytest.raises(S5Error, match=r"train\.epochs, .*differs|optim\.lr.*differs"):
        fit(config.override(["optim.lr=0.5", "train.epochs=9"]), digits, run, engine=NUMPY, resume=True)
    with pytest.raises(S5Error, match="seed"):
        fit(config, digits, run, engine=NUMPY, seed=5, resume=True)
    with pytest.raises(S5Error, match="data"):
        fit(config, replace(digits, source="partial"), run, engine=NUMPY, resume=True)
    with pytest.raises(S5Error, match="best or last"):
        runs.load(run, "first")


def test_a_damaged_checkpoint_is_refused_by_name(config: RunConfig, digits: Dataset, tmp_path: Path) -> None:
    fit(config, digits, tmp_path, engine=NUMPY, stop_after=5)
    for which in runs.CHECKPOINTS:
        path = runs.checkpoint_path(tmp_path, which)
        arrays, _ = checkpoint.load(path)
        data = path.read_bytes()
        at = data.index(arrays["params.encoder.kernel"].tobytes())
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(S5Error, match=rf"{which}.state\.npz.*params\.encoder\.kernel"):
            runs.load(tmp_path, which)
    with pytest.raises(S5Error, match=r"last.state\.npz"):
        fit(config, digits, tmp_path, engine=NUMPY, resume=True)
