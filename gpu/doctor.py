"""What a GPU needs, judged by the facts of a machine, for `s5ref doctor` and for the refusals of `Cupy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s5ref.errors import S5Error
from s5ref.gpu.device import Device
from s5ref.gpu.machine import Machine

CUPY = ((14, 2), (15, 0))  # the supported versions: at least, and below
OLDEST_DRIVER = {12: 525, 13: 580}  # CUDA's major version: the first driver branch that runs it


class Check(NamedTuple):
    """One check: what was found, in words, and the remedy if not ok. ``needed``: the engine needs it."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def checks(machine: Machine) -> list[Check]:
    """All checks, in the order in which to fix what they find."""
    return [check(machine) for check in CHECKS]


def refuse(machine: Machine) -> None:
    """Raises S5Error, with the remedy, for the first check that the engine needs and that is not ok."""
    for check in checks(machine):
        if check.needed and not check.ok:
            raise S5Error(f"The GPU cannot be used: {check.name}: {check.found}.", check.remedy)


def install(machine: Machine) -> str:
    """The command that installs CuPy with NVRTC and cuBLAS for this machine's CUDA."""
    return f'pip install "s5ref[cuda{machine.major}]"'


def _driver(machine: Machine) -> Check:
    name, found = "NVIDIA driver", machine.driver
    if found is None:
        remedy = (
            f"Install NVIDIA's driver: {OLDEST_DRIVER[13]} or newer for CUDA 13, {OLDEST_DRIVER[12]} or "
            "newer for CUDA 12. In a container, pass the GPU through (docker run --gpus all)."
        )
        return Check(name, False, "none found", remedy)
    version = found.version or "version unknown"
    if not found.cuda:
        return Check(name, False, f"{version}; {found.problem}", "Reinstall the driver, then restart.")
    return Check(name, True, f"{version}, runs CUDA up to {_dotted(found.cuda)}")


def _gpus(machine: Machine) -> Check:
    name, found = "GPUs", machine.driver
    if found and found.gpus:
        words = (
            f"{i}: {gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability {gpu.capability}"
            for i, gpu in enumerate(found.gpus)
        )
        return Check(name, True, "; ".join(words))
    if found is None:
        return Check(name, False, "none without a driver", "Install NVIDIA's driver.")
    return Check(
        name, False, f"none{f' ({found.problem})' if found.problem else ''}",
        "Run nvidia-smi: if it lists one, CUDA_VISIBLE_DEVICES hides it, or the driver was updated without a "
        "restart.",
    )  # fmt: skip


def _cupy(machine: Machine) -> Check:
    wheels = " ".join(f"{name} {version}" for name, version in machine.wheels.items())
    if machine.cupy_error:
        remedy = f"Uninstall and install again: {_again(machine)}"
        return Check("CuPy", False, f"{wheels or 'CuPy'} does not import: {machine.cupy_error}", remedy)
    if not machine.cupy:
        if wheels:
            return Check(
                "CuPy", False, f"{wheels}, without its files", f"Install it again: {_again(machine)}"
            )
        other = 25 - machine.major
        return Check(
            "CuPy", False, "not installed",
            f'{install(machine)} (drivers from {OLDEST_DRIVER[machine.major]} on), or "s5ref[cuda{other}]" '
            f"({OLDEST_DRIVER[other]}).",
        )  # fmt: skip
    found = f"{wheels or machine.cupy}, for CUDA {_dotted(machine.cuda)}"
    low, high = CUPY
    parts = tuple(int(part) for part in machine.cupy.split(".")[:2] if part.isdigit())
    if not low <= parts < high:
        wanted = f"{low[0]}.{low[1]} or newer, before {high[0]}"
        return Check("CuPy", False, f"{found}; must be {wanted}", f"{install(machine)} --upgrade")
    return Check("CuPy", True, found)


def _duplicates(machine: Machine) -> Check:
    name = "one CuPy"
    if len(machine.wheels) < 2:
        return Check(name, True, "no second one")
    found = f"{', '.join(machine.wheels)} write the same files and break each other"
    return Check(name, False, found, f"Uninstall all of them, then install one: {_again(machine)}")


def _fits(machine: Machine) -> Check:
    name = "CUDA versions"
    if not machine.cuda or machine.driver is None or not machine.driver.cuda:
        return Check(name, True, "nothing to compare", needed=False)
    built, runs = machine.cuda // 1000, machine.driver.cuda // 1000
    if built <= runs:
        return Check(name, True, f"CuPy is made for CUDA {built}, the driver runs {runs}")
    remedy = f"Update the driver to {OLDEST_DRIVER.get(built, 'a newer one')} or newer."
    if runs == 12:
        remedy = f"{remedy[:-1]}, or: {_again(machine, runs)}"
    return Check(name, False, f"CuPy is made for CUDA {built}, the driver runs no more than {runs}", remedy)


def _nvrtc(machine: Machine) -> Check:
    if machine.nvrtc:
        return Check("NVRTC", True, f"{machine.nvrtc.version}, {machine.nvrtc.path}")
    return Check("NVRTC", False, f"libnvrtc.so.{machine.major} not found: nothing compiles the kernels",
                 install(machine))  # fmt: skip


def _cublaslt(machine: Machine) -> Check:
    if machine.cublaslt:
        return Check("cuBLASLt", True, f"{machine.cublaslt.version}, {machine.cublaslt.path}")
    return Check("cuBLASLt", False, f"libcublasLt.so.{machine.major} not found: nothing multiplies matrices",
                 install(machine))  # fmt: skip


def _nccl(machine: Machine) -> Check:
    found = machine.nccl or "not found"
    return Check("NCCL", bool(machine.nccl), f"{found}; for several GPUs, which this version does not use",
                 needed=False)  # fmt: skip


def _nvcc(machine: Machine) -> Check:
    return Check("nvcc", True, f"{machine.nvcc or 'not found'}; not needed: NVRTC compiles", needed=False)


CHECKS: tuple[Callable[[Machine], Check], ...] = (
    _driver, _gpus, _cupy, _duplicates, _fits, _nvrtc, _cublaslt, _nccl, _nvcc,
)  # fmt: skip


def engine(machine: Machine, open_device: Callable[[], Device]) -> Check:
    """Whether the machine has what the engine needs, and the device multiplies two matrices correctly."""
    name = "engine cuda"
    missing = [check.name for check in checks(machine) if check.needed and not check.ok]
    if missing:
        return Check(name, False, f"needs {', '.join(missing)}", "Mend what is named above.")
    try:
        _multiply(open_device())
    except S5Error as error:
        return Check(name, False, error.message, error.remedy)
    except Exception as error:  # drivers, CuPy and libraries may fail in any way
        found = f"{type(error).__name__}: {error}"
        return Check(name, False, found, "Report it together with `s5ref doctor --json`.")
    return Check(name, True, "usable: a product of two matrices came back right")


def _multiply(device: Device) -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = device.empty((2, 2), np.float32)
    device.gemm(device.to_device(a), device.to_device(a), out, False, True)
    if not np.array_equal(device.to_host(out), a @ a.T):
        raise S5Error(f"a @ a.T must be {(a @ a.T).tolist()}; got {device.to_host(out).tolist()}.",
                      "Do not trust this GPU: report it together with `s5ref doctor --json`.")  # fmt: skip


def _again(machine: Machine, major: int = 0) -> str:
    names = " ".join(machine.wheels) or "cupy"
    wanted = major or machine.major
    return f'pip uninstall -y {names} && pip install "s5ref[cuda{wanted}]"'


def _dotted(cuda: int) -> str:
    return f"{cuda // 1000}.{cuda % 1000 // 10}"
