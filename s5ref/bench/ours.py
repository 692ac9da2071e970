"""The contender ``ours``: s5ref on the NUMBA engine, on as many threads as it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from s5ref.arrays import Array
from s5ref.bench.case import Case
from s5ref.bench.work import KEY, Work
from s5ref.call import Call
from s5ref.cpu import NUMBA
from s5ref.model.batch import Batch
from s5ref.model.model import Model
from s5ref.model.streaming import streaming
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.train.optim import group_table
from s5ref.train.state import State
from s5ref.train.update import update
from s5ref.tree import prefixed, subtree

STEPS = 2000  # calls of a stream's step in a repetition

CALL = Call(NUMBA, gradient=False)
TRAINING = Call(NUMBA, training=True, key=KEY)


def build(case: Case, what: str) -> Work:
    """``what``: train_step, forward, step; gradient (a train step without the optimiser)."""
    builders = _BARE if case.bare else _MODEL
    return builders[what](case)


def _train_step(case: Case) -> Work:
    """Forward with dropout and batch statistics, backward, AdamW."""
    model, state = Model(case.model), State.initial(Model(case.model), 0, case.config.train.dtype)
    batch, optim = case.data(), case.config.optim
    groups = group_table(state.weights.params, optim)
    rates = {"ssm_lr": optim.ssm_lr, "lr": optim.lr}
    weights = state.weights

    def once() -> None:
        nonlocal weights
        call = replace(TRAINING, key=(0, weights.updates + 1))
        weights = update(model, weights, batch, call, groups, rates).weights

    return Work(once, lambda: _gradients(case))


def _gradients(case: Case) -> dict[str, Array]:
    model = Model(case.model)
    params, statistics = model.init(0, case.config.train.dtype)
    found = model.loss_and_grad(params, statistics, case.data(), TRAINING)
    return {"output": found.output} | prefixed("grad", found.grads) | prefixed("new", found.statistics)


def _gradient(case: Case) -> Work:
    model = Model(case.model)
    params, statistics = model.init(0, case.config.train.dtype)
    batch = case.data()
    return Work(lambda: model.loss_and_grad(params, statistics, batch, TRAINING), lambda: _gradients(case))


def _forward(case: Case) -> Work:
    """Inference: running statistics, no dropout."""
    model = Model(case.model)
    params, statistics = model.init(0, case.config.train.dtype)
    batch = Batch(case.data().inputs)

    def output() -> Array:
        return model.forward(params, statistics, batch, CALL)[0].output

    return Work(output, lambda: {"output": output()})


def _step(case: Case) -> Work:
    """One time step of one stream, in place; the state goes on from call to call."""
    model = Model(case.model)
    stream = streaming(model, *model.init(0, case.config.train.dtype), CALL)
    u = case.data().inputs[:1, 0]
    start, now = stream.initial_state(1), None

    def once() -> Array:
        nonlocal now
        now = stream.step(start, u) if now is None else stream.step(now[0], u, out=now)
        return now[1]

    return Work(once, lambda: {"output": once()}, calls=STEPS)


def _ssm_forward(case: Case) -> Work:
    params, options, (u, _) = _ssm_params(case), case.model.block_options().ssm, case.features()

    def output() -> Array:
        return ssm(params, u, options, CALL)[0][0]

    return Work(output, lambda: {"output": output()})


def _ssm_gradient(case: Case) -> Work:
    """Forward, then the gradients of every parameter and of u."""
    params, options, (u, dy) = _ssm_params(case), case.model.block_options().ssm, case.features()

    def values() -> dict[str, Array]:
        (y, _), saved = ssm(params, u, options, TRAINING)
        dparams, du, _ = ssm_vjp(saved, (dy, None), options, TRAINING)
        return {"output": y, "grad.u": du} | prefixed("grad", dparams)

    return Work(values, values)


def _ssm_params(case: Case) -> dict[str, Array]:
    return subtree(Model(case.model).init(0, case.config.train.dtype)[0], "layers_0.seq")


Builders = dict[str, Callable[[Case], Work]]
_MODEL: Builders = {"train_step": _train_step, "forward": _forward, "step": _step, "gradient": _gradient}
_BARE: Builders = {"train_step": _ssm_gradient, "forward": _ssm_forward}
