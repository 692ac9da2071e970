"""How s5ref computes each single operation, with the bound of every leaf: the two sides that are held against
the oracle's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.nn import activation, dropout, loss, norm, pool
from s5ref.ssm import discretize, phi
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.bounds import BOUNDS
from s5ref.verification.oracles.certify_limits import limits

Inputs = dict[str, Any]
Found = dict[str, Array]
Run = Callable[[Engine, Inputs, Any], Found]


def _pair(value: Callable[..., Any], vjp: Callable[..., Any], inputs: str, y: str = "y") -> Run:
    """A pair whose arguments are the inputs in order, and whose cotangents are those of the first of them."""

    def run(engine: Engine, i: Inputs, d: Any) -> Found:
        out, residuals = value(*i.values())
        cotangents = vjp(residuals, d[y])
        found = dict(
            zip(inputs.split(), cotangents if isinstance(cotangents, tuple) else (cotangents,), strict=True)
        )
        return {y: out} | {f"d.{name}": leaf for name, leaf in found.items() if leaf is not None}

    return run


def _field(name: str, inputs: str) -> Run:
    """The same for a kernel field. A flat argument is one sequence of one feature: (1, L, 1)."""

    def run(engine: Engine, i: Inputs, d: Any) -> Found:
        pair = getattr(engine, name)
        flat = d["y"].ndim == 1
        i, d = ({k: v[None, :, None] if flat else v for k, v in side.items()} for side in (i, d))
        found = _pair(pair.value, pair.vjp, inputs)(engine, i, d)
        return {k: v[0, :, 0] if flat else v for k, v in found.items()}

    return run


def _phi1(engine: Engine, i: Inputs, d: Any) -> Found:
    return {"y": phi.phi1(i["z"]), "d.z": np.conj(phi.phi1_prime(i["z"]))}


def _discretize(engine: Engine, i: Inputs, d: Any) -> Found:
    value, vjp = DISCRETIZATIONS[i["method"]]
    (Lambda_bar, gain), residuals = value(i["Lambda"], i["Delta"])
    dLambda, dDelta = vjp(residuals, (d["Lambda_bar"], d["gain"]))
    return {"Lambda_bar": Lambda_bar, "gain": gain, "d.Lambda": dLambda, "d.Delta": dDelta}


def _clip_eigs(engine: Engine, i: Inputs, d: Any) -> Found:
    x = i["Lambda_re"]
    return {"y": discretize.clip_eigs(x), "d.Lambda_re": discretize.clip_eigs_vjp(x, d["y"])}


def _scan(engine: Engine, i: Inputs, d: Any) -> Found:
    (x, last), residuals = engine.scan.value(i["Lambda_bar"], i["Bu"], i["x0"], i["reverse"])
    dLambda_bar, dBu, dx0 = engine.scan.vjp(residuals, (d["x"], d["x_last"]))
    return {"x": x, "x_last": last, "d.Lambda_bar": dLambda_bar, "d.Bu": dBu, "d.x0": dx0}


def _valid(i: Inputs) -> Array | None:
    if i["lengths"] is None:
        return None
    return np.asarray((np.arange(i["x"].shape[1])[None, :] < i["lengths"][:, None])[:, :, None])


def _batch_norm_arguments(i: Inputs) -> tuple[Any, ...]:
    return (
        i["x"],
        i["scale"],
        i["bias"],
        norm.Running(i["mean"], i["var"]),
        i["momentum"],
        i["training"],
        _valid(i),
    )


def _batch_norm(engine: Engine, i: Inputs, d: Any) -> Found:
    (y, running), residuals = engine.batch_norm.value(*_batch_norm_arguments(i))
    dx, dscale, dbias = engine.batch_norm.vjp(residuals, d["y"])
    return {"y": y, "mean": running.mean, "var": running.var, "d.x": dx, "d.scale": dscale, "d.bias": dbias}


def _mse(engine: Engine, i: Inputs, d: Any) -> Found:
    value, residuals = loss.mse(i["y"], i["target"], _valid({"x": i["y"], "lengths": i["lengths"]}))
    return {"loss": value, "d.y": loss.mse_vjp(residuals, d["loss"])}


RUNS: dict[str, Run] = {
    "phi1": _phi1,
    "discretize": _discretize,
    "clip_eigs": _clip_eigs,
    "scan": _scan,
    "batch_norm": _batch_norm,
    "mse": _mse,
    "timescale": _pair(discretize.timescale, discretize.timescale_vjp, "log_step", "Delta"),
    "embed": _field("embed", "kernel bias"),
    "linear": _field("linear", "x W bias"),
    "layer_norm": _field("layer_norm", "x scale bias"),
    "gelu_tanh": _field("gelu_tanh", "x"),
    "gelu_erf": _field("gelu_erf", "x"),
    "glu": _field("glu", "h z"),
    "sigmoid": lambda engine, i, d: {"y": activation.sigmoid(i["x"])},
    "dropout": lambda engine, i, d: {"y": dropout.dropout(**i), "d.x": dropout.dropout(d["y"], i["mask"])},
    "pool_mean": _pair(pool.pool_mean, pool.pool_vjp, "x"),
    "pool_last": _pair(pool.pool_last, pool.pool_vjp, "x"),
    "log_softmax": _pair(loss.log_softmax, loss.log_softmax_vjp, "z"),
    "cross_entropy": _pair(loss.cross_entropy, loss.cross_entropy_vjp, "log_probabilities", "loss"),
    "gaussian_nll": _pair(loss.gaussian_nll, loss.gaussian_nll_vjp, "mean var", "loss"),
}

FIELDS = {  # kernel field: the oracle's name of each leaf that has a bound
    "embed": {"y": "y", "d.0": "d.kernel", "d.1": "d.bias"},
    "linear": {"y": "y", "d.0": "d.x", "d.1": "d.W", "d.2": "d.bias"},
    "scan": {"y.0": "x", "y.1": "x_last", "d.0": "d.Lambda_bar", "d.1": "d.Bu", "d.2": "d.x0"},
    "gelu_tanh": {"y": "y", "d": "d.x"},
    "gelu_erf": {"y": "y", "d": "d.x"},
    "glu": {"y": "y", "d.0": "d.h", "d.1": "d.z"},
    "layer_norm": {"y": "y", "d.0": "d.x", "d.1": "d.scale", "d.2": "d.bias"},
    "batch_norm": {
        "y.0": "y",
        "y.1.mean": "mean",
        "y.1.var": "var",
        "d.0": "d.x",
        "d.1": "d.scale",
        "d.2": "d.bias",
    },
}


def bounds_of(stage: str, i: Inputs, d: Any) -> Found:
    """{leaf of the oracle: bound}, all arguments in float64; a leaf that is not there must be exact."""
    if stage not in FIELDS:
        of_stage: Found = limits(stage, i, d)
        return of_stage
    arguments = _batch_norm_arguments(i) if stage == "batch_norm" else tuple(i.values())
    found: Found = BOUNDS[stage](*arguments, (d["x"], d["x_last"]) if stage == "scan" else d["y"])
    return {name: found[path] for path, name in FIELDS[stage].items() if path in found}
