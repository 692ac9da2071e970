"""NVIDIA's run-time compiler by ctypes: needs the package nvidia-cuda-nvrtc, but no CuPy, driver or GPU."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from needs import nvrtc_library


class Resources(NamedTuple):
    """What a thread of a kernel takes: registers, bytes of stack, bytes spilled."""

    registers: int
    stack: int
    spilled: int


@functools.cache
def _library() -> ctypes.CDLL:
    path = nvrtc_library()
    assert path is not None, "pip install nvidia-cuda-nvrtc"
    for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def compiled(code: str, options: Sequence[str], architecture: str) -> dict[str, Resources]:
    """The kernels that are in the machine code of ``code``, with their resources. A warning is an error."""
    log, _code = _compile(code, ["--ptxas-options=-v", *options], architecture, "CUBIN")
    return _resources(log)


def assembled(code: str, options: Sequence[str], architecture: str) -> dict[str, str]:
    """The PTX of every kernel, for a virtual architecture (compute_90)."""
    _log, text = _compile(code, options, architecture, "PTX")
    bodies = re.split(r"^\.visible \.entry ", text.decode().rstrip("\0"), flags=re.MULTILINE)[1:]
    return {body.split("(")[0]: body for body in bodies}


def _compile(code: str, options: Sequence[str], architecture: str, kind: str) -> tuple[str, bytes]:
    """The log, and what came of it."""
    nvrtc, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    created = nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None)
    assert created == 0, f"nvrtcCreateProgram: {created}"
    try:
        given = [f"--gpu-architecture={architecture}", *options]
        texts = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
        failed = nvrtc.nvrtcCompileProgram(program, len(given), texts)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        text = log.value.decode()
        assert not failed, text
        assert "warning" not in text, text
        getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        assert size.value > 0
        made = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{kind}")(program, made)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return text, made.raw


def _resources(log: str) -> dict[str, Resources]:
    pattern = (
        r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes "
        r"spill stores, (?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers"
    )
    return {
        found["name"]: Resources(
            int(found["registers"]), int(found["stack"]), int(found["stores"]) + int(found["loads"])
        )
        for found in re.finditer(pattern, log, re.DOTALL)
    }
