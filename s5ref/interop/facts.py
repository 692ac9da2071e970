"""What weights say about their configuration, and the configuration that they and a recipe or file make
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Leaves, check_shape
from s5ref.errors import ConfigError, DataError
from s5ref.model.checks import check_params
from s5ref.model.config import ModelConfig
from s5ref.model.heads import HEADS
from s5ref.settings import table_of, typed
from s5ref.train.config import RunConfig, parse_toml, run_config, with_settings
from s5ref.tree import subtree

# Keys of [model] that change outputs and leave no trace in the weights.
UNSEEN = ("discretization", "clip_eigs", "gelu", "prenorm", "pooling", "padding", "event_stride")


@dataclass(frozen=True)
class Facts:
    """``model``: the keys of [model] that names and shapes determine. ``choices``: those of which they
    leave several values; with conj_sym among them ssm_size is ``kept`` or twice that."""

    model: dict[str, Any]
    kept: int
    choices: dict[str, tuple[Any, ...]]
    dtype: str

    def expected(self, conj_sym: bool) -> dict[str, Any]:
        """``model`` with the ssm_size that conj_sym makes of it."""
        return self.model | {"ssm_size": 2 * self.kept if conj_sym else self.kept}


def facts(params: Leaves, statistics: Leaves, conj_sym: bool | None = None) -> Facts:
    """The facts of a whole model.

    Parameters
    ----------
    params, statistics : mapping of leaf names to arrays
    conj_sym : bool or None
        Whether half of each conjugate pair is stored; None: unknown.

    Raises
    ------
    DataError, ShapeError
        Naming what is missing, too much or of another shape.
    """
    decoder = "decoder.layer2.kernel" if "decoder.layer1.kernel" in params else "decoder.kernel"
    needed = {"encoder.kernel": "in_dim H", "layers_0.seq.Lambda_re": "P", decoder: "H K"}
    if missing := [name for name in needed if name not in params]:
        raise DataError(
            f"The weights must be those of a whole model; missing {', '.join(missing)}.",
            "Convert all of them.",
        )
    for name, axes in needed.items():
        check_shape("weights", name, params[name], axes, {}, "Check the weights.")
    kept = len(params["layers_0.seq.Lambda_re"])
    gates = [gate for gate in ("out1", "out2") if subtree(params, f"layers_0.{gate}")]
    joined = params["layers_0.seq.C"].shape if "layers_0.seq.C" in params else None
    model: dict[str, Any] = {
        "n_layers": 1 + max(int(n[7 : n.index(".")]) for n in params if n.startswith("layers_")),
        "d_model": params["encoder.kernel"].shape[1],
        "in_dim": params["encoder.kernel"].shape[0],
        "n_classes": params[decoder].shape[1],
        "bidirectional": joined is None or (len(joined) == 3 and joined[1] == 2 * kept),
        "dt_scalar": kept > 1 and np.size(params.get("layers_0.seq.log_step", ())) == 1,
        "learn_initial_state": any(f"layers_0.seq.{leaf}" in params for leaf in ("x0", "x0_1")),
    }
    possible: dict[str, tuple[Any, ...]] = {
        "conj_sym": (True, False) if conj_sym is None else (conj_sym,),
        "norm": ("batch",) if statistics else ("batch", "layer"),
        "activation": ("half_glu1", "half_glu2") if gates == ["out2"] else ("full_glu" if gates else "gelu",),
        "head": tuple(
            name
            for name, head in HEADS.items()
            if (name == "retrieval") == (decoder != "decoder.kernel") and head.numbers == 1
        ),
    }
    some = model | {key: values[-1] for key, values in possible.items()}
    check_params(ModelConfig(**some | {"conj_sym": False, "ssm_size": kept}), params, statistics)
    model |= {key: values[0] for key, values in possible.items() if len(values) == 1}
    choices = {key: values for key, values in possible.items() if len(values) > 1}
    return Facts(model, kept, choices, params["encoder.kernel"].dtype.name)


@dataclass(frozen=True)
class Resolved:
    """The configuration; the keys of [model] that were read off the weights; those left at their
    defaults unseen.
    """

    config: RunConfig
    derived: list[str]
    assumed: list[str]


def resolve(shown: Facts, text: str, where: str, settings: Sequence[str] = ()) -> Resolved:
    """The configuration of weights.

    Parameters
    ----------
    shown : Facts
        Of the weights.
    text, where : str
        A TOML text, and its name in errors; keys of [model] that it leaves out come from the weights.
    settings : sequence of str
        ``section.key=value``, applied last.

    Raises
    ------
    ConfigError
        Where the text contradicts the weights, or leaves open what decides the outputs and cannot be seen.
    """
    values = parse_toml(text, where)
    values["train"] = table_of(values, "train", where) | {"dtype": shown.dtype}
    values = with_settings(values, settings, where)
    model = table_of(values, "model", where)
    if unsaid := [
        f"model.{key} ({' or '.join(map(_toml, v))})" for key, v in shown.choices.items() if key not in model
    ]:
        raise ConfigError(
            f"{where}: the weights do not show {', '.join(unsaid)}.",
            "Say it in the file, or with --set KEY=VALUE.",
        )
    assumed = [key for key in UNSEEN if key not in model]
    expected = shown.expected((shown.model | model)["conj_sym"])
    derived = [key for key in (*sorted(shown.model), "ssm_size") if key not in model]
    model |= {key: expected[key] for key in derived}
    config = run_config(values | {"model": model}, where)
    expected = shown.expected(config.model.conj_sym)
    clashes = {k: _toml(want) for k, want in expected.items() if getattr(config.model, k) != want}
    if clashes:
        told = {k: _toml(getattr(config.model, k)) for k in clashes}
        both = [f"model.{k} is {told[k]} there and {want} in the weights" for k, want in clashes.items()]
        keys = " ".join(f"model.{k}={want}" for k, want in clashes.items())
        raise ConfigError(
            f"{where} contradicts the weights: {'; '.join(both)}.",
            f"Use their own configuration, or --set {keys}.",
        )
    if config.model.norm == "batch" and "norm" in shown.choices:
        raise DataError(
            f"{where} says norm = batch, whose running statistics are missing.",
            "Convert them too (Flax: batch_stats).",
        )
    return Resolved(config, derived, assumed)


def suggestion(shown: Facts) -> str:
    """The recipes whose shapes these are, as a remedy."""
    from s5ref import recipes

    def same(model: ModelConfig) -> bool:
        return all(getattr(model, key) == value for key, value in shown.expected(model.conj_sym).items())

    found_in = [name for name in recipes.names() if same(RunConfig.recipe(name).model)]
    return f"Recipes of these shapes: {', '.join(found_in)}." if found_in else "No recipe has these shapes."


def stated_conj_sym(text: str, where: str, settings: Sequence[str]) -> bool | None:
    """conj_sym as ``settings`` or [model] of a TOML text say it; None: neither does.

    Raises
    ------
    ConfigError
        On a text that is no TOML, an unknown setting, or another value than true and false.
    """
    model = table_of(with_settings(parse_toml(text, where), settings, where), "model", where)
    return typed("model.conj_sym", model["conj_sym"], bool) if "conj_sym" in model else None


# The discretisations of the frameworks whose names a file of weights may have.
THEIRS = {"flax": ("zoh", "bilinear", "dirac"), "s5-pytorch": ("zoh", "bilinear")}


def check_theirs(names: str, text: str, where: str, settings: Sequence[str]) -> None:
    """Whether the framework of these names has the rule that ``settings`` or [model] of a TOML text say; none
    has event pooling.

    Raises
    ------
    ConfigError
        If it has not: its outputs would be others. What is not said is not looked at.
    """
    model = table_of(with_settings(parse_toml(text, where), settings, where), "model", where)
    rule = model.get("discretization", "zoh")
    if rule not in THEIRS.get(names, (rule,)):
        raise ConfigError(
            f"convert: {names} discretises by {', '.join(THEIRS[names])}; the model by {rule!r}.",
            "Keep the run folder, or --to s5ref: another rule computes another function of the same weights.",
        )
    if names in THEIRS and model.get("event_stride", 1) != 1:
        raise ConfigError(
            f"convert: {names} has no event pooling; the model has event_stride {model['event_stride']}.",
            "Keep the run folder, or --to s5ref.",
        )


def doubts(params: Leaves, conj_sym: bool | None) -> list[str]:
    """What looks wrong and is not refused: numbers that are not finite, both signs of Im Λ under conj_sym."""
    doubtful: list[str] = []
    for name, value in params.items():
        if not np.isfinite(value).all():
            doubtful.append(f"{name} holds NaN or infinity.")
        if conj_sym and name.endswith(".Lambda_im") and 0.25 < np.mean(value > 0) < 0.75:
            doubtful.append(f"{name} has both signs, as where all states are kept; but conj_sym = true.")
    return doubtful


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
