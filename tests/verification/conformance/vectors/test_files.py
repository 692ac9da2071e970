"""The stored vectors: linted, guarded byte by byte, the same from the same source, and readable elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from s5ref.cli.output import Output
from s5ref.cli.vectors import parser, run
from s5ref.errors import S5Error
from s5ref.verification.conformance.stages import cases
from s5ref.verification.conformance.vectors import Vector, exchange, lint, load
from s5ref.verification.conformance.vectors.store import FOLDER, manifest, written


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in [FOLDER / "manifest.json", *FOLDER.glob("*.npz")]:
        shutil.copy(path, tmp_path)
    return tmp_path


def equal(one: Vector, other: Vector) -> bool:
    return one.facts == other.facts and all(
        x.dtype == other.arrays[name].dtype and x.shape == other.arrays[name].shape
        and x.tobytes() == other.arrays[name].tobytes()
        for name, x in one.arrays.items()
    )  # fmt: skip


def test_lint_finds_nothing() -> None:
    assert list(lint.problems()) == []


def test_the_set_is_small() -> None:
    assert sum(p.stat().st_size for p in [FOLDER / "manifest.json", *FOLDER.glob("*.npz")]) < 10_000_000


def test_the_vectors_are_the_cases() -> None:
    assert [v.id for v in load()] == [case.id for case in cases()]


@pytest.mark.parametrize(
    "subset", ["discretize/zoh/P4", "scan/reverse/L9", "step/one SSM", "layer/half_glu2"]
)
def test_regenerating_gives_the_same_bytes(subset: str) -> None:
    pytest.importorskip("flint")
    from s5ref.verification.conformance.vectors.generate import generated

    stored = [v for v in load() if v.id.startswith(subset)]
    chosen = [case for case in cases() if case.id.startswith(subset)]
    assert written(generated(chosen)) == written(stored)


def test_regenerating_everything_gives_the_same_files() -> None:
    pytest.importorskip("flint")
    from s5ref.verification.conformance.vectors.generate import generated

    for name, data in written(generated()).items():
        assert data == (FOLDER / name).read_bytes(), name


def test_writing_what_was_read_gives_the_same_files() -> None:
    for name, data in written(load()).items():
        assert data == (FOLDER / name).read_bytes(), name


@pytest.mark.parametrize("name", ["scan.npz", "init.npz", "manifest.json"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 1.0])
def test_one_altered_byte_is_refused_by_name(copy: Path, name: str, place: float) -> None:
    data = bytearray((copy / name).read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(S5Error, match=name):
        load(folder=copy)


def test_the_damaged_array_is_named(copy: Path) -> None:
    data = bytearray((copy / "scan.npz").read_bytes())
    at = data.index(b"scan/reverse/L9/P3/f32/want/dLambda_bar.npy") + 180
    data[at] ^= 1
    (copy / "scan.npz").write_bytes(data)
    with pytest.raises(S5Error, match="scan/reverse/L9/P3/f32/want/dLambda_bar"):
        load("scan/*", copy)


def test_a_missing_file_and_another_version_are_refused(copy: Path) -> None:
    (copy / "ssm.npz").unlink()
    with pytest.raises(S5Error, match=r"ssm\.npz"):
        load("ssm", copy)
    assert load("scan", copy)


def test_a_pattern_chooses_and_one_that_matches_nothing_is_an_error() -> None:
    assert {v.case.stage for v in load("scan/reverse")} == {"scan"}
    assert [v.id for v in load("scan/reverse/L9/P3/f32")] == ["scan/reverse/L9/P3/f32"]
    assert {v.case.dtype for v in load("*/f64")} == {"float64"}
    with pytest.raises(S5Error, match="no id matches"):
        load("scan/sideways")


def test_midpoints_hold_for_both_precisions() -> None:
    """Both precisions of a case have the same inputs, hence the same exact answers."""
    found = {v.id: v for v in load()}
    for id_, v in found.items():
        other = found[id_[:-4] + ("/f64" if id_.endswith("/f32") else "/f32")]
        assert all(np.array_equal(x, other.want[name]) for name, x in v.want.items())


def test_the_json_form_comes_back_as_it_was(tmp_path: Path) -> None:
    files = exchange.write(tmp_path, load())
    back: dict[str, Vector] = {}
    for name in files:
        found = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        assert list(lint.violations(found, "exchange")) == []
        back |= {v.id: v for v in exchange.parsed(found)}
    for v in load():
        assert equal(v, back[v.id]), v.id


def test_schemas_refuse_what_does_not_fit() -> None:
    found = manifest()
    found["vectors"] = [found["vectors"][0] | {"level": "perhaps", "more": 1, "catches": ["M5"]}]
    wrong = " ".join(lint.violations(found, "manifest"))
    assert all(word in wrong for word in ("level", "more", "catches"))


def test_the_command_lists_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser().parse(["--only", "scan/reverse"]), Output(False)) == 0
    assert "scan/reverse/L9/P3/f32" in capsys.readouterr().out
    assert run(parser().parse(["--only", "step/*", "--json", str(tmp_path / "new")]), Output(True)) == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["step.json"]
