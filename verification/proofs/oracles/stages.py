"""Every stage by name, as a function of one tree of inputs: what vectors are generated from and candidates
judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.errors import S5Error
from s5ref.tree import leaves
from s5ref.verification.proofs.oracles import nn, ssm
from s5ref.verification.proofs.oracles.balls import BITS, Balls, Floats, enclose, is_float, rounded
from s5ref.verification.proofs.oracles.dual import differentiated, evaluated
from s5ref.verification.proofs.oracles.elementary import phi1
from s5ref.verification.proofs.oracles.model import LayerOptions, ModelOptions, layer, model

Inputs = Mapping[str, Any]


class Stage(NamedTuple):
    """value(inputs) → tree of outputs; inputs below the names in ``constant`` are given numbers, not
    differentiated."""

    value: Callable[[Inputs], Mapping[str, Any]]
    constant: tuple[str, ...] = ()


def _options(i: Inputs, kind: type[Any], *inputs: str) -> tuple[Any, dict[str, Any]]:
    """The options of ``kind`` among the inputs, and the rest without ``inputs``."""
    options = kind(**{name: i[name] for name in kind._fields if name in i})
    return options, {name: value for name, value in i.items() if name not in (*kind._fields, *inputs)}


def _named(names: str, values: Any) -> dict[str, Any]:
    return dict(zip(names.split(), values if isinstance(values, tuple) else (values,), strict=True))


def _plain(fn: Callable[..., Any], names: str = "y") -> Callable[[Inputs], dict[str, Any]]:
    """A function whose parameters are the inputs by name."""
    return lambda i: _named(names, fn(**i))


def _discretize(i: Inputs) -> dict[str, Any]:
    return _named("Lambda_bar gain", ssm.DISCRETIZATIONS[i.get("method", "zoh")](i["Lambda"], i["Delta"]))


def _mix(i: Inputs) -> dict[str, Any]:
    return {
        "y": nn.mix(
            i["activation"], i.get("gelu", "tanh"), i.get("params", {}), i["y"], i.get("masks", (None, None))
        )
    }


def _layer(i: Inputs) -> dict[str, Any]:
    options, rest = _options(i, LayerOptions, "params", "x")
    given: dict[str, Any] = {"train": False, "statistics": {}} | rest
    return dict(layer(i["params"], i["x"], options, **given)._asdict())


def _model(i: Inputs) -> dict[str, Any]:
    """The options of the layers stand among those of the model."""
    options, rest = _options(i, LayerOptions)
    names = [name for name in ModelOptions._fields if name in rest]
    options = ModelOptions(layer=options, **{name: rest.pop(name) for name in names})
    return dict(model(rest.pop("params"), rest.pop("x"), options, **rest)._asdict())


STAGES: dict[str, Stage] = {
    "phi1": Stage(lambda i: {"y": phi1(i["z"])}),
    "discretize": Stage(_discretize),
    "timescale": Stage(_plain(ssm.timescale, "Delta"), ("intervals", "rescale")),
    "clip_eigs": Stage(_plain(ssm.clip_eigs)),
    "scan": Stage(_plain(ssm.scan, "x x_last")),
    "ssm": Stage(_plain(ssm.ssm, "y x_last"), ("intervals", "step_rescale")),
    "step": Stage(_plain(ssm.step, "state y"), ("step_rescale",)),
    "linear": Stage(_plain(nn.linear)),
    "embed": Stage(_plain(nn.embed)),
    "layer_norm": Stage(_plain(nn.layer_norm)),
    "batch_norm": Stage(_plain(nn.batch_norm, "y mean var"), ("mean", "var", "momentum")),
    "sigmoid": Stage(_plain(nn.sigmoid)),
    "gelu_tanh": Stage(_plain(nn.gelu_tanh)),
    "gelu_erf": Stage(_plain(nn.gelu_erf)),
    "glu": Stage(_plain(nn.glu)),
    "dropout": Stage(_plain(nn.dropout), ("mask",)),
    "mix": Stage(_mix, ("masks",)),
    "pool_mean": Stage(_plain(nn.pool_mean)),
    "pool_last": Stage(_plain(nn.pool_last)),
    "log_softmax": Stage(_plain(nn.log_softmax)),
    "cross_entropy": Stage(_plain(nn.cross_entropy, "loss")),
    "mse": Stage(_plain(nn.mse, "loss"), ("target",)),
    "gaussian_nll": Stage(_plain(nn.gaussian_nll, "loss"), ("target",)),
    "layer": Stage(_layer, ("statistics", "masks", "intervals", "bn_momentum", "step_rescale")),
    "model": Stage(_model, ("statistics", "masks", "intervals", "targets", "bn_momentum", "step_rescale")),
}


def enclosures(
    stage: str, inputs: Inputs, cotangent: Mapping[str, Any] | None = None, bits: int = BITS
) -> dict[str, Balls]:
    """Enclosures of every output leaf; with the cotangents of outputs, also ``d.<input leaf>``: the cotangent
    of every input."""
    if stage not in STAGES:
        raise S5Error(
            f"oracle: stage must be one of {', '.join(STAGES)}; got {stage!r}.", "Choose one of them."
        )
    value, constant = STAGES[stage]

    def run() -> dict[str, Balls]:
        found: dict[str, Balls] = (
            evaluated(value, inputs)
            if cotangent is None
            else differentiated(value, inputs, cotangent, constant)
        )
        return found

    found: dict[str, Balls] = enclose(run, bits)
    return found


def oracle(
    stage: str, inputs: Inputs, cotangent: Mapping[str, Any] | None = None
) -> dict[str, tuple[np.ndarray[Any, Any], Floats]]:
    """{leaf: (the enclosure's midpoint rounded once to float64 or complex128, an upper bound of |that −
    exact|)}.

    Inputs of any floating dtype are taken exactly as they are. The leaves are those of `enclosures`.
    """
    found = enclosures(stage, inputs, cotangent)
    return {name: rounded(leaf, _is_complex(stage, name, inputs)) for name, leaf in found.items()}


def _is_complex(stage: str, name: str, inputs: Inputs) -> bool:
    """Whether a leaf is complex by its kind, also where no imaginary part happens to be there."""
    kinds = {path: leaf.dtype.kind == "c" for path, leaf in leaves(inputs) if is_float(leaf)}
    if name.startswith("d."):
        return bool(kinds[name[2:]])
    if stage in ("phi1", "discretize", "scan"):
        return any(kinds.values())
    return name.split(".")[0] in ("x_last", "state", "states")
