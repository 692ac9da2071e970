"""What is certified of each problem: the parts of one layer, and the whole model, with what the oracle is
given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.engines import SEQUENTIAL
from s5ref.model.config import ACTIVATIONS, ModelConfig
from s5ref.model.stack import draw_masks
from s5ref.random import generator
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.ssm.step import step, stepper
from s5ref.tree import prefixed, subtree
from s5ref.verification.proofs.oracles.model import LayerOptions
from s5ref.verification.rounding.budget import accumulated, cast
from s5ref.verification.rounding.operation_bounds import cross_entropy, log_softmax
from s5ref.verification.selfcheck.problems import Problem

Found = dict[str, Any]


class Composite(NamedTuple):
    """A stage of the oracle with its inputs and cotangents, what computes the same leaves with an engine,
    what its budget is taken from, and the terms of its longest sum.

    ``bounds`` are those of leaves that no kernel has a part in, in units of eps: composite budgets know
    nothing of them. ``besides`` is what operations that are no kernel add to a leaf, in units of eps.
    """

    stage: str
    inputs: Mapping[str, Any]
    cotangent: Mapping[str, Any] | None
    run: Callable[[Engine], Found]
    budget_of: Callable[[Engine], Found]
    terms: int
    bounds: Mapping[str, Array] = {}
    besides: Mapping[str, Array] = {}


class One(NamedTuple):
    """The pieces of one layer."""

    at: Problem
    config: ModelConfig
    params: dict[str, Array]
    statistics: dict[str, Array]
    x: Array
    x0: Array | None
    d: dict[str, Any]
    masks: Any
    lengths: Array | None
    intervals: Array | None

    @property
    def terms(self) -> int:
        return int(self.x[..., 0].size)

    @property
    def masked(self) -> Array | None:
        return self.lengths if self.config.padding == "masked" else None

    def call(self, engine: Engine) -> Call:
        valid = (
            None
            if self.masked is None
            else np.arange(self.x.shape[1])[None, :, None] < self.masked[:, None, None]
        )
        return Call(engine, **self.at.call, intervals=self.intervals, valid=valid)


def options_of(c: ModelConfig, step_rescale: float) -> dict[str, Any]:
    named = {name: getattr(c, name) for name in LayerOptions._fields if name != "step_rescale"}
    return named | {"step_rescale": step_rescale}


def _ssm_options(one: One) -> dict[str, Any]:
    options = options_of(one.config, one.at.call["step_rescale"])
    return {
        name: options[name]
        for name in ("bidirectional", "conj_sym", "clip_eigs", "discretization", "step_rescale")
    }


def _ssm_run(one: One, u: Array, dy: Array, intervals: Array | None) -> Callable[[Engine], Found]:
    options, params = one.config.block_options().ssm, subtree(one.params, "seq")

    def run(engine: Engine) -> Found:
        call = one._replace(intervals=intervals, lengths=one.lengths if u.shape[1] > 1 else None, x=u).call(
            engine
        )
        (y, last), residuals = ssm(params, u, options, call, one.x0)
        dparams, du, dx0 = ssm_vjp(residuals, (dy, one.d["last"]), options, call)
        found = {"y": y, "x_last": last, "d.u": du} | {f"d.params.{name}": d for name, d in dparams.items()}
        return found if one.x0 is None else found | {"d.x0": dx0}

    return run


def ssm_composite(one: One) -> Composite:
    inputs = {
        "params": subtree(one.params, "seq"), "u": one.x, "x0": one.x0, "intervals": one.intervals,
        "lengths": one.masked,
    }  # fmt: skip
    run = _ssm_run(one, one.x, one.d["y"], one.intervals)
    size = np.abs(one.x * one.d["y"]).astype(np.float64).sum((0, 1))
    bounds = {"d.params.D": accumulated(one.terms) * size}
    cotangent = {"y": one.d["y"], "x_last": one.d["last"]}
    return Composite("ssm", inputs | _ssm_options(one), cotangent, run, run, one.terms, bounds)


def step_composite(one: One) -> Composite:
    params, u = subtree(one.params, "seq"), one.x[:, 0]
    options = {name: value for name, value in _ssm_options(one).items() if name != "bidirectional"}

    assert one.x0 is not None
    x0 = one.x0

    def run(engine: Engine) -> Found:
        once = stepper(params, one.config.block_options().ssm, one.at.call["step_rescale"])
        state, y = step(once, x0, u)
        return {"state": state, "y": y}

    def sequence(engine: Engine) -> Found:
        found = _ssm_run(one, one.x[:, :1], one.d["y"][:, :1], None)(engine)
        return {"state": found["x_last"], "y": found["y"][:, 0]}

    inputs = {"params": params, "state": x0, "u": u} | options
    return Composite("step", inputs, None, run, sequence, 1)


def mix_composite(one: One) -> Composite:
    c, pair, gelu = one.config, ACTIVATIONS[one.config.activation], one.config.block_options().gelu
    params = {name: leaf for name, leaf in one.params.items() if name.startswith("out")}

    def run(engine: Engine) -> Found:
        call = Call(engine, **one.at.call)
        y, residuals = pair.value(params, one.x, one.masks, gelu(engine), call)
        dparams, dx = pair.vjp(residuals, one.d["y"], gelu(engine), call)
        return {"y": y, "d.y": dx} | {f"d.params.{name}": d for name, d in dparams.items()}

    inputs = {"params": params, "y": one.x, "masks": one.masks, "activation": c.activation, "gelu": c.gelu}
    return Composite("mix", inputs, {"y": one.d["y"]}, run, run, one.terms)


def layer_composite(one: One) -> Composite:
    options = one.config.block_options()

    def run(engine: Engine) -> Found:
        call = one.call(engine)
        implementation = engine.layer(options, call.conditions(one.x.dtype))
        out, residuals = implementation.value(
            one.params, one.x, options, call, one.statistics, one.masks, one.x0
        )
        dparams, dx, dx0 = implementation.vjp(residuals, (one.d["y"], one.d["last"]), options, call)
        found = {"y": out.y, "state": out.state, "d.x": dx} | {
            f"d.params.{name}": d for name, d in dparams.items()
        }
        found |= prefixed("statistics", out.statistics)
        return found if one.x0 is None else found | {"d.x0": dx0}

    inputs = {
        "params": one.params, "x": one.x, "x0": one.x0, "train": one.at.call["training"],
        "statistics": one.statistics, "masks": one.masks, "intervals": one.intervals,
        "lengths": one.masked,
    }  # fmt: skip
    cotangent = {"y": one.d["y"], "state": one.d["last"]}
    inputs |= options_of(one.config, one.at.call["step_rescale"])
    return Composite("layer", inputs, cotangent, run, run, one.terms)


def masks_of(at: Problem, params: Mapping[str, Array]) -> Any:
    c = at.model.config
    n = at.batch.inputs.shape[0] * (2 if c.head == "retrieval" else 1)
    return draw_masks(
        c.n_layers, n, c.d_model, c.dropout, Call(SEQUENTIAL, **at.call), params["encoder.kernel"]
    )


def composites(at: Problem, dtype: Any) -> list[Composite]:
    """The first layer of a problem, its SSM, one step of it, its mix, and the whole model, in ``dtype``."""
    c = at.model.config
    params, statistics = cast(dict(at.params), dtype), cast(dict(at.statistics), dtype)
    rng = generator("certify", at.group, at.name)
    documents = 2 if c.head == "retrieval" else 1
    shape = (
        documents * at.batch.inputs.shape[0],
        at.batch.inputs.shape[2 if documents == 2 else 1],
        c.d_model,
    )
    kept = c.ssm_size // (2 if c.conj_sym else 1)

    def draw(*size: int) -> Array:
        return np.asarray(rng.standard_normal(size)).astype(dtype)

    def state() -> Array:
        return np.asarray(draw(shape[0], kept) + 1j * draw(shape[0], kept))

    x0, dlast = (None, None) if c.bidirectional else (state(), state())
    one = One(
        at,
        c,
        subtree(params, "layers_0"),
        subtree(statistics, "layers_0"),
        draw(*shape),
        x0,
        {"y": draw(*shape), "last": dlast},
        masks_of(at, params)[0],
        None if at.batch.lengths is None or documents == 2 else at.batch.lengths,
        None if at.batch.intervals is None or documents == 2 else at.batch.intervals.astype(dtype),
    )
    return [
        ssm_composite(one), *([] if c.bidirectional else [step_composite(one)]), mix_composite(one),
        layer_composite(one), _model(at, params, statistics, dtype),
    ]  # fmt: skip


def _model(at: Problem, params: dict[str, Array], statistics: dict[str, Array], dtype: Any) -> Composite:
    c = at.model.config
    batch = cast(at.batch, dtype)
    at = Problem(at.group, at.name, at.model, params, statistics, batch, at.call, cast(at.states, dtype))
    inputs = {
        "params": params, "x": batch.inputs, "train": at.call["training"], "statistics": statistics,
        "masks": masks_of(at, params), "states": at.states, "lengths": batch.lengths,
        "intervals": batch.intervals, "targets": batch.targets, "n_layers": c.n_layers, "head": c.head,
        "pooling": c.pooling, "padding": c.padding,
    }  # fmt: skip
    names = {name: f"d.params.{name}" for name in params} | {"inputs": "d.x"}

    def run(engine: Engine) -> Found:
        found = at.loss_and_grad(at.leaves(), engine)
        grads = {names.get(name, f"d.{name}"): leaf for name, leaf in found["grads"].items()}
        parts = {"loss": found["loss"], "output": found["output"], **grads}
        states = {f"states.{i}": leaf for i, leaf in enumerate(found["states"])}
        return parts | states | prefixed("statistics", found["statistics"])

    options = options_of(c, at.call["step_rescale"])
    besides = {} if c.head == "regression" else _softmax_and_loss(run(SEQUENTIAL)["output"], batch.targets)
    one = {"loss": np.ones((), dtype)}
    return Composite("model", inputs | options, one, run, run, at.terms, besides=besides)


def _softmax_and_loss(y: Array, targets: Any) -> dict[str, Array]:
    """What log-softmax and cross-entropy round by themselves. Log-softmax depends on differences of its
    arguments alone, so that y stands for them.
    """
    y = y.astype(np.float64)
    e = log_softmax(y, {"y": np.zeros_like(y)})["y"]
    loss = cross_entropy(y, targets, {"loss": np.ones(())})["loss"]
    return {"output": e, "loss": loss + np.mean(np.take_along_axis(e, targets[:, None], axis=-1))}
