"""What is timed of an engine of s5ref: a recipe's model, or the SSM of its first layer alone.

Everything is put where the engine computes before it is timed, but for the batches of a training run.
"""

from __future__ import annotations

from typing import Any

from s5ref.arrays import Array
from s5ref.bench.benchmark import KEY, Benchmark
from s5ref.bench.case import Case
from s5ref.engine import Call, Engine
from s5ref.model.model import Model
from s5ref.model.streaming import streaming
from s5ref.optim.adamw import B1, group_table
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.train.state import State
from s5ref.train.update import Updates
from s5ref.tree import prefixed, subtree

STEPS = 2000  # calls of a stream's step in a repetition


def benchmark(engine: Engine, case: Case, what: str) -> Benchmark:
    """``what``: train_step, forward, step; gradient (a train step without the optimiser)."""
    if case.bare:
        return _ssm(engine, case, what)
    builders = {"train_step": _train_step, "forward": _forward, "step": _step, "gradient": _gradient}
    return builders[what](engine, case)


def training(engine: Engine, case: Case, count: int = 0) -> tuple[Any, dict[str, float]]:
    """A training run after ``count`` updates that changed nothing, and its rates: ``step(rates)`` makes
    forward with dropout and batch statistics, backward, AdamW.
    """
    model, batch, optim = Model(case.model), case.data(), case.config.optim
    weights = State.initial(model, 0, case.config.train.dtype).weights._replace(updates=count)
    groups = group_table(weights.params, optim)
    updates = Updates(model, weights, groups, engine, lambda k: batch).on_engine()
    return updates, {"ssm_lr": optim.ssm_lr, "lr": optim.lr}


def gradients(engine: Engine, case: Case) -> dict[str, Array]:
    """Output, gradients and new statistics of the update whose masks are `KEY`'s, by the very step that is
    timed: its first moment was zero, and is (1 − b1) times the gradient.
    """
    updates, rates = training(engine, case, count=KEY[1])
    _, output = updates.step(rates)
    after = updates.weights
    grads = {name: moment / (1 - B1) for name, moment in after.moments.first.items()}
    return {"output": output} | prefixed("grad", grads) | prefixed("new", after.statistics)


def _train_step(engine: Engine, case: Case) -> Benchmark:
    updates, rates = training(engine, case)
    return Benchmark(lambda: updates.step(rates), lambda: gradients(engine, case))


def _gradient(engine: Engine, case: Case) -> Benchmark:
    model, (params, statistics) = _on_engine(engine, case)
    batch = engine.to_device(case.data())

    def once() -> object:
        grads = model.loss_and_grad(params, statistics, batch, engine=engine, training=True, key=KEY)
        return engine.to_host(grads)

    return Benchmark(once, lambda: gradients(engine, case))


def _forward(engine: Engine, case: Case) -> Benchmark:
    """Inference: running statistics, no dropout."""
    model, (params, statistics) = _on_engine(engine, case)
    batch = engine.to_device(case.data()._replace(targets=None))

    def output() -> Array:
        host: Array = engine.to_host(model.forward(params, statistics, batch, engine=engine).output)
        return host

    return Benchmark(output, lambda: {"output": output()})


def _on_engine(engine: Engine, case: Case) -> tuple[Model, Any]:
    """The model, and its parameters and statistics where the engine computes."""
    model = Model(case.model)
    return model, engine.to_device(model.init(0, case.config.train.dtype))


def _step(engine: Engine, case: Case) -> Benchmark:
    """One time step of one stream, in place; the state goes on from call to call. On the host."""
    model = Model(case.model)
    stream = streaming(model, *model.init(0, case.config.train.dtype), engine)
    u = case.data().inputs[:1, 0]
    start, now = stream.initial_state(1), None

    def once() -> Array:
        nonlocal now
        now = stream.step(start, u) if now is None else stream.step(now[0], u, out=now)
        return now[1]

    return Benchmark(once, lambda: {"output": once()}, calls=STEPS)


def _ssm(engine: Engine, case: Case, what: str) -> Benchmark:
    """``what``: forward; train_step, forward and then the gradients of every parameter and of u."""
    params = subtree(Model(case.model).init(0, case.config.train.dtype)[0], "layers_0.seq")
    options, (u, dy) = case.model.block_options().ssm, case.features()
    training, inference = Call(engine, training=True, key=KEY), Call(engine, keep_residuals=False)

    def output() -> dict[str, Array]:
        return {"output": ssm(params, u, options, inference)[0][0]}

    def gradient() -> dict[str, Array]:
        (y, _), residuals = ssm(params, u, options, training)
        dparams, du, _ = ssm_vjp(residuals, (dy, None), options, training)
        return {"output": y, "grad.u": du} | prefixed("grad", dparams)

    values = {"forward": output, "train_step": gradient}[what]
    return Benchmark(values, values)
