"""``s5ref bench gpu``: its one JSON object, its tables, its file, its refusals, its exit code."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s5ref import S5Error
from s5ref.bench.gpu import run
from s5ref.bench.gpu.rows import KernelRow, Roofline, StepRow
from s5ref.bench.gpu.run import Results

Cli = Callable[..., Any]
MACHINE = {"gpu": "a GPU", "precision": {"ours": "tf32", "jax": "tensorfloat32"}}
STEP = StepRow(
    "pathx", "train_step", 32, 16384, ours_s=0.08, ours_bytes=2**33, peer="jax", peer_s=0.4, ratio=5.0,
    peer_bytes=2**35, gflops=25e3, repeats=25, precision="tf32", floor_s=0.04, bytes_per_s=1.5e12,
    host_s=1e-5, note="jax timed alone; beside the other: no room",
)  # fmt: skip
KERNEL = KernelRow("pathx", "scan", 4e-4, 3.9e-4, 2**30, 2.7e12, 90.0, None, None, None, 7, None)
FOUND = Results(
    MACHINE, Roofline(3e12, 4e14, [replace(KERNEL, case=None, kernel="copy 1")]), [STEP], [KERNEL]
)


def given(monkeypatch: pytest.MonkeyPatch, found: Results) -> list[Any]:
    asked: list[Any] = []

    def bench(*arguments: Any) -> Results:
        asked[:] = arguments[:4]
        keep = arguments[5]
        keep(replace(found, kernels=[]))
        if Path("stop").exists():
            raise KeyboardInterrupt
        keep(found)
        return found

    monkeypatch.setattr(run, "bench", bench)
    return asked


def test_one_json_object(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = given(monkeypatch, FOUND)
    ran = cli("bench", "gpu", "--peers", "jax", "--case", "pathx", "--tf32", "--quick", "--json")
    assert ran.code == 0, ran.err
    assert asked == ["pathx", ["jax"], True, True]
    document = ran.json
    assert set(document) == {"machine", "roofline", "rows", "kernels"}
    assert set(document["roofline"]) == {"copy_bytes_per_s", "product_flops_per_s", "rows"}
    assert set(document["rows"][0]) == set(StepRow.__dataclass_fields__)
    assert {"floor_s", "bytes_per_s", "host_s", "ours_s", "peer_s", "ratio"} <= set(document["rows"][0])
    assert set(document["kernels"][0]) == set(KernelRow.__dataclass_fields__)
    assert document["rows"][0]["floor_s"] == 0.04


def test_the_tables(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, FOUND)
    ran = cli("bench", "gpu", "--peers", "jax")
    assert ran.code == 0
    for words in (
        "a GPU, products in tf32", "copy 3 TB/s, product 400 TF/s", "80 ms", "40 ms", "10 µs", "5.00",
        "8.0 GiB", "32.0 GiB", "1.5 T", "25 T", "timed alone", "scan", "400 µs", "90 %",
    ):  # fmt: skip
        assert words in ran.out, words


def test_what_is_missing_is_said_and_is_no_success(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (
        replace(FOUND, rows=[replace(STEP, error="ours: the process ended with exit code 1")]),
        replace(FOUND, kernels=[replace(KERNEL, error="the process ended with exit code 1")]),
        replace(
            FOUND,
            roofline=Roofline(None, None, [replace(KERNEL, error="the process ended with exit code 1")]),
        ),
    ):
        given(monkeypatch, found)
        ran = cli("bench", "gpu")
        assert ran.code == 1
        assert "the process ended with exit code 1" in ran.out


def test_the_file_is_there_from_the_first_row_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, FOUND)
    assert cli("bench", "gpu", "--out", "a/b").code == 0
    assert [path.name for path in Path("a/b").iterdir()] == ["bench.json"]
    assert json.loads(Path("a/b/bench.json").read_text(encoding="utf-8"))["kernels"][0]["kernel"] == "scan"
    Path("stop").touch()
    assert cli("bench", "gpu", "--out", "c").code == 130
    document = json.loads(Path("c/bench.json").read_text(encoding="utf-8"))
    assert (document["rows"][0]["ratio"], document["kernels"]) == (5.0, [])


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("bench gpu --case smnits", "Unknown case 'smnits'", "Did you mean smnist?"),
        ("bench gpu --case growth", "Unknown case 'growth'", "Known: digits"),
        ("bench gpu --peers jaxx", "Unknown peer 'jaxx'", "Did you mean jax?"),
        ("bench gpu", "No NVIDIA driver.", "Install one."),
    ],
)
def test_refused_before_anything_is_measured(
    cli: Cli, line: str, message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tf32: bool) -> None:
        raise S5Error("No NVIDIA driver.", "Install one.")

    module: Any = types.ModuleType("s5ref.gpu.cupy_device")
    module.Cupy = refuse
    monkeypatch.setitem(sys.modules, "s5ref.gpu.cupy_device", module)
    monkeypatch.setattr(run, "measure_roofline", None)
    monkeypatch.setattr(run, "step_row", None)
    ran = cli(*line.split(), "--json")
    assert ran.code == 2
    assert message in ran.json["error"]["message"]
    assert remedy in ran.json["error"]["remedy"]
