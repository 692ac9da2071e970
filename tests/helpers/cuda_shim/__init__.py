"""The kernels of s5ref.gpu on a CPU: the same source, compiled by g++ against `cuda.h`; a CUDA thread is a
fiber.
"""

import sys

import pytest

from cuda_shim.device import ShimDevice
from cuda_shim.module import CpuModule

MARKS = [pytest.mark.cxx, pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux")]

__all__ = ["MARKS", "CpuModule", "ShimDevice"]
