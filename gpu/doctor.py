"""What a GPU needs, judged by the facts of a machine, for `s5ref doctor` and for the refusals of `Cupy`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from s5ref.errors import S5Error
from s5ref.gpu.device import Device
from s5ref.gpu.machine import Found, Machine

CUPY = ((14, 2), (15, 0))  # the supported versions: at least, and below
OLDEST_DRIVER = {12: 525, 13: 580}  # CUDA's major version: the first driver branch that runs it
REPORT = "Report it together with `s5ref doctor --json`."


class Check(NamedTuple):
    """One check: what was found, in words, and the remedy if not ok. ``needed``: the engine needs it."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


Verdict: TypeAlias = tuple[str, str]  # what is found, and the remedy: "" where there is nothing to mend


def checks(machine: Machine) -> list[Check]:
    """All checks, in the order in which to fix what they find."""
    judged = {name: judge(machine) for name, judge in JUDGES.items()}
    return [
        *(Check(name, not remedy, found, remedy) for name, (found, remedy) in judged.items()),
        Check("NCCL", bool(machine.nccl), f"{machine.nccl or 'not found'}; for several GPUs, which this "
              "version does not use", needed=False),
        Check("nvcc", True, f"{machine.nvcc or 'not found'}; not needed: NVRTC compiles", needed=False),
    ]  # fmt: skip


def missing(machine: Machine) -> list[Check]:
    """The checks that the engine needs and that are not ok."""
    return [check for check in checks(machine) if check.needed and not check.ok]


def refuse(machine: Machine) -> None:
    """Raises S5Error, with the remedy, for the first check that the engine needs and that is not ok."""
    for check in missing(machine):
        raise S5Error(f"The GPU cannot be used: {check.name}: {check.found}.", check.remedy)


def install(machine: Machine, major: int = 0) -> str:
    """The command that installs CuPy with NVRTC and cuBLAS, for this machine's CUDA or for another."""
    return f'pip install "s5ref[cuda{major or machine.major}]"'


def _driver(machine: Machine) -> Verdict:
    found = machine.driver
    if found is None:
        return "none found", (
            f"Install NVIDIA's driver: {OLDEST_DRIVER[13]} or newer for CUDA 13, {OLDEST_DRIVER[12]} or "
            "newer for CUDA 12. In a container, pass the GPU through (docker run --gpus all)."
        )
    version = found.version or "version unknown"
    if not found.cuda:
        return f"{version}; {found.problem}", "Reinstall the driver, then restart."
    return f"{version}, runs CUDA up to {_dotted(found.cuda)}", ""


def _gpus(machine: Machine) -> Verdict:
    found = machine.driver
    if found is None:
        return "none without a driver", "Install NVIDIA's driver."
    words = [
        f"{i}: {gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability {gpu.capability}"
        for i, gpu in enumerate(found.gpus)
    ]
    if words:
        return "; ".join(words), ""
    return f"none{f' ({found.problem})' if found.problem else ''}", (
        "Run nvidia-smi: if it lists one, CUDA_VISIBLE_DEVICES hides it, or the driver was updated without a "
        "restart."
    )


def _cupy(machine: Machine) -> Verdict:
    wheels = " ".join(f"{name} {version}" for name, version in machine.wheels.items())
    if machine.cupy_error:
        found = f"{wheels or 'CuPy'} does not import: {machine.cupy_error}"
        return found, f"Uninstall and install again: {_again(machine)}"
    if not machine.cupy and wheels:
        return f"{wheels}, without its files", f"Install it again: {_again(machine)}"
    if not machine.cupy:
        other = 25 - machine.major
        return "not installed", (
            f'{install(machine)} (drivers from {OLDEST_DRIVER[machine.major]} on), or "s5ref[cuda{other}]" '
            f"({OLDEST_DRIVER[other]})."
        )
    found = f"{wheels or machine.cupy}, for CUDA {_dotted(machine.cuda)}"
    low, high = CUPY
    parts = tuple(int(part) for part in machine.cupy.split(".")[:2] if part.isdigit())
    if low <= parts < high:
        return found, ""
    return f"{found}; must be {low[0]}.{low[1]} or newer, before {high[0]}", f"{install(machine)} --upgrade"


def _one_cupy(machine: Machine) -> Verdict:
    if len(machine.wheels) < 2:
        return "no second one", ""
    found = f"{', '.join(machine.wheels)} write the same files and break each other"
    return found, f"Uninstall all of them, then install one: {_again(machine)}"


def _cuda_versions(machine: Machine) -> Verdict:
    built, runs = machine.cuda // 1000, machine.driver.cuda // 1000 if machine.driver else 0
    if not (built and runs):
        return "nothing to compare", ""
    if built <= runs:
        return f"CuPy is made for CUDA {built}, the driver runs {runs}", ""
    remedy = f"Update the driver to {OLDEST_DRIVER.get(built, 'a newer one')} or newer"
    remedy += f", or: {_again(machine, runs)}" if runs == 12 else "."
    return f"CuPy is made for CUDA {built}, the driver runs no more than {runs}", remedy


def _library(stem: str, use: str, machine: Machine) -> Verdict:
    found: Found | None = getattr(machine, stem.lower())
    if found:
        return f"{found.version}, {found.path}", ""
    return f"lib{stem}.so.{machine.major} not found: nothing {use}", install(machine)


JUDGES: dict[str, Callable[[Machine], Verdict]] = {  # of what the engine needs
    "NVIDIA driver": _driver,
    "GPUs": _gpus,
    "CuPy": _cupy,
    "one CuPy": _one_cupy,
    "CUDA versions": _cuda_versions,
    "NVRTC": partial(_library, "nvrtc", "compiles the kernels"),
    "cuBLASLt": partial(_library, "cublasLt", "multiplies matrices"),
}


def engine(machine: Machine, open_device: Callable[[], Device]) -> Check:
    """Whether the machine has what the engine needs, and the device multiplies two matrices correctly."""
    name = "engine cuda"
    if faults := ", ".join(check.name for check in missing(machine)):
        return Check(name, False, f"needs {faults}", "Mend what is named above.")
    try:
        _multiply(open_device())
    except S5Error as error:
        return Check(name, False, error.message, error.remedy)
    except Exception as error:  # drivers, CuPy and libraries may fail in any way
        return Check(name, False, f"{type(error).__name__}: {error}", REPORT)
    return Check(name, True, "usable: a product of two matrices came back right")


def _multiply(device: Device) -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = device.empty((2, 2), np.float32)
    device.gemm(device.to_device(a), device.to_device(a), out, False, True)
    if not np.array_equal(device.to_host(out), a @ a.T):
        raise S5Error(f"a @ a.T must be {(a @ a.T).tolist()}; got {device.to_host(out).tolist()}.",
                      f"Do not trust this GPU. {REPORT}")  # fmt: skip


def _again(machine: Machine, major: int = 0) -> str:
    return f"pip uninstall -y {' '.join(machine.wheels) or 'cupy'} && {install(machine, major)}"


def _dotted(cuda: int) -> str:
    return f"{cuda // 1000}.{cuda % 1000 // 10}"
