"""The stages on s5ref: from one discretisation to whole models, initialisation and the optimizer.

A stage is one function: (inputs, options, engine) → outputs, and the function that takes their cotangents to
those of the inputs, None where there are none. Functions are reached through their modules at the time of the
call, so that the mutants can replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.model import model as model_text
from s5ref.model import stack as stack_text
from s5ref.model import streaming as streaming_text
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.optim import OptimConfig
from s5ref.optim import adamw as optim_text
from s5ref.segments import Segments
from s5ref.ssm import resets as episodes
from s5ref.ssm import ssm as text
from s5ref.ssm import step as step_text
from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.stages.audit import audit
from s5ref.verification.conformance.stages.forms import joined, statistics, stored
from s5ref.verification.conformance.stages.stage import Answer, Arrays, Case, Inputs, Options

FIELDS = {field.name for field in fields(ModelConfig)}


def config_in(options: Options) -> dict[str, Any]:
    """The keywords of a `ModelConfig` among the options of a case."""
    return {name: value for name, value in options.items() if name in FIELDS}


def discretize(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(Lambda, Delta, method) → (Lambda_bar, gain)."""
    rule = text.DISCRETIZATIONS[options["method"]]
    (Lambda_bar, gain), residuals = rule.value(i["Lambda"], i["Delta"], None)

    def vjp(dy: Arrays) -> dict[str, Any]:
        dLambda, dDelta = rule.vjp(residuals, (dy["Lambda_bar"], dy["gain"]))
        return {"Lambda": dLambda, "Delta": dDelta}

    return {"Lambda_bar": Lambda_bar, "gain": gain}, vjp


