"""What is certified of each problem: the parts of one layer, and the whole model."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.random import generator
from s5ref.tree import prefixed, subtree
from s5ref.verification.budget import cast
from s5ref.verification.oracles.certify_layers import (
    Composite,
    Found,
    One,
    layer_composite,
    masks_of,
    mix_composite,
    options_of,
    ssm_composite,
    step_composite,
)
from s5ref.verification.problems import Problem


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
        ssm_composite(one),
        *([] if c.bidirectional else [step_composite(one)]),
        mix_composite(one),
        layer_composite(one),
        _model(at, params, statistics, dtype),
    ]


def _model(at: Problem, params: dict[str, Array], statistics: dict[str, Array], dtype: Any) -> Composite:
    c = at.model.config
    batch = cast(at.batch, dtype)
    at = Problem(at.group, at.name, at.model, params, statistics, batch, at.call, cast(at.states, dtype))
    inputs = {
        "params": params,
        "x": batch.inputs,
        "train": at.call["training"],
        "statistics": statistics,
        "masks": masks_of(at, params),
        "states": at.states,
        "lengths": batch.lengths,
        "intervals": batch.intervals,
        "targets": batch.targets,
        "n_layers": c.n_layers,
        "head": c.head,
        "pooling": c.pooling,
        "padding": c.padding,
    }
    names = {name: f"d.params.{name}" for name in params} | {"inputs": "d.x"}

    def run(engine: Engine) -> Found:
        found = at.loss_and_grad(at.leaves(), engine)
        grads = {names.get(name, f"d.{name}"): leaf for name, leaf in found["grads"].items()}
        parts = {"loss": found["loss"], "output": found["output"], **grads}
        states = {f"states.{i}": leaf for i, leaf in enumerate(found["states"])}
        return parts | states | prefixed("statistics", found["statistics"])

    options = options_of(c, at.call["step_rescale"])
    return Composite("model", inputs | options, {"loss": np.ones((), dtype)}, run, run, at.terms)
