"""One update of a model on one long sequence, by chunks: seconds, and the peak of resident memory.

python docs/results/long/run.py STEPS CHUNK
"""

import resource
import sys
import time

import numpy as np

from s5ref import Batch, Model, ModelConfig
from s5ref.engine import Call, as_engine
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import init_moments
from s5ref.train.update import Weights, update


def peak() -> float:
    """Peak of resident memory, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


steps, chunk = map(int, sys.argv[1:])
model = Model(ModelConfig(n_layers=2, d_model=8, ssm_size=8, n_classes=2, norm="layer"))
params, statistics = model.init(0)
optimizer = OptimConfig().optimizer(1, 1)
call = Call(as_engine("numba"), training=True, key=(0, 0))
rng = np.random.default_rng(0)


def updated(length: int) -> float:
    """Seconds of an update on one sequence."""
    inputs = rng.standard_normal((1, length, 1), dtype=np.float32)
    weights = Weights(params, init_moments(params), statistics, 0)
    batch, start = Batch(inputs, np.array([1])), time.perf_counter()
    update(model, weights, batch, call, optimizer.groups(params), optimizer.rates(0), chunk)
    return time.perf_counter() - start


updated(2 * chunk)  # compiles
before = peak()
seconds = updated(steps)
memory = f"peak {peak():,.0f} MiB, {before:,.0f} before; the inputs {4 * steps / 2**20:,.0f} MiB"
print(f"{steps:,} steps in chunks of {chunk:,}: {seconds:.1f} s; {memory}")