def scan(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(Lambda_bar, Bu, x0, reverse) → (x, x_last); further resets and reset_state."""
    (x, x_last), residuals = episodes.scan_episodes(
        engine.scan, i["Lambda_bar"], i["Bu"], i.get("x0"), options["reverse"], i.get("resets"),
        i.get("reset_state"),
    )  # fmt: skip

    def vjp(dy: Arrays) -> dict[str, Any]:
        d = dy.get("x"), dy.get("x_last")
        dLambda_bar, dBu, dx0, _ = episodes.scan_episodes_vjp(engine.scan, residuals, d)
        return {"Lambda_bar": dLambda_bar, "Bu": dBu, "x0": dx0 if "x0" in i else None}

    return {"x": x, "x_last": x_last}, vjp


def _call(i: Inputs, options: Options, engine: Engine) -> Call:
    return Call(
        engine, training=options.get("train", False), step_rescale=options.get("step_rescale", 1.0),
        intervals=i.get("intervals"), resets=i.get("resets"), key=(options.get("seed", 0), 0),
    )  # fmt: skip


def ssm(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(params, u, x0, bidirectional, step_rescale, intervals) → y, where it is asked for x_last; further
    resets.
    """
    kind, call = ModelConfig(**config_in(options)).ssm_options(), _call(i, options, engine)
    (y, x_last), residuals = text.ssm(stored(i["params"]), i["u"], kind, call, i.get("x0"))

    def vjp(dy: Arrays) -> dict[str, Any]:
        dparams, du, dx0 = text.ssm_vjp(residuals, (dy["y"], dy.get("x_last")), kind, call)
        return prefixed("params", joined(dparams)) | {"u": du, "x0": dx0 if "x0" in i else None}

    return {"y": y} | ({"x_last": x_last} if options.get("final_state") else {}), vjp


def layer(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(params, x, train, masks) → (y, statistics); where there are no masks, those that it draws with the
    options ``dropout`` and ``seed``.
    """
    config, call, x = ModelConfig(**config_in(options)), _call(i, options, engine), i["x"]
    kind = config.block_options()
    implementation = engine.layer(kind, call.conditions(x.dtype))
    [drawn] = stack_text.draw_masks(1, len(x), x.shape[-1], config.dropout, call, x)
    masks = i.get("masks", drawn)
    out, residuals = implementation.value(
        stored(i["params"]), x, kind, call, statistics(i["params"]), masks, None
    )

    def vjp(dy: Arrays) -> dict[str, Any]:
        dparams, dx, _ = implementation.vjp(residuals, (dy["y"], None), kind, call)
        return prefixed("params", joined(dparams)) | {"x": dx}

    return {"y": out.y} | prefixed("statistics", out.statistics), vjp


def model_of(params: Mapping[str, Array], options: Options) -> model_text.Model:
    """The model that the options and the shapes of the parameters describe."""
    kept, features = params["layers_0.seq.B"].shape
    decoder = params["decoder.layer2.kernel" if options.get("head") == "retrieval" else "decoder.kernel"]
    sizes = {
        "n_layers": len({name.split(".")[0] for name in params if name.startswith("layers_")}),
        "d_model": features,
        "ssm_size": 2 * kept if options.get("conj_sym", True) else kept,
        "in_dim": len(params["encoder.kernel"]),
        "n_classes": decoder.shape[1],
    }
    return model_text.Model(ModelConfig(**config_in(options) | sizes))


def with_head(params: Mapping[str, Array], options: Options) -> tuple[Mapping[str, Array], Options]:
    """Parameters and options of a model; of one without a head those of a regression by the identity."""
    if options.get("head") != "none":
        return params, options
    bias = params["encoder.bias"]
    identity = {"decoder.kernel": np.eye(len(bias), dtype=bias.dtype), "decoder.bias": 0 * bias}
    return {**params, **identity}, {**options, "head": "regression"}


def model(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(params, x, lengths) → log-probabilities; of a regression, its values; without a head, the features;
    further intervals, resets, and segments, the ids of packed rows.
    """
    params, options = with_head(i["params"], options)
    whole, call = model_of(params, options), _call(i, options, engine)
    segments = Segments.of(i["segments"]) if "segments" in i else None
    batch = Batch(i["x"], None, i.get("lengths"), i.get("intervals"), i.get("resets"), segments)
    forward, residuals = whole.value(stored(params), statistics(params), batch, call)

    def vjp(dy: Arrays) -> dict[str, Any]:
        dparams, dx, _ = whole.vjp(residuals, dy["log_probabilities"])
        given = {name: d for name, d in joined(dparams).items() if name in i["params"]}
        return prefixed("params", given) | {"x": dx}

    return {"log_probabilities": forward.output}, vjp


def step(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(params, state, u_k) → (state, y_k), of one SSM, or of a stack of layers with a regression head."""
    u = i["u_k"]
    params, options = with_head(i["params"], options)
    rescale = options.get("step_rescale", 1.0)
    if options["of"] == "ssm":
        kind = ModelConfig(**config_in(options)).ssm_options()
        stepper = step_text.stepper(stored(params), kind, rescale)
        state, y = step_text.step(stepper, i["state"], u)
        return {"state": state, "y": y}, None
    whole = model_of(params, {**options, "head": "regression"})
    stream = streaming_text.streaming(whole, stored(params), statistics(params), engine, rescale)
    before = stream.initial_state(len(u))._replace(states=tuple(i["state"]))
    after, y = stream.step(before, u)
    return {f"state.{n}": state for n, state in enumerate(after.states)} | {"y": y}, None


def init(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(config, seed) → params, of which `audit` says what must hold whatever the random numbers are."""
    params, _ = model_text.Model(ModelConfig(**config_in(options))).init(options["seed"], options["dtype"])
    return audit(joined(params), options), None


class Update(NamedTuple):
    """The arguments of `s5ref.optim.adamw.adamw`, real leaves."""

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


def update(i: Inputs, options: Options, engine: Engine) -> Answer:
    """(params, grads, moments, k) → (params, moments), k = 0 at the first update, rates and decay
    constant."""
    params, moments = optim_text.adamw(*Update.of(i, options))
    return updated(params, *moments), None


def updated(params: Mapping[str, Array], first: Mapping[str, Array], second: Mapping[str, Array]) -> Arrays:
    """The outputs of an update, from real leaves."""
    kinds = {"params": params, "moments.first": first, "moments.second": second}
    return {name: leaf for kind, real in kinds.items() for name, leaf in prefixed(kind, joined(real)).items()}


STAGES = {stage.__name__: stage for stage in (discretize, scan, ssm, layer, model, step, init, update)}


def convention(d: Array) -> Array:
    """A complex cotangent as it is handed out: ∂L/∂Re z + i ∂L/∂Im z."""
    return d


def handed_out(cotangents: Mapping[str, Array | None]) -> Arrays:
    """Cotangents in the convention; None left out."""
    return {
        name: convention(d) if d.dtype.kind == "c" else d for name, d in cotangents.items() if d is not None
    }


def computed(case: Case, engine: Engine) -> Arrays:
    """All outputs and cotangents of a case by the reference, with an engine.

    Returns
    -------
    dict
        Outputs by name (``y``, ``statistics.norm.mean``); the cotangent of the input ``params.B`` as
        ``dparams.B``, in the convention ∂L/∂Re z + i ∂L/∂Im z. Cotangents only where the case gives those of
        the outputs.
    """
    outputs, vjp = STAGES[case.stage](case.inputs, case.options, engine)
    if not case.cotangent or vjp is None:
        return outputs
    return outputs | {f"d{name}": d for name, d in handed_out(vjp(case.cotangent)).items()}
