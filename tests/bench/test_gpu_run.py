"""All of a bench on the tests' device: what it consists of, keeps and refuses, what JAX is told."""

from __future__ import annotations

import subprocess
import sys
import types
from dataclasses import replace
from typing import Any

import bench_on_shim as on_shim
import pytest
from bench_on_shim import tiny
from cuda_shim import MARKS

from s5ref import S5Error
from s5ref.bench import peers
from s5ref.bench.gpu import run
from s5ref.bench.gpu.kernels import kernels
from s5ref.bench.gpu.rows import Roofline, StepRow
from s5ref.bench.gpu.run import Results, bench
from s5ref.bench.gpu.steps import STEPS
from s5ref.bench.peers import PEERS, on_gpu

pytestmark = MARKS


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' device, and the smallest of everything."""
    monkeypatch.setenv("PYTHONPATH", on_shim.TESTS)
    monkeypatch.setattr(run, "BUILDER", "bench_on_shim:build")
    monkeypatch.setattr(run, "device_name", lambda tf32: "a GPU")
    monkeypatch.setattr(run, "QUICK_COPIES", (4096, 65536))
    monkeypatch.setattr(run, "QUICK_SQUARE", 16)
    monkeypatch.setattr(run, "QUICK_REPEATS", 1)
    monkeypatch.setattr(run, "select", lambda case, quick: [tiny()])


@pytest.mark.usefixtures("shim")
def test_a_bench_from_end_to_end() -> None:
    kept: list[tuple[int, int]] = []
    said: list[str] = []
    found = bench(None, [], False, True, said.append, lambda f: kept.append((len(f.rows), len(f.kernels))))
    assert found.complete
    assert said == ["what the device can do", *(f"smnist {what}" for what in STEPS),
                    "smnist: its kernels, one by one"]  # fmt: skip
    assert found.machine["gpu"] == "a GPU"
    assert found.machine["precision"] == {"ours": "float32"}
    assert [row.what for row in found.rows] == ["train_step", "train_step, launched", "forward"]
    assert all(row.floor_s and row.percent_of_peak for row in found.rows)
    assert [row.kernel for row in found.kernels][: len(kernels())] == list(kernels())
    assert all(row.percent_of_copy for row in found.kernels)
    assert [rows for rows, _ in kept] == [1, 2, 3, 3]  # every row is kept as it comes
    assert kept[-1][1] == len(found.kernels) > len(kernels())


@pytest.mark.usefixtures("shim")
def test_what_fails_makes_a_bench_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "no room")
    found = bench(None, [], False, True, lambda words: None)
    assert not found.complete
    assert [row.what for row in found.rows if row.error] == ["forward"]
    assert [row.kernel for row in found.kernels if row.error] == ["gate"]
    assert found.roofline.copy_bytes_per_s is not None


def a_gpu(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    module: Any = types.ModuleType("s5ref.gpu.cupy_device")
    module.Cupy = made
    monkeypatch.setitem(sys.modules, "s5ref.gpu.cupy_device", module)


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tf32: bool) -> None:
        raise S5Error("No driver.", "Install one.")

    a_gpu(monkeypatch, refuse)
    monkeypatch.setattr(run, "measure_roofline", None)
    with pytest.raises(S5Error, match="No driver"):
        bench()


@pytest.mark.parametrize("tf32", [False, True])
def test_the_mode_reaches_the_device(tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, lambda tf32: types.SimpleNamespace(name=f"GPU, {tf32}"))
    facts = run.describe([PEERS["jax"]], tf32, True)
    assert facts["gpu"] == f"GPU, {tf32}"
    assert facts["engine"] == ("cuda-tf32" if tf32 else "cuda")
    assert facts["precision"] == (
        {"ours": "tf32", "jax": "tensorfloat32"} if tf32 else {"ours": "float32", "jax": "highest"}
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("growth",), "Unknown case 'growth'"),
        (("smnits",), "Unknown case 'smnits'"),
        ((None, ["jaxx"]), "Unknown peer"),
    ],
)
def test_refused_before_the_gpu_is_asked(arguments: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "describe", None)
    with pytest.raises(S5Error, match=words):
        bench(*arguments)


def test_a_peer_of_the_cpu_alone_is_refused() -> None:
    with pytest.raises(S5Error, match="s5-pytorch is measured on the CPU only") as caught:
        on_gpu(PEERS["s5-pytorch"], False)
    assert caught.value.remedy == "Known on a GPU: jax, jax-scan."


def test_a_peer_that_finds_no_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LOOK", "raise RuntimeError('Unable to initialize backend cuda')")
    with pytest.raises(S5Error, match="jax finds no GPU: RuntimeError: Unable to initialize") as caught:
        on_gpu(PEERS["jax"], False)
    assert "jax[cuda13]" in caught.value.remedy


@pytest.mark.parametrize(("tf32", "precision"), [(False, "highest"), (True, "tensorfloat32")])
def test_what_jax_is_told(tf32: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LOOK", "")
    told = on_gpu(PEERS["jax"], tf32).environment
    assert told["JAX_PLATFORMS"] == "cuda"
    assert told["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert told["JAX_DEFAULT_MATMUL_PRECISION"] == precision
    assert PEERS["jax"].environment["JAX_PLATFORMS"] == "cpu"  # and the CPU's stays


@pytest.mark.jax
@pytest.mark.parametrize("precision", ["highest", "tensorfloat32"])
def test_jax_knows_what_it_is_told(precision: str) -> None:
    words = "import jax; print(jax.config.jax_default_matmul_precision)"
    environment = PEERS["jax"].environment | {"JAX_DEFAULT_MATMUL_PRECISION": precision}
    command = [sys.executable, "-c", words]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == precision


def test_complete() -> None:
    row = StepRow("smnist", "forward", 1, 1)
    assert Results({}, Roofline(1.0, 1.0, []), [row]).complete
    assert not Results({}, Roofline(1.0, 1.0, []), [replace(row, error="gone")]).complete
