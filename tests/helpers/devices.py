"""Where the tests of the engine run: on the mock GPU always, on a real one where there is one."""

from __future__ import annotations

import pytest
from cuda_shim import MARKS
from cuda_shim.mock import MockDevice

from s5ref import Engine
from s5ref.gpu import cuda
from s5ref.gpu.engine import engine_of

DEVICES = [pytest.param("mock", marks=MARKS), pytest.param("cuda", marks=pytest.mark.gpu)]
on_devices = pytest.mark.parametrize("device", DEVICES)


def kernels_on(device: str, graphs: bool = True) -> Engine:
    made: Engine = cuda(graphs=graphs) if device == "cuda" else engine_of(MockDevice(), "mock", graphs=graphs)
    return made
