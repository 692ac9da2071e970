"""What this machine has for a GPU: facts, without a judgement (`s5ref.gpu.doctor` judges)."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.metadata
import re
import shutil
import warnings
from dataclasses import dataclass, field
from typing import Any

from s5ref.gpu.driver import Driver, driver
from s5ref.gpu.libraries import cublaslt_version, load, nvrtc_version
from s5ref.machine import version


@dataclass(frozen=True)
class Found:
    """A library that loads: its file and its version."""

    path: str
    version: str


@dataclass(frozen=True)
class Machine:
    """The facts."""

    driver: Driver | None = None
    wheels: dict[str, str] = field(default_factory=dict)  # distributions of CuPy, with their versions
    cupy: str = ""  # the version that `import cupy` gives
    cupy_error: str = ""  # or why it does not
    cuda: int = 0  # the CUDA that CuPy was built for: 13020 is 13.2; 0 without CuPy
    nvrtc: Found | None = None
    cublaslt: Found | None = None
    nccl: str = ""
    nvcc: str = ""

    @property
    def major(self) -> int:
        """CUDA's major version here: CuPy's, else the newest that the driver runs and CuPy is made for."""
        of_driver = self.driver.cuda // 1000 if self.driver else 0
        return self.cuda // 1000 or (12 if of_driver == 12 else 13)


def survey() -> Machine:
    """The facts of this machine. CuPy is imported, and NVRTC and cuBLASLt loaded, where they are."""
    found, wheels = driver(), cupy_wheels()
    cupy, problem, cuda = _cupy()
    major = Machine(driver=found, cuda=cuda).major
    nvrtc, cublaslt = load("nvrtc", major), load("cublasLt", major)
    return Machine(
        driver=found, wheels=wheels, cupy=cupy, cupy_error=problem, cuda=cuda,
        nvrtc=Found(nvrtc.path, nvrtc_version(nvrtc.handle)) if nvrtc else None,
        cublaslt=Found(cublaslt.path, cublaslt_version(cublaslt.handle)) if cublaslt else None,
        nccl=_nccl(major), nvcc=shutil.which("nvcc") or "",
    )  # fmt: skip


def cupy_wheels() -> dict[str, str]:
    """Every installed distribution that brings the module cupy."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower()
        if name == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm")):
            found[name] = distribution.version
    return dict(sorted(found.items()))


def _cupy() -> tuple[str, str, int]:
    """(version, why it does not import, the CUDA it was built for). A broken CuPy fails in every way."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of duplicates, which the doctor tells in its own words
            cupy: Any = importlib.import_module("cupy")
        return str(cupy.__version__), "", int(cupy.cuda.runtime.runtimeGetVersion())
    except ModuleNotFoundError as error:
        return "", "" if error.name == "cupy" else str(error), 0
    except Exception as error:
        return "", f"{type(error).__name__}: {error}", 0


def _nccl(major: int) -> str:
    """NCCL's wheel, or the system's library, by name; it is not loaded."""
    name = f"nvidia-nccl-cu{major}"
    wheel = version(name)
    return f"{name} {wheel}" if wheel else ctypes.util.find_library("nccl") or ""
