"""s5ref.gpu: the place of the CUDA engine, `CUDA`, which is not part of this version.

Importing it needs no GPU and no CuPy. ``--device cuda`` and ``s5ref doctor`` look for `CUDA` here and say so.
"""
