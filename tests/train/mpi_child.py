"""One rank of a training by Python; what is said on the command line is wrong with rank 1."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from mpi4py import MPI

import s5ref
from s5ref.data.batches import Dataset
from s5ref.train import together

what, rank = sys.argv[1], MPI.COMM_WORLD.rank
rng = np.random.default_rng(0)
arrays = {name: (rng.normal(size=(16, 6, 1)), rng.integers(0, 3, 16)) for name in ("train", "validation")}
width, dtype = 8, "float32"
calls: Any = []
if rank == 1:
    if what == "config":
        width = 12
    elif what == "dtype":
        dtype = "float64"
    elif what == "data":
        arrays["train"][0][:] += 1
    elif what == "version":
        vars(together)["__version__"] = "0.0.1"
    elif what in ("error", "memory"):
        read = Dataset.splits

        def splits(self: Dataset) -> Any:
            raise MemoryError("no room") if what == "memory" else RuntimeError("a defect")

        Dataset.splits = splits  # type: ignore[method-assign]
model = s5ref.Model(s5ref.ModelConfig(n_layers=1, d_model=width, ssm_size=8, blocks=1, in_dim=1, n_classes=3))
config = s5ref.train.TrainConfig(batch=4, epochs=2, dtype=dtype)
try:
    result = s5ref.train.train(model, arrays, config, engine="numpy", comm=MPI.COMM_WORLD, verbose=False)
    os.write(1, f"{rank}: {result.steps} updates\n".encode())
except Exception as error:
    os.write(1, f"{rank}: {error}\n".encode())
    sys.exit(1)
