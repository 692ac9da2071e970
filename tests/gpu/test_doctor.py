"""Checks of a machine, each fault alone: what is found, the remedy; the driver by a stand-in of libcuda."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cuda_shim.libraries import compiled

from s5ref import S5Error
from s5ref.gpu import cupy_device, doctor, driver, libraries, machine
from s5ref.gpu.driver import Driver, Gpu
from s5ref.gpu.machine import Machine

H100 = Gpu("NVIDIA H100 80GB HBM3", 80 << 30, "9.0")
FAULTS: list[tuple[str, dict[str, Any], str, str]] = [  # check, facts, what is found, remedy
    ("NVIDIA driver", {"driver": None}, "none found", "Install NVIDIA's driver: 580 or newer"),
    ("NVIDIA driver", {"driver": Driver("580.65", 0, (), "libcuda.so.1 does not load")},
     "580.65; libcuda.so.1 does not load", "Reinstall the driver"),
    ("GPUs", {"driver": Driver("580.65", 13000, (), "cuInit: CUDA_ERROR_NO_DEVICE")},
     "none (cuInit: CUDA_ERROR_NO_DEVICE)", "CUDA_VISIBLE_DEVICES"),
    ("CuPy", {"cupy": "", "wheels": {}, "cuda": 0}, "not installed", 'pip install "s5ref[cuda13]"'),
    ("CuPy", {"cupy": "", "wheels": {}, "cuda": 0, "driver": Driver("550.54", 12040, (H100,))},
     "not installed", 'pip install "s5ref[cuda12]" (drivers from 525 on), or "s5ref[cuda13]" (580)'),
    ("CuPy", {"cupy": "", "cupy_error": "ImportError: no"}, "does not import: ImportError: no",
     'pip uninstall -y cupy-cuda13x && pip install "s5ref[cuda13]"'),
    ("CuPy", {"cupy": ""}, "cupy-cuda13x 14.2.0, without its files", "Install it again"),
    ("CuPy", {"cupy": "13.6.0", "wheels": {"cupy-cuda12x": "13.6.0"}, "cuda": 12080},
     "must be 14.2 or newer, before 15", 'pip install "s5ref[cuda12]" --upgrade'),
    ("CuPy", {"cupy": "15.0.0a1"}, "must be 14.2 or newer", "--upgrade"),
    ("one CuPy", {"wheels": {"cupy": "14.2.0", "cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}},
     "cupy, cupy-cuda12x, cupy-cuda13x write the same files",
     'pip uninstall -y cupy cupy-cuda12x cupy-cuda13x && pip install "s5ref[cuda13]"'),
    ("CUDA versions", {"driver": Driver("550.54", 12040, (H100,))}, "the driver runs no more than 12",
     'Update the driver to 580 or newer, or: pip uninstall -y cupy-cuda13x && pip install "s5ref[cuda12]"'),
    ("CUDA versions", {"driver": Driver("470.82", 11040, (H100,))}, "no more than 11", "to 580 or newer."),
    ("NVRTC", {"nvrtc": None}, "libnvrtc.so.13 not found", 'pip install "s5ref[cuda13]"'),
    ("NVRTC", {"nvrtc": None, "cuda": 12080}, "libnvrtc.so.12 not found", 'pip install "s5ref[cuda12]"'),
    ("cuBLASLt", {"cublaslt": None}, "libcublasLt.so.13 not found", 'pip install "s5ref[cuda13]"'),
]  # fmt: skip


def test_nothing_is_wrong_with_a_good_machine(good: Machine) -> None:
    found = doctor.checks(good)
    assert [check.name for check in found if not check.ok] == []
    assert [check.remedy for check in found if check.remedy] == []
    doctor.refuse(good)


@pytest.mark.parametrize(("name", "facts", "words", "remedy"), FAULTS)
def test_a_fault_is_named_with_its_remedy(
    good: Machine, monkeypatch: pytest.MonkeyPatch, name: str, facts: dict[str, Any], words: str, remedy: str
) -> None:
    faulty = dataclasses.replace(good, **facts)
    check = next(check for check in doctor.checks(faulty) if check.name == name)
    assert (check.ok, check.needed) == (False, True)
    assert words in check.found
    assert remedy in check.remedy
    monkeypatch.setattr(cupy_device, "survey", lambda: faulty)
    with pytest.raises(S5Error, match=r"^The GPU cannot be used: ") as caught:
        cupy_device.Cupy()
    assert caught.value.remedy


def test_a_newer_driver_and_no_nccl_are_no_fault(good: Machine) -> None:
    newer = Driver("600.1", 14000, good.driver.gpus)
    doctor.refuse(dataclasses.replace(good, driver=newer, nccl=""))


def test_the_engine_is_the_last_check() -> None:
    found = doctor.engine(Machine(), cupy_device.Cupy)
    assert (found.ok, found.found) == (False, "needs NVIDIA driver, GPUs, CuPy, NVRTC, cuBLASLt")


@pytest.mark.cxx
def test_the_engine_is_tried(good: Machine, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import fake_cupy

    class Prompt(cupy_device.Cupy):  # type: ignore[misc]
        def gemm(self, *arguments: Any) -> None:  # the stand-in of cuBLASLt does not wait for the stream
            fake_cupy.Stream.current.synchronize()
            super().gemm(*arguments)

    assert doctor.engine(good, Prompt) == doctor.Check(
        "engine cuda", True, "usable: a product of two matrices came back right"
    )
    monkeypatch.setattr(Prompt, "gemm", lambda *_: None)
    wrong = doctor.engine(good, Prompt)
    assert not wrong.ok
    assert "a @ a.T must be [[5.0, 14.0], [14.0, 50.0]]; got" in wrong.found
    monkeypatch.setattr(Prompt, "gemm", lambda *_: 1 / 0)
    assert doctor.engine(good, Prompt).found == "ZeroDivisionError: division by zero"


@pytest.mark.cxx
def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "version"
    module.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC 12.2"
    )
    monkeypatch.setattr(driver, "KERNEL_MODULE", module)
    monkeypatch.setattr(driver, "LIBRARY", str(compiled("libcuda")))
    gpus = (Gpu("GPU zero", 64 << 30, "9.0"), Gpu("GPU one", 128 << 30, "9.1"))
    assert driver.driver() == Driver("580.65.06", 13000, gpus)
    monkeypatch.setattr(driver, "LIBRARY", str(compiled("libcuda", "-DNO_DEVICE")))
    assert driver.driver() == Driver("580.65.06", 13000, (), "cuInit: CUDA_ERROR_NO_DEVICE")


def test_no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(driver, "KERNEL_MODULE", tmp_path / "version")
    monkeypatch.setattr(driver, "LIBRARY", str(tmp_path / "libcuda.so.1"))
    assert driver.driver() is None
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue")
    half = driver.driver()
    assert half is not None
    assert (half.version, half.cuda) == ("550.54.15", 0)
    assert "does not load" in half.problem


def test_every_wheel_of_cupy_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CuPy", "cupy_cuda12x", "cupy-cuda13x", "cupyx-other", "numpy"]
    installed = [SimpleNamespace(metadata={"Name": name}, version="1") for name in names]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    assert machine.cupy_wheels() == {"cupy": "1", "cupy-cuda12x": "1", "cupy-cuda13x": "1"}


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (None, ("", "", 0)),
        (SimpleNamespace(__version__="14.2.0"), ("", "AttributeError", 0)),
        (SimpleNamespace(__version__="14.2.0", cuda=SimpleNamespace(runtime=SimpleNamespace(
            runtimeGetVersion=lambda: 12090))), ("14.2.0", "", 12090)),
    ],
)  # fmt: skip
def test_cupy_as_it_imports(
    monkeypatch: pytest.MonkeyPatch, module: Any, found: tuple[str, str, int]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(machine, "driver", lambda: None)
    here = machine.survey()
    assert (here.cupy, here.cupy_error.partition(":")[0], here.cuda) == found
    assert here.major == (12 if found[2] else 13)


@pytest.mark.cxx
def test_a_library_is_found_in_a_wheel_before_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    (folder / "libS5alone.so.13").write_bytes(compiled("cublaslt").read_bytes())
    assert libraries.load("S5alone", 13) is None
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda _: SimpleNamespace(
        submodule_search_locations=[str(tmp_path / "nvidia")]))  # fmt: skip
    assert libraries.load("S5alone", 12) is None
    found = libraries.load("S5alone", 13)
    assert found is not None
    assert found.path == str(folder / "libS5alone.so.13")
    assert libraries.cublaslt_version(found.handle) == "13.0.2"


@pytest.mark.cxx
def test_a_library_of_a_toolkit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libS5toolkit.so.12").write_bytes(compiled("cublaslt").read_bytes())
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    found = libraries.load("S5toolkit", 12)
    assert found is not None
    assert found.path == str(tmp_path / "lib64" / "libS5toolkit.so.12")
