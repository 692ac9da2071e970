"""``s5ref bench cpu``: its one JSON object, its tables, its files, its refusals, its exit code."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s5ref.bench import growth, options, run
from s5ref.bench.growth import Growth, Point
from s5ref.bench.measure import Row
from s5ref.cli.units import duration

Cli = Callable[..., Any]
MACHINE = {"cpu": "a CPU", "cores": 2, "threads": 2}
SLOWER = Row(
    "smnist", "train_step", 50, 784, ours_s=0.5, ours_bytes=2**30, peer="jax", peer_s=1.0, ratio=2.0,
    gflops=60.0, peak_gflops=200.0, percent_of_peak=30.0, repeats=5,
)  # fmt: skip
GROWN = Growth(
    "L", {"B": 1}, [Point(1024, 0.5, 2**20, 3, None), Point(2048, 1.0, 2**21, 3, None)], 1024, 1.0, 1.0
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> run.Results:
    value = run.Results(MACHINE, 200.0, [SLOWER], [GROWN])
    monkeypatch.setattr(run, "bench", lambda *_: value)
    return value


def test_one_json_object(cli: Cli) -> None:
    ran = cli("bench", "cpu", "--case", "digits", "--quick", "--json")
    assert ran.code == 0, ran.err
    document = ran.json
    assert set(document) == {"machine", "peak_gflops", "rows", "growth"}
    assert {"cpu", "cores", "versions", "threads", "blas", "load_1min"} <= set(document["machine"])
    assert document["growth"] == []
    assert [(row["case"], row["what"]) for row in document["rows"]] == [
        ("digits", "train_step"),
        ("digits", "forward"),
    ]
    for row in document["rows"]:
        assert set(row) == set(Row.__dataclass_fields__)
        assert row["ours_s"] > 0
        assert row["ours_min_s"] <= row["ours_s"]
        assert row["ours_bytes"] > 2**20
        assert 0 < row["percent_of_peak"] < 100
        assert row["peak_gflops"] == document["peak_gflops"]
        assert [row[key] for key in ("peer", "peer_s", "ratio", "peer_bytes", "error")] == [None] * 5


def test_the_table(cli: Cli, found: run.Results) -> None:
    ran = cli("bench", "cpu", "--peers", "jax")
    assert ran.code == 0
    for words in ("500 ms", "jax", "2.00", "1.0 GiB", "30 %", "peak: 200 GF/s", "∝ L^1.00"):
        assert words in ran.out
    assert ran.err == ""


def test_without_a_peer_the_table_has_none_of_its_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replace(SLOWER, peer=None, peer_s=None, ratio=None)
    monkeypatch.setattr(run, "bench", lambda *_: run.Results(MACHINE, 200.0, [alone], []))
    shown = cli("bench", "cpu").out
    assert all(title in shown for title in ("ours", "memory", "GF/s", "of peak"))
    assert not any(title in shown for title in ("peer", "its time", "ratio", "its memory"))


def test_what_is_missing_is_said_and_is_no_success(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("smnist", "forward", 50, 784, peer="jax", error="jax: the process ended with exit code 1")
    monkeypatch.setattr(run, "bench", lambda *_: run.Results(MACHINE, None, [row], []))
    ran = cli("bench", "cpu", "--json")
    assert ran.code == 1
    assert ran.json["rows"][0]["error"] == row.error
    assert "the process ended with exit code 1" in cli("bench", "cpu").out


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_files(cli: Cli, found: run.Results) -> None:
    ran = cli("bench", "cpu", "--out", "a/b")
    assert ran.code == 0
    assert {path.name for path in Path("a/b").iterdir()} == {"bench.json", "growth.png", "growth.svg"}
    assert json.loads(Path("a/b/bench.json").read_text(encoding="utf-8"))["rows"][0]["ratio"] == 2.0


def test_files_without_matplotlib(cli: Cli, found: run.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    ran = cli("bench", "cpu", "--out", "a")
    assert ran.code == 0
    assert [path.name for path in Path("a").iterdir()] == ["bench.json"]
    assert "s5ref[plot]" in ran.err


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("bench", "required: cpu", "bench --help"),
        ("bench tpu", "one of cpu, gpu", "bench --help"),
        ("bench cpu --tf32", "a mode of the GPU", "bench gpu"),
        ("bench options --peers jax", "beside the recipe", "Leave it out"),
        ("bench cpu --case smnits", "Unknown case 'smnits'", "Did you mean smnist?"),
        ("bench cpu --peers jaxx", "Unknown peer 'jaxx'", "Did you mean jax?"),
        ("bench cpu --quik", "Unknown option '--quik'", "Did you mean --quick?"),
    ],
)
def test_refused_before_anything_is_measured(
    cli: Cli, line: str, message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "measured", None)
    monkeypatch.setattr(run, "peak_gflops", None)
    monkeypatch.setattr(growth, "race", None)
    ran = cli(*line.split(), "--json")
    assert ran.code == 2
    assert message in ran.json["error"]["message"]
    assert remedy in ran.json["error"]["remedy"]


def test_options_beside_the_recipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    row = options.OptionRow("erf GELU", "forward", "fused", 0.5, 0.4, 1.25, 7)
    monkeypatch.setattr(options, "bench", lambda *_: options.Results(MACHINE, "smnist", 50, 784, [row]))
    shown = cli("bench", "options")
    assert shown.code == 0
    assert all(words in shown.out for words in ("erf GELU", "fused", "500 ms", "400 ms", "1.25"))
    assert cli("bench", "options", "--json").json["rows"][0]["ratio"] == 1.25


def test_durations() -> None:
    assert [duration(x) for x in (12.34, 0.0456, 0.00012, None)] == ["12.3 s", "45.6 ms", "120 µs", "–"]
