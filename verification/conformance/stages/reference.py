"""The stages on s5ref: from one discretisation to whole models, initialisation and the optimizer.

Functions are reached through their modules at the time of the call, so that the mutants can replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine, Implementation
from s5ref.model import model as model_text
from s5ref.model import streaming as streaming_text
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.optim import OptimConfig
from s5ref.optim import adamw as optim_text
from s5ref.ssm import ssm as ssm_text
from s5ref.ssm import ssm as text
from s5ref.ssm import step as step_text
from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.stages.audit import audit
from s5ref.verification.conformance.stages.forms import is_statistic, joined, statistics, stored
from s5ref.verification.conformance.stages.stage import Arrays, Inputs, Options, Stage

CONFIG = (  # options of a layer that are words or numbers of ModelConfig
    "activation",
    "gelu",
    "norm",
    "prenorm",
    "bn_momentum",
    "bidirectional",
    "conj_sym",
    "clip_eigs",
    "discretization",
)


def convention(d: Array) -> Array:
    """A complex cotangent as it is handed out: ∂L/∂Re z + i ∂L/∂Im z."""
    return d


def handed_out(cotangents: Mapping[str, Array | None]) -> Arrays:
    """Named as outputs, in the convention; None left out."""
    return {
        f"d{name}": convention(d) if d.dtype.kind == "c" else d
        for name, d in cotangents.items()
        if d is not None
    }


def discretize(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(Lambda, Delta, method) → (Lambda_bar, gain)."""
    value = text.DISCRETIZATIONS[options["method"]].value
    (Lambda_bar, gain), _ = value(i["Lambda"], i["Delta"])
    return {"Lambda_bar": Lambda_bar, "gain": gain}


def discretize_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    value, vjp = text.DISCRETIZATIONS[options["method"]]
    _, residuals = value(i["Lambda"], i["Delta"])
    dLambda, dDelta = vjp(residuals, (dy["Lambda_bar"], dy["gain"]))
    return handed_out({"Lambda": dLambda, "Delta": dDelta})


