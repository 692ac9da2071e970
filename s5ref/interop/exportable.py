"""What the exporters `s5ref.interop.onnx` and `s5ref.interop.c` can write, and the constants of both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.errors import ConfigError, NumericalError
from s5ref.model.checks import check_params
from s5ref.model.model import Model
from s5ref.model.stack import layer_names
from s5ref.model.streaming import streaming
from s5ref.nn.norm import BATCH_NORM_EPS
from s5ref.ssm.step import Stepper
from s5ref.tree import subtree

WORDS = {  # of a configuration, as far as both exporters know them
    "activation": ("gelu", "half_glu1", "half_glu2", "full_glu"),
    "gelu": ("tanh", "erf"),
    "norm": ("batch", "layer"),
    "discretization": ("zoh", "bilinear", "dirac"),
    "pooling": ("mean", "last", "max", "mean+max"),
    "padding": ("upstream", "masked"),
    "encoder": ("linear",),
    "intervals": ("used",),
    "head": ("classifier", "retrieval", "regression", "pooled_regression"),
}


def check_exportable(model: Model, params: Leaves, statistics: Leaves) -> None:
    """Refuse what would be written wrongly.

    Raises
    ------
    ConfigError
        On an option that the exporters do not know.
    DataError, ShapeError
        On leaves that are not those of the configuration.
    NumericalError
        On leaves that are not finite in float32.
    """
    for key, words in WORDS.items():
        word = getattr(model.config, key)
        if word not in words:
            raise ConfigError(
                f"export: model.{key} must be one of {', '.join(words)}; got {word!r}.",
                "s5ref.load(run) computes it.",
            )
    if model.config.learn_initial_state:
        raise ConfigError(
            "export: every sequence must start from zero; got learn_initial_state = true.",
            "s5ref.load(run) computes it.",
        )
    if model.config.event_stride > 1:
        raise ConfigError(
            f"export: every layer must run on all steps; got event_stride = {model.config.event_stride}.",
            "s5ref.load(run) computes it.",
        )
    check_params(model.config, params, statistics)
    for name, leaf in {**params, **statistics}.items():
        if not np.isfinite(single(leaf)).all():
            raise NumericalError(
                f"export: all weights must be finite in float32; {name} is not.", "Export another checkpoint."
            )


def single(x: Array) -> Array:
    """As float32; what overflows is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(x, np.float32)


class Layer(NamedTuple):
    """A layer's leaves below its name in float32; of a BatchNorm (x − mean) · rstd · norm.scale + norm.bias
    both mean and rstd, else None. seq: the leaves of the SSM as they are.
    """

    leaves: dict[str, Array]
    mean: Array | None
    rstd: Array | None
    seq: dict[str, Array]


def layers(model: Model, params: Leaves, statistics: Leaves) -> list[Layer]:
    """The layers, one after the other."""
    found = []
    for name in layer_names(model.config.n_layers):
        leaves, running = subtree(params, name), subtree(statistics, name)
        mean = rstd = None
        if model.config.norm == "batch":
            mean = single(running["norm.mean"])
            rstd = single(1 / np.sqrt(running["norm.var"] + BATCH_NORM_EPS))
        own = {leaf: single(x) for leaf, x in leaves.items() if not leaf.startswith("seq.")}
        found.append(Layer(own, mean, rstd, subtree(leaves, "seq")))
    return found


def steppers(model: Model, params: Leaves, statistics: Leaves) -> tuple[Stepper, ...]:
    """The discretised SSM of every layer.

    Raises
    ------
    ConfigError
        For a bidirectional model and for retrieval: neither has a step.
    """
    return streaming(model, params, statistics, "numpy").steppers
