"""What a run would be, from its configuration alone: parameters, groups, memory, time, loss at the start.

No data is needed. Memory and time are measured on a short random batch here and now, then scaled to
batch × length, in which both are linear.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, replace
from typing import Any

from s5ref.arrays import Array, Leaves
from s5ref.data.batches import Dataset
from s5ref.data.tasks import Task, get_task
from s5ref.engine import Call, Engine, as_engine
from s5ref.model.batch import Batch
from s5ref.model.chunks import value_and_grad
from s5ref.model.heads import HEADS
from s5ref.model.model import Model
from s5ref.optim.adamw import Group, group_table
from s5ref.random import generator
from s5ref.train.config import RunConfig
from s5ref.train.loop import steps_per_epoch
from s5ref.train.results import GroupRow
from s5ref.tree import described, leaves

EXAMPLES, LENGTH = 8, 256  # of the short batch, at most


@described
@dataclass(frozen=True)
class Estimate:
    """Facts of a configuration; bytes are of the whole batch, seconds of this machine.

    init_loss   loss before any update, to be compared with log_k = log K: a model that knows nothing
    activations what a forward pass keeps for the backward pass
    """

    parameters: int
    groups: list[GroupRow]
    init_loss: float
    log_k: float
    parameter_bytes: int
    moment_bytes: int
    activation_bytes: int
    step_seconds: float
    steps: int
    total_seconds: float
    note: str


def estimate(
    config: RunConfig, engine: Engine | str | None = None, dataset: Dataset | None = None
) -> Estimate:
    """What a run of ``config`` would be. Takes seconds, and what the engine needs to compile.

    Parameters
    ----------
    config : RunConfig
    engine : Engine, name or None
        What computes the step that is measured; None: the default one.
    dataset : Dataset or None
        One's own arrays; None: the task of the configuration.

    Returns
    -------
    Estimate

    Raises
    ------
    ConfigError
        On an unknown task.
    """
    engine, task = as_engine(engine), dataset.task if dataset else get_task(config.task)
    config = config.fitted(task.train_size)
    model = Model(replace(config.model, dropout=0.0))
    params, statistics = engine.to_device(model.init(0, config.train.dtype))
    length, chunk = min(task.length, LENGTH), config.train.chunk
    at_a_time = min(task.length, chunk) if chunk else task.length  # steps that are kept

    def saved_bytes(steps: int) -> int:
        batch = engine.to_device(_random_batch(config, task, steps))
        return _bytes(model.value(params, statistics, batch, Call(engine, training=True))[1])

    slope = (saved_bytes(length) - saved_bytes(length // 2)) / (length - length // 2)
    batch = engine.to_device(_random_batch(config, task, length))
    seconds = math.inf
    for _ in range(2):  # the first one warms up
        start = time.perf_counter()
        result = value_and_grad(
            model, params, statistics, batch, Call(engine, training=True), chunk, config.train.truncate
        )
        loss = float(engine.to_host(result.loss))
        seconds = min(seconds, time.perf_counter() - start)
    more = config.train.batch / EXAMPLES
    each = steps_per_epoch(config, dataset) if dataset else task.train_size // config.train.batch
    steps = each * config.train.epochs
    step_seconds = seconds * more * task.length / length
    total = sum(int(p.nbytes) for p in params.values())
    return Estimate(
        parameters=sum(int(p.size) for p in params.values()),
        groups=group_rows(config, params),
        init_loss=loss,
        log_k=math.log(config.model.n_classes),
        parameter_bytes=total,
        moment_bytes=2 * total,
        activation_bytes=int(slope * more * at_a_time),
        step_seconds=step_seconds,
        steps=steps,
        total_seconds=step_seconds * steps,
        note=f"measured with engine {engine.name} on {EXAMPLES} random sequences of {length} steps and "
        f"scaled to {config.train.batch} of {task.length}; evaluations not counted",
    )


def group_rows(config: RunConfig, params: Leaves) -> list[GroupRow]:
    """The group table, layers_0, layers_1, … written as layers_*."""
    members: dict[Group, list[str]] = {}
    for name, group in group_table(params, config.optim).items():
        members.setdefault(group, []).append(name)
    return [
        GroupRow(
            group.name, group.rate, getattr(config.optim, group.rate), group.weight_decay,
            list(dict.fromkeys(re.sub(r"^layers_\d+", "layers_*", name) for name in names)),
            sum(int(params[name].size) for name in names),
        )
        for group, names in members.items()
    ]  # fmt: skip


def _random_batch(config: RunConfig, task: Task, length: int) -> Batch:
    """Random tokens or N(0, 1) numbers, random classes or values, in the shape of the configuration."""
    rng, model = generator("estimate", task.name), config.model
    documents = (2,) if model.head == "retrieval" else ()
    shape = (EXAMPLES, *documents, length)
    inputs: Array
    if task.kind == "tokens":
        inputs = rng.integers(0, model.in_dim, shape)
    else:
        inputs = rng.standard_normal((*shape, model.in_dim)).astype(config.train.dtype)
    head, K = HEADS[model.head], model.n_classes
    shape = head.target_shape(N=EXAMPLES, L=length, K=K)
    return Batch(inputs, rng.integers(0, K, shape) if head.classifies else rng.standard_normal(shape))


def _bytes(saved: Any) -> int:
    """Bytes of the arrays in a tree, views of one buffer counted once."""
    buffers: dict[int, int] = {}
    for _, leaf in leaves(saved):
        if hasattr(leaf, "__array_function__"):
            while hasattr(leaf.base, "__array_function__"):
                leaf = leaf.base
            buffers[id(leaf)] = leaf.nbytes
    return sum(buffers.values())