def scan(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(Lambda_bar, Bu, x0, reverse) → (x, x_last)."""
    (x, x_last), _ = engine.scan.value(i["Lambda_bar"], i["Bu"], i.get("x0"), options["reverse"])
    return {"x": x, "x_last": x_last}


def scan_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    _, residuals = engine.scan.value(i["Lambda_bar"], i["Bu"], i.get("x0"), options["reverse"])
    dLambda_bar, dBu, dx0 = engine.scan.vjp(residuals, (dy.get("x"), dy.get("x_last")))
    return handed_out({"Lambda_bar": dLambda_bar, "Bu": dBu, "x0": dx0 if "x0" in i else None})


def _ssm_call(i: Inputs, options: Options, engine: Engine) -> tuple[text.SSMOptions, Call]:
    kind = text.SSMOptions(
        options.get("conj_sym", True),
        options.get("bidirectional", False),
        options.get("clip_eigs", False),
        text.DISCRETIZATIONS[options.get("discretization", "zoh")],
    )
    return kind, Call(engine, step_rescale=options.get("step_rescale", 1.0), intervals=i.get("intervals"))


def ssm(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, u, x0, bidirectional, step_rescale, intervals) → y."""
    kind, call = _ssm_call(i, options, engine)
    (y, _), _ = text.ssm(stored(i["params"]), i["u"], kind, call, i.get("x0"))
    return {"y": y}


def ssm_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    kind, call = _ssm_call(i, options, engine)
    _, residuals = text.ssm(stored(i["params"]), i["u"], kind, call, i.get("x0"))
    dparams, du, dx0 = text.ssm_vjp(residuals, (dy["y"], None), kind, call)
    return handed_out(prefixed("params", joined(dparams)) | {"u": du, "x0": dx0 if "x0" in i else None})


def config_of(params: Mapping[str, Array], options: Options, prefix: str = "") -> ModelConfig:
    """The configuration that the options and the shapes of the parameters describe."""
    kept, features = params[f"{prefix}seq.B"].shape
    chosen = {name: options[name] for name in CONFIG if name in options}
    factor = 2 if options.get("conj_sym", True) else 1
    return ModelConfig(**{"n_layers": 1, "d_model": features, "ssm_size": factor * kept, **chosen})


def _layer(i: Inputs, options: Options, engine: Engine) -> tuple[Implementation, tuple[Any, ...]]:
    kind = config_of(i["params"], options).block_options()
    call = Call(
        engine,
        training=options.get("train", False),
        step_rescale=options.get("step_rescale", 1.0),
    )
    masks = i.get("masks", (None, None))
    arguments = stored(i["params"]), i["x"], kind, call, statistics(i["params"]), masks, None
    return engine.layer(kind, call.conditions(i["x"].dtype)), arguments


def layer(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, x, train, masks) → (y, statistics)."""
    implementation, arguments = _layer(i, options, engine)
    out, _ = implementation.value(*arguments)
    return {"y": out.y} | prefixed("statistics", out.statistics)


def layer_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    implementation, arguments = _layer(i, options, engine)
    _, residuals = implementation.value(*arguments)
    dparams, dx, _ = implementation.vjp(residuals, (dy["y"], None), arguments[2], arguments[3])
    return handed_out(prefixed("params", joined(dparams)) | {"x": dx})


LAYER_STAGES = (
    Stage("discretize", discretize, discretize_vjp),
    Stage("scan", scan, scan_vjp),
    Stage("ssm", ssm, ssm_vjp),
    Stage("layer", layer, layer_vjp),
)


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


def _forward(i: Inputs, options: Options, engine: Engine) -> tuple[model_text.Model, Any, Any]:
    found = model_of(i["params"], options)
    call = Call(engine, training=options.get("train", False), step_rescale=options.get("step_rescale", 1.0))
    batch = Batch(i["x"], None, i.get("lengths"))
    return found, *found.value(stored(i["params"]), statistics(i["params"]), batch, call)


def model(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, x, lengths) → log-probabilities; of a regression, its values at every step."""
    _, forward, _ = _forward(i, options, engine)
    return {"log_probabilities": forward.output}


def model_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    found, _, residuals = _forward(i, options, engine)
    dparams, dx, _ = found.vjp(residuals, dy["log_probabilities"])
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
    stream = streaming_text.streaming(found, stored(params), statistics(params), engine, rescale)
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


class Update(NamedTuple):
    """The arguments of `s5ref.train.optim.adamw`, real leaves."""

    params: dict[str, Array]
    grads: dict[str, Array]
    moments: optim_text.Moments
    number: int
    groups: Mapping[str, optim_text.Group]
    rates: Mapping[str, float]

    @classmethod
    def of(cls, i: Inputs, options: Options) -> Update:
        """Those that a case describes; the first update is number 1."""
        words = ("opt_config", "dt_global", "ssm_lr", "lr", "weight_decay")
        config = OptimConfig(**{name: options[name] for name in words})
        params = stored(i["params"])
        moments = (stored(subtree(i["moments"], kind)) for kind in ("first", "second"))
        groups, rates = optim_text.group_table(params, config), {"ssm_lr": config.ssm_lr, "lr": config.lr}
        number = options["k"] + 1
        return cls(params, stored(i["grads"]), optim_text.Moments(*moments), number, groups, rates)


def update(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, grads, moments, k) → (params, moments), k = 0 at the first update, rates and decay
    constant."""
    given = Update.of(i, options)
    params, moments = optim_text.adamw(*given)
    found = prefixed("params", joined(params))
    found |= prefixed("moments.first", joined(moments.first))
    return found | prefixed("moments.second", joined(moments.second))


MODEL_STAGES = (
    Stage("model", model, model_vjp), Stage("step", step), Stage("init", init), Stage("update", update),
)  # fmt: skip

__all__ = ["MODEL_STAGES", "is_statistic", "model_of"]
