"""The stages of whole models on s5ref: model, step, init, update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.model import model as model_text
from s5ref.model import streaming as streaming_text
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.ssm import ssm as ssm_text
from s5ref.ssm import step as step_text
from s5ref.train import optim as optim_text
from s5ref.train.config import OptimConfig
from s5ref.tree import prefixed, subtree
from s5ref.verification.stages.audit import audit
from s5ref.verification.stages.forms import is_statistic, joined, statistics, stored
from s5ref.verification.stages.layers import CONFIG, config_of, handed_out
from s5ref.verification.stages.stage import Arrays, Inputs, Options, Stage

INIT = ("n_layers", "d_model", "ssm_size", "blocks", "in_dim", "n_classes", "c_init", "dt_min", "dt_max")


def model_of(params: Mapping[str, Array], options: Options) -> model_text.Model:
    """The model that the options and the shapes of the parameters describe."""
    layer = config_of(params, options, "layers_0.")
    decoder = params["decoder.layer2.kernel" if options.get("head") == "retrieval" else "decoder.kernel"]
    config = ModelConfig(
        **{name: getattr(layer, name) for name in (*CONFIG, "d_model", "ssm_size")},
        n_layers=len({name.split(".")[0] for name in params if name.startswith("layers_")}),
        in_dim=params["encoder.kernel"].shape[0],
        n_classes=decoder.shape[1],
        **{name: options[name] for name in ("head", "pooling", "padding") if name in options},
    )
    return model_text.Model(config)


def _forward(i: Inputs, options: Options, engine: Engine) -> tuple[model_text.Model, Call, Any, Any]:
    found = model_of(i["params"], options)
    call = Call(engine, training=options.get("train", False), step_rescale=options.get("step_rescale", 1.0))
    batch = Batch(i["x"], None, i.get("lengths"))
    forward, residuals = found.forward(stored(i["params"]), statistics(i["params"]), batch, call)
    return found, found.arranged(batch, call)[2], forward, residuals


def model(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, x, lengths) → log-probabilities; of a regression, its values at every step."""
    _, _, forward, _ = _forward(i, options, engine)
    return {"log_probabilities": forward.output}


def model_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    found, call, _, residuals = _forward(i, options, engine)
    dparams, dx, _ = found.backward(residuals, dy["log_probabilities"], call)
    return handed_out(prefixed("params", joined(dparams)) | {"x": dx})


def step(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, state, u_k) → (state, y_k), of one SSM, or of a stack of layers with a regression head."""
    params, u = i["params"], i["u_k"]
    rescale = options.get("step_rescale", 1.0)
    if options["of"] == "ssm":
        kind = ssm_text.SSMOptions(
            conj_sym=options.get("conj_sym", True),
            discretization=ssm_text.DISCRETIZATIONS[options.get("discretization", "zoh")],
        )
        state, y = step_text.step(step_text.stepper(stored(params), kind, rescale), i["state"], u)
        return {"state": state, "y": y}
    found = model_of(params, {**options, "head": "regression"})
    stream = streaming_text.streaming(
        found, stored(params), statistics(params), Call(engine, step_rescale=rescale)
    )
    before = streaming_text.StreamState(
        tuple(i["state"]), np.zeros_like(u, shape=(len(u), found.config.d_model)), 0
    )
    after, y = stream.step(before, u)
    return {f"state.{n}": state for n, state in enumerate(after.states)} | {"y": y}


def init(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(config, seed) → params, of which `audit` says what must hold whatever the random numbers are."""
    words = {name: options[name] for name in (*INIT, *CONFIG) if name in options}
    params, _ = model_text.Model(ModelConfig(**words)).init(options["seed"], options["dtype"])
    return audit(joined(params), options)


def update(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, grads, moments, k) → (params, moments), k = 0 at the first update, rates and decay
    constant."""
    config = OptimConfig(
        **{name: options[name] for name in ("opt_config", "dt_global", "ssm_lr", "lr", "weight_decay")}
    )
    params, grads = stored(i["params"]), stored(i["grads"])
    moments = optim_text.Moments(
        stored(subtree(i["moments"], "first")), stored(subtree(i["moments"], "second"))
    )
    groups = optim_text.group_table(params, config)
    rates = {"ssm_lr": config.ssm_lr, "lr": config.lr}
    params, moments = optim_text.adamw(params, grads, moments, options["k"] + 1, groups, rates)
    found = prefixed("params", joined(params))
    found |= prefixed("moments.first", joined(moments.first))
    return found | prefixed("moments.second", joined(moments.second))


def none(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    """A stage without cotangents."""
    return {}


MODEL_STAGES = (
    Stage(
        "model",
        ("params", "x", "lengths"),
        ("log_probabilities",),
        model,
        model_vjp,
        optional=("lengths",),
        differentiable=("params", "x"),
    ),
    Stage("step", ("params", "state", "u_k"), ("state", "y"), step, none),
    Stage("init", (), ("Lambda", "B", "C", "D", "log_step", "kernel", "constant"), init, none),
    Stage("update", ("params", "grads", "moments"), ("params", "moments"), update, none),
)

__all__ = ["MODEL_STAGES", "is_statistic", "model_of"]
