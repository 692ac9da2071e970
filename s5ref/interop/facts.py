"""What weights say about their configuration, and the configuration that they and a recipe or file make together."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s5ref.arrays import Array
from s5ref.errors import S5Error
from s5ref.model.checks import check_params
from s5ref.model.config import ModelConfig
from s5ref.train.config import RunConfig

UNSEEN = ("discretization", "clip_eigs", "gelu", "prenorm", "pooling", "padding")  # change outputs, leave no trace


@dataclass(frozen=True)
class Facts:
    """``model``: the keys of [model] that names and shapes determine, but for ssm_size, which is ``kept`` or twice that.
    ``choices``: the keys of which they leave several values."""

    model: dict[str, Any]
    kept: int
    choices: dict[str, tuple[Any, ...]]
    dtype: str

    def ssm_size(self, conj_sym: bool) -> int:
        return 2 * self.kept if conj_sym else self.kept


def facts(params: Mapping[str, Array], statistics: Mapping[str, Array]) -> Facts:
    """The facts of a whole model; S5Error naming what is missing, too much or of another shape."""
    decoder = "decoder.layer2.kernel" if "decoder.layer1.kernel" in params else "decoder.kernel"
    needed = {"encoder.kernel": 2, "layers_0.seq.Lambda_re": 1, decoder: 2}
    if missing := [name for name in needed if name not in params]:
        raise S5Error(f"The weights must be those of a whole model; missing {', '.join(missing)}.", "Convert all of them.")
    for name, rank in needed.items():
        if params[name].ndim != rank:
            raise S5Error(f"{name} must have {rank} axes; got {tuple(params[name].shape)}.", "Check the weights.")
    kept = len(params["layers_0.seq.Lambda_re"])
    gates = [gate for gate in ("out1", "out2") if f"layers_0.{gate}.kernel" in params]
    joined = params["layers_0.seq.C"].shape if "layers_0.seq.C" in params else None
    model: dict[str, Any] = {
        "n_layers": 1 + max(int(n[7 : n.index(".")]) for n in params if n.startswith("layers_")),
        "d_model": params["encoder.kernel"].shape[1],
        "in_dim": params["encoder.kernel"].shape[0],
        "n_classes": params[decoder].shape[1],
        "bidirectional": joined is None or (len(joined) == 3 and joined[1] == 2 * kept),
        "norm": "batch" if statistics else "layer",
    }
    choices: dict[str, tuple[Any, ...]] = {"conj_sym": (True, False)}
    if gates == ["out2"]:
        choices["activation"] = ("half_glu1", "half_glu2")
    else:
        model["activation"] = "full_glu" if gates else "gelu"
    if decoder == "decoder.kernel":
        choices["head"] = ("classifier", "regression")
    else:
        model["head"] = "retrieval"
    full = {key: values[-1] for key, values in choices.items()}
    check_params(ModelConfig(**(model | full), ssm_size=kept), params, statistics)
    return Facts(model, kept, choices, params["encoder.kernel"].dtype.name)


@dataclass(frozen=True)
class Resolved:
    """The configuration; the keys of [model] that were read off the weights; those left at their defaults unseen."""

    config: RunConfig
    derived: list[str]
    assumed: list[str]


def resolve(found: Facts, text: str, where: str, settings: Sequence[str] = ()) -> Resolved:
    """The configuration in the TOML ``text`` with ``settings`` applied; keys of [model] that neither says come from the
    weights. S5Error if it contradicts them, or leaves open what decides the outputs and cannot be seen."""
    import tomli_w

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise S5Error(f"{where} is not valid TOML: {error}.", "See `s5ref recipes digits` for the form.") from error
    model = values.setdefault("model", {})
    if not isinstance(model, dict):
        raise S5Error(f"{where}: model must be a table; got {model!r}.", "Write [model].")
    said = {setting.partition("=")[0].strip() for setting in settings}
    given = set(model) | {key.removeprefix("model.") for key in said if key.startswith("model.")}
    if still := [f"model.{key} ({' or '.join(map(_toml, v))})" for key, v in found.choices.items() if key not in given]:
        raise S5Error(
            f"{where}: the weights do not show {', '.join(still)}.", "Say it in the file, or with --set KEY=VALUE."
        )
    derived = sorted(key for key in found.model if key not in given)
    model |= {key: found.model[key] for key in derived}
    if "ssm_size" not in given:
        derived.append("ssm_size")
        model["ssm_size"] = found.ssm_size(_conj_sym(model, settings))
    train = values.setdefault("train", {})
    if isinstance(train, dict) and "train.dtype" not in said:
        train["dtype"] = found.dtype
    config = RunConfig.from_toml_text(tomli_w.dumps(values), where).override(settings)
    expected = found.model | {"ssm_size": found.ssm_size(config.model.conj_sym)}
    if wrong := [
        f"model.{key} is {_toml(got)} there and {_toml(want)} in the weights"
        for key, want in expected.items()
        if (got := getattr(config.model, key)) != want
    ]:
        keys = " ".join(f"model.{k}={_toml(v)}" for k, v in expected.items() if getattr(config.model, k) != v)
        raise S5Error(f"{where} contradicts the weights: {'; '.join(wrong)}.", f"Use their own configuration, or --set {keys}.")
    return Resolved(config, derived, [key for key in UNSEEN if key not in given])


def suggestion(found: Facts) -> str:
    """The recipes whose shapes these are, as a remedy."""
    from s5ref import recipes

    def same(model: ModelConfig) -> bool:
        expected = found.model | {"ssm_size": found.ssm_size(model.conj_sym)}
        return all(getattr(model, key) == value for key, value in expected.items())

    names = [name for name in recipes.names() if same(RunConfig.recipe(name).model)]
    return f"Recipes of these shapes: {', '.join(names)}." if names else "No recipe has these shapes."


def _conj_sym(model: Mapping[str, Any], settings: Sequence[str]) -> bool:
    last = [s.partition("=")[2].strip() for s in settings if s.partition("=")[0].strip() == "model.conj_sym"]
    return last[-1] == "true" if last else bool(model.get("conj_sym", True))


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
