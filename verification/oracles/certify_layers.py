"""One layer of s5ref and its parts: SSM, step, mix, block; what is computed, and what the oracle is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.engines import SEQUENTIAL
from s5ref.model.config import ACTIVATIONS, ModelConfig
from s5ref.model.stack import draw_masks
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.ssm.step import step, stepper
from s5ref.tree import prefixed, subtree
from s5ref.verification.budget import accumulated
from s5ref.verification.oracles.model import LayerOptions
from s5ref.verification.problems import Problem

Found = dict[str, Any]


class Composite(NamedTuple):
    """A stage of the oracle with its inputs and cotangents, what computes the same leaves with an engine,
    what its budget is taken from, and the terms of its longest sum.

    ``bounds`` are those of leaves that no kernel has a part in, in units of eps: composite budgets know
    nothing of them.
    """

    stage: str
    inputs: Mapping[str, Any]
    cotangent: Mapping[str, Any] | None
    run: Callable[[Engine], Found]
    budget_of: Callable[[Engine], Found]
    terms: int
    bounds: Mapping[str, Array] = {}


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
        "params": subtree(one.params, "seq"),
        "u": one.x,
        "x0": one.x0,
        "intervals": one.intervals,
        "lengths": one.masked,
    }
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
        out, residuals = engine.block.value(
            one.params, one.x, options, call, one.statistics, one.masks, one.x0
        )
        dparams, dx, dx0 = engine.block.vjp(residuals, (one.d["y"], one.d["last"]), options, call)
        found = {"y": out.y, "state": out.state, "d.x": dx} | {
            f"d.params.{name}": d for name, d in dparams.items()
        }
        found |= prefixed("statistics", out.statistics)
        return found if one.x0 is None else found | {"d.x0": dx0}

    inputs = {
        "params": one.params,
        "x": one.x,
        "x0": one.x0,
        "train": one.at.call["training"],
        "statistics": one.statistics,
        "masks": one.masks,
        "intervals": one.intervals,
        "lengths": one.masked,
    }
    cotangent = {"y": one.d["y"], "state": one.d["last"]}
    inputs |= options_of(one.config, one.at.call["step_rescale"])
    return Composite("layer", inputs, cotangent, run, run, one.terms)


def masks_of(at: Problem, params: Mapping[str, Array]) -> Any:
    c = at.model.config
    n = at.batch.inputs.shape[0] * (2 if c.head == "retrieval" else 1)
    return draw_masks(
        c.n_layers, n, c.d_model, c.dropout, Call(SEQUENTIAL, **at.call), params["encoder.kernel"]
    )
