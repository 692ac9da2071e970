"""The kernels of s5ref.gpu on a CPU: the same source, compiled by g++ against `cuda.h`; a CUDA thread is a
fiber.
"""

from cuda_shim.device import ShimDevice
from cuda_shim.module import CpuModule

__all__ = ["CpuModule", "ShimDevice"]
