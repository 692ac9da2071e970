"""What is certified of each problem: the parts of one layer, and the whole model, with what the oracle is
given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.engines import SEQUENTIAL
from s5ref.model.config import ACTIVATIONS
from s5ref.model.stack import draw_masks
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.ssm.step import step, stepper
from s5ref.tree import subtree
from s5ref.verification.draws import Normal
from s5ref.verification.proofs.oracles.model import LayerOptions
from s5ref.verification.proofs.oracles.ssm import SSMOptions
from s5ref.verification.rounding.budget import accumulated, cast
from s5ref.verification.rounding.operation_bounds import likelihood_and_loss, softmax_and_loss
from s5ref.verification.selfcheck.problems import Problem

Run = Callable[[Engine], dict[str, Any]]


class Composite(NamedTuple):
    """A stage of the oracle with its inputs and cotangents, what computes a tree of the same leaves with an
    engine, the terms of its longest sum, and what its budget is taken from where that is another function.

    ``bounds`` are those of leaves that no kernel has a part in, in units of eps: composite budgets know
    nothing of them. ``besides`` is what operations that are no kernel add to a leaf, in units of eps.
    """

    stage: str
    inputs: Mapping[str, Any]
    cotangent: Mapping[str, Any] | None
    run: Run
    terms: int
    budget_of: Run | None = None
    bounds: Mapping[str, Array] = {}
    besides: Mapping[str, Array] = {}


class Layer(NamedTuple):
    """The first layer of a problem, with its input, initial state, and the cotangents of both outputs."""

    at: Problem
    params: dict[str, Array]
    statistics: dict[str, Array]
    x: Array
    x0: Array | None
    dy: Array
    dlast: Array | None
    masks: Any
    lengths: Array | None
    intervals: Array | None
    resets: Array | None

    @property
    def terms(self) -> int:
        return int(self.x[..., 0].size)

    def call(self, engine: Engine) -> Call:
        steps, lengths = np.arange(self.x.shape[1])[None, :, None], self.lengths
        valid = None if lengths is None else steps < lengths[:, None, None]
        return Call(engine, **self.at.call, intervals=self.intervals, valid=valid, resets=self.resets)

    def inputs(self, kind: Any, **inputs: Any) -> dict[str, Any]:
        """What the oracle is given: these inputs, and the options of ``kind``."""
        return inputs | options_of(self.at, kind)


def options_of(at: Problem, kind: Any) -> dict[str, Any]:
    """The options of the oracle's ``kind``, LayerOptions or SSMOptions."""
    every = {**vars(at.model.config), **at.call}
    return {name: every[name] for name in kind._fields}


def _ssm(layer: Layer) -> Run:
    options, params = layer.at.model.options.ssm, subtree(layer.params, "seq")

    def run(engine: Engine) -> dict[str, Any]:
        call = layer.call(engine)
        (y, last), residuals = ssm(params, layer.x, options, call, layer.x0)
        dparams, du, dx0 = ssm_vjp(residuals, (layer.dy, layer.dlast), options, call)
        d = {"params": dparams, "u": du, "x0": None if layer.x0 is None else dx0}
        return {"y": y, "x_last": last, "d": d}

    return run


def ssm_composite(layer: Layer) -> Composite:
    inputs = layer.inputs(
        SSMOptions, params=subtree(layer.params, "seq"), u=layer.x, x0=layer.x0, intervals=layer.intervals,
        lengths=layer.lengths, resets=layer.resets,
    )  # fmt: skip
    size = np.abs(layer.x * layer.dy).astype(np.float64).sum((0, 1))
    bounds = {"d.params.D": accumulated(layer.terms) * size}
    cotangent = {"y": layer.dy, "x_last": layer.dlast}
    return Composite("ssm", inputs, cotangent, _ssm(layer), layer.terms, bounds=bounds)


def step_composite(layer: Layer) -> Composite:
    params, u = subtree(layer.params, "seq"), layer.x[:, 0]
    inputs = layer.inputs(SSMOptions, params=params, state=layer.x0, u=u)
    del inputs["bidirectional"]
    first = layer._replace(x=layer.x[:, :1], dy=layer.dy[:, :1], lengths=None, intervals=None, resets=None)

    def run(engine: Engine) -> dict[str, Any]:
        assert layer.x0 is not None
        once = stepper(params, layer.at.model.options.ssm, layer.at.call["step_rescale"])
        state, y = step(once, layer.x0, u)
        return {"state": state, "y": y}

    def sequence(engine: Engine) -> dict[str, Any]:
        outcome = _ssm(first)(engine)
        return {"state": outcome["x_last"], "y": outcome["y"][:, 0]}

    return Composite("step", inputs, None, run, 1, sequence)


def mix_composite(layer: Layer) -> Composite:
    c, gelu = layer.at.model.config, layer.at.model.options.gelu
    params = {name: leaf for name, leaf in layer.params.items() if name.startswith("out")}

    def run(engine: Engine) -> dict[str, Any]:
        pair, call = ACTIVATIONS[c.activation], Call(engine, **layer.at.call)
        y, residuals = pair.value(params, layer.x, layer.masks, gelu(engine), call)
        dparams, dx = pair.vjp(residuals, layer.dy, gelu(engine), call)
        return {"y": y, "d": {"params": dparams, "y": dx}}

    inputs = {
        "params": params, "y": layer.x, "masks": layer.masks, "activation": c.activation, "gelu": c.gelu,
    }  # fmt: skip
    return Composite("mix", inputs, {"y": layer.dy}, run, layer.terms)


