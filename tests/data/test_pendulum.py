"""The pendulum set: our generator against the authors' bytes, and what a reader refuses."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s5ref.data
from s5ref.data import pendulum, pendulum_generator
from s5ref.data.pendulum import FILE
from s5ref.data.pendulum_generator import frames, sequences, trajectories
from s5ref.errors import S5Error

pytest.importorskip("PIL", reason="Pillow draws the frames")
SIZES = (6, 4, 5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    s5ref.data.make("pendulum", folder, sizes=SIZES)
    return folder


def test_the_authors_first_64_sequences_come_out_byte_by_byte(real_data: Path) -> None:
    there = np.load(real_data / "pendulum_ref" / "pend_regression_first64_train.npz")
    targets, videos = sequences(np.random.RandomState(42), 2000)
    np.testing.assert_allclose(targets[:64], there["train_targets"], rtol=0, atol=1e-13)
    for video, theirs in zip(videos, there["train_obs"], strict=False):
        np.testing.assert_array_equal(video, theirs)


def test_few_sequences_have_these_bytes() -> None:
    targets, videos = sequences(np.random.RandomState(42), 3)
    digest = hashlib.sha256(b"".join(video.tobytes() for video in videos)).hexdigest()
    assert digest == "f97b6c3c0739be69b496245538897490e5364b7e33e322e834408c00417190fb"
    np.testing.assert_allclose(targets[:, -1, 0], [-0.15179381, -0.53875633, 0.41221342], atol=1e-8)


def test_without_friction_and_kicks_the_energy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum_generator, "FRICTION", 0.0)
    monkeypatch.setattr(pendulum_generator, "SPEED_NOISE", 0.0)
    angle, speed = trajectories(np.random.RandomState(0), 20).transpose(2, 0, 1)
    assert (np.abs(angle) <= np.pi).all()
    energy = speed**2 / 2 - 3 * 9.81 * np.cos(angle)  # of a rod: I = m l²/3
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), atol=0.02)
    assert np.abs(speed).max() > 5


def test_frames_are_drawn_once_for_each_place_of_the_tip() -> None:
    angles = np.linspace(-np.pi, np.pi, 1000)
    drawn = frames(angles)
    assert drawn.shape == (1000, 24, 24)
    assert len(np.unique(drawn.reshape(1000, -1), axis=0)) < 500
    down, right = frames(np.array([0.0, np.pi / 2]))
    assert down[14:22, 12].min() > 200  # from the middle to below
    assert right[12, 14:22].min() > 200
    assert down[:10].max() <= 1  # the filter of the scaling overshoots


def test_make_and_load(made: Path) -> None:
    dataset = s5ref.data.load("pendulum", made)
    assert {name: len(split) for name, split in dataset.splits().items()} == {
        "train": 6, "validation": 4, "test": 5,
    }  # fmt: skip
    assert dataset.source.startswith("unverified")
    batch = dataset.train.batch([0, 5])
    assert batch.inputs.shape == (2, 50, 576)
    assert batch.inputs.dtype == np.float32
    assert batch.inputs.max() <= 1
    assert batch.targets is not None
    assert batch.targets.shape == (2, 50, 2)
    intervals = dataset.train.intervals
    assert intervals is not None
    assert intervals.shape == (6, 50)
    # of 100 frames 50 are kept: the intervals end at most at frame 99
    kept = np.cumsum(intervals, axis=1)
    assert (np.diff(kept, axis=1) >= 1).all()
    assert (intervals[:, 0] == 1).all()
    assert (kept[:, -1] <= 100).all()


def test_what_is_kept_is_what_the_authors_keep(made: Path) -> None:
    """default_rng(number of training examples + i), …, and i in the test set."""
    dataset, whole = s5ref.data.load("pendulum", made), pendulum.read(made / "pendulum" / FILE)
    for name, split, first in (("train", "train", 6), ("validation", "valid", 4), ("test", "test", 0)):
        for i, there in enumerate(whole[split].frames):
            kept = np.sort(np.random.default_rng(first + i).choice(100, 50, replace=False))
            own = dataset.splits()[name]
            np.testing.assert_array_equal(own.inputs[i], there[kept].reshape(50, 576))
            np.testing.assert_array_equal(own.targets[i], whole[split].targets[i, kept])
            assert own.intervals is not None
            np.testing.assert_array_equal(own.intervals[i, 1:], np.diff(kept))


def test_made_again_it_is_kept_and_other_data_are_refused(made: Path) -> None:
    path = made / "pendulum" / FILE
    before = path.stat().st_mtime_ns
    s5ref.data.make("pendulum", made, sizes=SIZES)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(S5Error, match="already holds other sequences"):
        s5ref.data.make("pendulum", made, sizes=SIZES, seed=1)


def arrays(**changed: Any) -> dict[str, Any]:
    angle = np.linspace(0, 3, 200).reshape(2, 100)
    targets = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    whole: dict[str, Any] = {}
    for split in ("train", "test", "valid"):
        whole |= {f"{split}_obs": np.zeros((2, 100, 24, 24, 1), np.uint8), f"{split}_targets": targets}
    return {name: value for name, value in (whole | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"valid_obs": None}, "lacks valid_obs"),
        ({"train_obs": np.zeros((2, 100, 24, 24), np.uint8)}, "train_obs must be uint8"),
        ({"train_obs": np.zeros((2, 100, 24, 24, 1))}, "train_obs must be uint8"),
        ({"test_targets": np.zeros((3, 100, 2))}, "test_targets must be float64"),
        ({"test_targets": np.zeros((2, 100, 2))}, "sine and cosine"),
        ({"test_targets": np.full((2, 100, 2), np.nan)}, "sine and cosine"),
        ({"train_obs": np.zeros((0, 100, 24, 24, 1), np.uint8)}, "n ≥ 1"),
    ],
)
def test_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = tmp_path / FILE
    np.savez_compressed(path, **arrays(**changed))
    with pytest.raises(S5Error, match=words):
        pendulum.read(path)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays() | {"train_obs": np.array([print], object)}))
    (tmp_path / FILE).write_bytes(buffer.getvalue())
    with pytest.raises(S5Error, match="train_obs"):
        s5ref.data.load("pendulum", tmp_path)


def test_without_pillow_the_remedy_is_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> Any:
        raise S5Error(f"{module} is not installed.", f"s5ref[{extra}]")

    monkeypatch.setattr(pendulum_generator, "optional", missing)
    with pytest.raises(S5Error, match="PIL"):
        s5ref.data.make("pendulum", tmp_path)
