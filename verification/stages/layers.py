"""The stages up to one layer on s5ref: discretize, scan, ssm, layer.

Functions are reached through their modules at the time of the call, so that `s5ref.verification.mutants` can
replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.model.config import ModelConfig
from s5ref.ssm import ssm as text
from s5ref.tree import prefixed
from s5ref.verification.stages.forms import joined, statistics, stored
from s5ref.verification.stages.stage import Arrays, Inputs, Options, Stage

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


def _layer_arguments(i: Inputs, options: Options, engine: Engine) -> tuple[Any, ...]:
    kind = config_of(i["params"], options).block_options()
    call = Call(
        engine,
        training=options.get("train", False),
        step_rescale=options.get("step_rescale", 1.0),
    )
    masks = i.get("masks", (None, None))
    return stored(i["params"]), i["x"], kind, call, statistics(i["params"]), masks, None


def layer(i: Inputs, options: Options, engine: Engine) -> Arrays:
    """(params, x, train, masks) → (y, statistics)."""
    out, _ = engine.block.value(*_layer_arguments(i, options, engine))
    return {"y": out.y} | prefixed("statistics", out.statistics)


def layer_vjp(i: Inputs, options: Options, dy: Arrays, engine: Engine) -> Arrays:
    arguments = _layer_arguments(i, options, engine)
    _, residuals = engine.block.value(*arguments)
    dparams, dx, _ = engine.block.vjp(residuals, (dy["y"], None), arguments[2], arguments[3])
    return handed_out(prefixed("params", joined(dparams)) | {"x": dx})


LAYER_STAGES = (
    Stage(
        "discretize",
        ("Lambda", "Delta"),
        ("Lambda_bar", "gain"),
        discretize,
        discretize_vjp,
        differentiable=("Lambda", "Delta"),
    ),
    Stage(
        "scan",
        ("Lambda_bar", "Bu", "x0"),
        ("x", "x_last"),
        scan,
        scan_vjp,
        optional=("x0",),
        differentiable=("Lambda_bar", "Bu", "x0"),
    ),
    Stage(
        "ssm",
        ("params", "u", "x0", "intervals"),
        ("y",),
        ssm,
        ssm_vjp,
        optional=("x0", "intervals"),
        differentiable=("params", "u", "x0"),
    ),
    Stage(
        "layer",
        ("params", "x", "masks"),
        ("y", "statistics"),
        layer,
        layer_vjp,
        optional=("masks",),
        differentiable=("params", "x"),
    ),
)