def layer_composite(layer: Layer) -> Composite:
    params, statistics, options = layer.params, layer.statistics, layer.at.model.options

    def run(engine: Engine) -> dict[str, Any]:
        call = layer.call(engine)
        own = engine.layer(options, call.conditions(layer.x.dtype))
        out, residuals = own.value(params, layer.x, options, call, statistics, layer.masks, layer.x0)
        dparams, dx, dx0 = own.vjp(residuals, (layer.dy, layer.dlast), options, call)
        d = {"params": dparams, "x": dx, "x0": None if layer.x0 is None else dx0}
        return {**out._asdict(), "d": d}

    inputs = layer.inputs(
        LayerOptions, params=params, x=layer.x, x0=layer.x0, train=layer.at.call["training"],
        statistics=statistics, masks=layer.masks, intervals=layer.intervals, lengths=layer.lengths,
        resets=layer.resets,
    )  # fmt: skip
    return Composite("layer", inputs, {"y": layer.dy, "state": layer.dlast}, run, layer.terms)


def composites(at: Problem, dtype: Any) -> list[Composite]:
    """The first layer of a problem, its SSM, one step of it, its mix, and the whole model, in ``dtype``."""
    at, c, n = at.cast(dtype), at.model.config, Normal("certify", at.group, at.name)
    retrieval = c.head == "retrieval"
    N, L = at.batch.inputs.shape[0], at.batch.inputs.shape[2 if retrieval else 1]
    N = 2 * N if retrieval else N
    state = N, c.state_size
    x0, dlast = (None, None) if c.bidirectional else cast((n.complex(*state), n.complex(*state)), dtype)
    masks = draw_masks(
        c.n_layers, N, c.d_model, c.dropout, Call(SEQUENTIAL, **at.call), at.params["encoder.kernel"]
    )
    layer = Layer(
        at, subtree(at.params, "layers_0"), subtree(at.statistics, "layers_0"),
        cast(n(N, L, c.d_model), dtype), x0, cast(n(N, L, c.d_model), dtype), dlast, masks[0],
        None if retrieval or c.padding != "masked" else at.batch.lengths,
        None if retrieval else at.batch.intervals, None if retrieval else at.batch.resets,
    )  # fmt: skip
    return [
        ssm_composite(layer), *([] if c.bidirectional else [step_composite(layer)]), mix_composite(layer),
        layer_composite(layer), _encoder(at, n) if c.encoder == "image" else _model(at, masks),
    ]  # fmt: skip


def _encoder(at: Problem, n: Normal) -> Composite:
    """The image encoder with fewer channels than a model has, and so few parameters: each is a direction
    of the dual numbers.
    """
    dtype, pair = at.params["encoder.kernel"].dtype, at.model.encoder.apply
    appends = at.model.config.intervals == "appended"
    shapes = {"conv1": (5, 5, 1, 2), "conv2": (3, 3, 2, 3), "dense": (3, 4), "": (4 + appends, 3)}
    params = {}
    for name, shape in shapes.items():
        for leaf, of in (("kernel", shape), ("bias", shape[-1:])):
            params[f"{name}.{leaf}".lstrip(".")] = n(*of)
    params, x, dy = cast((params, n(1, 2, 64), n(1, 2, 3)), dtype)
    intervals = cast(np.exp(n(1, 2)), dtype) if appends else None

    def run(engine: Engine) -> dict[str, Any]:
        call = Call(engine, intervals=intervals)
        y, residuals = pair.value(params, x, call)
        dparams, dx = pair.vjp(residuals, dy, call)
        return {"y": y, "d": {"params": dparams, "x": dx}}

    inputs = {"params": params, "x": x, "appended": intervals}
    return Composite("image_encoder", inputs, {"y": dy}, run, terms=32)  # squares of two images


def _model(at: Problem, masks: Any) -> Composite:
    c, batch = at.model.config, at.batch
    inputs = {
        "params": at.params, "x": batch.inputs, "train": at.call["training"], "statistics": at.statistics,
        "masks": masks, "states": at.states, "lengths": batch.lengths, "intervals": batch.intervals,
        "resets": batch.resets,
        "targets": batch.targets, "n_layers": c.n_layers, "head": c.head, "pooling": c.pooling,
        "padding": c.padding, "event_stride": c.event_stride, "event_every": c.event_every,
        "event_pooling": c.event_pooling, "encoder": c.encoder, "use_of_intervals": c.intervals,
    }  # fmt: skip
    names = {name: f"params.{name}" for name in at.params} | {"inputs": "x"}

    def run(engine: Engine) -> dict[str, Any]:
        outcome = at.loss_and_grad(at.leaves(), engine)
        d = {names.get(name, name): leaf for name, leaf in outcome.pop("grads").items()}
        return {**outcome, "d": d}

    besides: Mapping[str, Array] = {}
    if at.model.head.classifies:
        besides = softmax_and_loss(run(SEQUENTIAL)["output"], batch.targets)
    elif at.model.head.numbers == 2:
        assert batch.targets is not None
        lengths = batch.lengths if c.padding == "masked" else None
        besides = likelihood_and_loss(run(SEQUENTIAL)["output"], batch.targets, lengths)
    one = {"loss": np.ones((), at.params["encoder.kernel"].dtype)}
    inputs |= options_of(at, LayerOptions)
    return Composite("model", inputs, one, run, at.terms, besides=besides)
