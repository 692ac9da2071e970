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
from s5ref.verification.proofs.oracles.elementary import phi1, phi1_prime, phi2, tanh
from s5ref.verification.proofs.oracles.model import LayerOptions, ModelOptions, layer, model

Inputs = Mapping[str, Any]


class Stage(NamedTuple):
    """value(inputs) → tree of outputs; inputs below the names in ``constant`` are given numbers, not
    differentiated."""

    value: Callable[[Inputs], Mapping[str, Any]]
    constant: tuple[str, ...] = ()


def _stage(fn: Callable[..., Any], outputs: str = "y", constant: str = "") -> Stage:
    """A function whose parameters are the inputs by name."""

    def value(i: Inputs) -> dict[str, Any]:
        y = fn(**i)
        return dict(zip(outputs.split(), y if isinstance(y, tuple) else (y,), strict=True))

    return Stage(value, tuple(constant.split()))


def _options(i: Inputs, kind: type[Any]) -> tuple[Any, dict[str, Any]]:
    """The options of ``kind`` among the inputs, and the rest."""
    options = kind(**{name: i[name] for name in kind._fields if name in i})
    return options, {name: value for name, value in i.items() if name not in kind._fields}


def _layer(i: Inputs) -> dict[str, Any]:
    options, rest = _options(i, LayerOptions)
    return dict(layer(rest.pop("params"), rest.pop("x"), options, **rest)._asdict())


def _model(i: Inputs) -> dict[str, Any]:
    """The options of the layers stand among those of the model."""
    of_layers, rest = _options(i, LayerOptions)
    options, rest = _options(rest | {"layer": of_layers}, ModelOptions)
    return dict(model(rest.pop("params"), rest.pop("x"), options, **rest)._asdict())


STAGES: dict[str, Stage] = {
    "phi1": _stage(lambda z: phi1(z)),
    "phi1_prime": _stage(lambda z: phi1_prime(z)),
    "phi2": _stage(lambda z: phi2(z)),
    "discretize": _stage(ssm.discretize, "Lambda_bar gain"),
    "first_order_hold": _stage(ssm.first_order_hold, "Lambda_bar gain_before gain_now"),
    "asynchronous": _stage(ssm.asynchronous, "Lambda_bar gain", "interval"),
    "timescale": _stage(ssm.timescale, "Delta", "rescale states"),
    "clip_eigs": _stage(ssm.clip_eigs),
    "scan": _stage(ssm.scan, "x x_last"),
    "scan_episodes": _stage(ssm.scan, "x x_last"),
    "ssm": _stage(ssm.ssm, "y x_last", "intervals step_rescale"),
    "step": _stage(ssm.step, "state y", "step_rescale"),
    "linear": _stage(nn.linear),
    "conv_pool": _stage(nn.conv_pool),
    "relu": _stage(nn.relu),
    "tanh": _stage(tanh),
    "exp_linear": _stage(nn.exp_linear),
    "embed": _stage(nn.embed),
    "layer_norm": _stage(nn.layer_norm),
    "batch_norm": _stage(nn.batch_norm, "y mean var", "mean var momentum"),
    "sigmoid": _stage(nn.sigmoid),
    "gelu_tanh": _stage(nn.gelu_tanh),
    "gelu_erf": _stage(nn.gelu_erf),
    "glu": _stage(nn.glu),
    "dropout": _stage(nn.dropout, constant="mask"),
    "mix": _stage(nn.mix, constant="masks"),
    "pool_mean": _stage(nn.pool_mean),
    "pool_last": _stage(nn.pool_last),
    "pool_max": _stage(nn.pool_max),
    "pool_mean_max": _stage(nn.pool_mean_max),
    "pool_windows": _stage(nn.pool_windows),
    "log_softmax": _stage(nn.log_softmax),
    "cross_entropy": _stage(nn.cross_entropy, "loss"),
    "mse": _stage(nn.mse, "loss", "target"),
    "gaussian_nll": _stage(nn.gaussian_nll, "loss", "target"),
    "image_encoder": _stage(nn.image_encoder, constant="appended"),
    "layer": Stage(_layer, ("statistics", "masks", "intervals", "bn_momentum", "step_rescale")),
    "model": Stage(_model, ("statistics", "masks", "intervals", "targets", "bn_momentum", "step_rescale")),
}


def enclosures(
    stage: str, inputs: Inputs, cotangent: Mapping[str, Any] | None = None, bits: int = BITS
) -> dict[str, Balls]:
    """Enclosures of every output of a stage, and of the cotangents of its inputs.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.
    inputs : mapping
        Arguments by name: trees of arrays, of any floating dtype and exactly as they are, and options.
    cotangent : mapping, optional
        Of outputs by name; those missing count as 0.
    bits : int
        The precision to start with.

    Returns
    -------
    dict
        Balls by leaf; with ``cotangent`` also ``d.<input leaf>``.

    Raises
    ------
    S5Error
        For an unknown stage, python-flint missing, or a leaf that balls of `LIMIT` bits do not determine.
    """
    if stage not in STAGES:
        raise S5Error(
            f"oracle: stage must be one of {', '.join(STAGES)}; got {stage!r}.", "Choose one of them."
        )
    value, constant = STAGES[stage]

    def run() -> dict[str, Balls]:
        return dict(
            evaluated(value, inputs)
            if cotangent is None
            else differentiated(value, inputs, cotangent, constant)
        )

    return dict(enclose(run, bits))


def oracle(
    stage: str, inputs: Inputs, cotangent: Mapping[str, Any] | None = None
) -> dict[str, tuple[np.ndarray[Any, Any], Floats]]:
    """{leaf: (the enclosure's midpoint rounded once to float64 or complex128, an upper bound of |that −
    exact|)}.

    Inputs of any floating dtype are taken exactly as they are. The leaves are those of `enclosures`.
    """
    enclosed = enclosures(stage, inputs, cotangent)
    return {name: rounded(leaf, _is_complex(stage, name, inputs)) for name, leaf in enclosed.items()}


def _is_complex(stage: str, name: str, inputs: Inputs) -> bool:
    """Whether a leaf is complex by its kind, also where no imaginary part happens to be there."""
    kinds = {path: leaf.dtype.kind == "c" for path, leaf in leaves(inputs) if is_float(leaf)}
    if name.startswith("d."):
        return bool(kinds[name[2:]])
    complex_if_any = "phi1 phi1_prime phi2 discretize first_order_hold asynchronous scan scan_episodes"
    if stage in complex_if_any.split():
        return any(kinds.values())
    return name.split(".")[0] in ("x_last", "state", "states")
