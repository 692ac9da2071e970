"""s5ref.gpu: kernels for NVIDIA GPUs and the host code that launches them (docs/gpu.md).

The engine made of them, `CUDA`, is not part of this version: ``--device cuda`` and ``s5ref doctor`` look for
it here and say so. Importing this needs no GPU and no CuPy.
"""
