"""Small models, one for every option that changes the mathematics, each with generic parameters and a
batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.model.packing import packed
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.draws import Normal
from s5ref.verification.rounding.budget import cast

BASE = ModelConfig(
    n_layers=2, d_model=5, ssm_size=8, blocks=2, in_dim=3, n_classes=4, activation="half_glu2",
    dt_min=0.05, dt_max=0.5,
)  # fmt: skip
Options = dict[str, Any]

# group: {name: (options of the model, options of the problem)}
PROBLEMS: dict[str, dict[str, tuple[Options, Options]]] = {
    "activation": {
        f"{activation}, {gelu}": ({"activation": activation, "gelu": gelu, "dropout": 0.3}, {})
        for activation in ("gelu", "half_glu1", "half_glu2", "full_glu")
        for gelu in ("tanh", "erf")
    },
    "norm": {
        f"{norm}, {'pre' if pre else 'post'}, {'training' if training else 'evaluation'}": (
            {"norm": norm, "prenorm": pre},
            {"training": training},
        )
        for norm in ("batch", "layer")
        for pre in (True, False)
        for training in (True, False)
    },
    "direction and discretisation": {
        f"{'bi' if both else 'uni'}directional, {method}, {sampling}": (
            {"bidirectional": both, "discretization": method, "norm": "layer"},
            {"irregular": sampling == "irregular"},
        )
        for both in (False, True)
        for method in DISCRETIZATIONS
        for sampling in ("regular", "irregular")
    },
    "eigenvalues": {
        "full spectrum": ({"conj_sym": False}, {}),
        "full spectrum, bidirectional": ({"conj_sym": False, "bidirectional": True}, {}),
        "clipped": ({"clip_eigs": True}, {"clipped": True}),
        "one step of all states": ({"dt_scalar": True}, {}),
        "one step of all states, bidirectional, irregular": (
            {"dt_scalar": True, "bidirectional": True},
            {"irregular": True},
        ),
        "antisymmetric": ({"state_init": "antisymmetric_wide"}, {}),
        "Gaussian": ({"state_init": "gaussian", "conj_sym": False}, {}),
        "joined C": ({"c_init": "complex_normal", "bidirectional": True}, {}),
        "step_rescale 2": ({}, {"step_rescale": 2.0}),
    },
    "pooling and padding": {
        f"{pooling}, {padding}, {norm}": (
            {"pooling": pooling, "padding": padding, "norm": norm, "bidirectional": True},
            {"padded": True},
        )
        for pooling in ("mean", "last", "max", "mean+max")
        for padding in ("upstream", "masked")
        for norm in (("batch",) if "max" in pooling else ("batch", "layer"))
    }
    | {
        "last": ({"pooling": "last"}, {}),
        "max": ({"pooling": "max"}, {}),
        "mean+max": ({"pooling": "mean+max"}, {}),
        "masked, irregular": (
            {"padding": "masked", "bidirectional": True},
            {"padded": True, "irregular": True},
        ),
        "masked, irregular, first-order hold": (
            {"padding": "masked", "bidirectional": True, "discretization": "foh"},
            {"padded": True, "irregular": True},
        ),
    },
    "head": {
        "retrieval, irregular": ({"head": "retrieval", "bidirectional": True}, {"irregular": True}),
        "classifier, tokens": ({}, {"tokens": True}),
        "retrieval": ({"head": "retrieval", "n_classes": 2}, {}),
        "retrieval, tokens, padded": (
            {"head": "retrieval", "n_classes": 2},
            {"tokens": True, "padded": True},
        ),
        "regression": ({"head": "regression"}, {}),
        "regression, padded, masked": ({"head": "regression", "padding": "masked"}, {"padded": True}),
        "retrieval, max": ({"head": "retrieval", "n_classes": 2, "pooling": "max"}, {}),
        "gaussian regression": ({"head": "gaussian_regression"}, {}),
        "gaussian regression, padded, masked": (
            {"head": "gaussian_regression", "padding": "masked", "norm": "layer"},
            {"padded": True},
        ),
        "pooled regression": ({"head": "pooled_regression"}, {}),
        "pooled regression, mean+max, padded, masked": (
            {"head": "pooled_regression", "pooling": "mean+max", "padding": "masked"},
            {"padded": True},
        ),
    },
    "encoder": {
        "image": ({"encoder": "image", "in_dim": 64}, {"n": 2, "length": 3}),
        "image, intervals appended, postnorm, gaussian regression": (
            {
                "encoder": "image",
                "in_dim": 64,
                "intervals": "appended",
                "norm": "layer",
                "prenorm": False,
                "head": "gaussian_regression",
            },
            {"n": 2, "length": 3, "irregular": True},
        ),
        "intervals ignored": ({"intervals": "ignored", "norm": "layer"}, {"irregular": True}),
    },
    "episodes": {
        "resets": ({}, {"resets": 0.3}),
        "resets, bidirectional, irregular": (
            {"bidirectional": True, "norm": "layer"},
            {"resets": 0.3, "irregular": True},
        ),
        "resets, full spectrum, initial states": (
            {"conj_sym": False, "norm": "layer"},
            {"resets": 0.3, "states": True},
        ),
        "learned initial state": ({"learn_initial_state": True}, {}),
        "learned initial state, resets, irregular": (
            {"learn_initial_state": True, "discretization": "bilinear", "head": "regression"},
            {"resets": 0.3, "irregular": True},
        ),
        "learned initial state, resets, bidirectional, padded, masked": (
            {"learn_initial_state": True, "bidirectional": True, "padding": "masked"},
            {"resets": 0.3, "padded": True},
        ),
        "resets, retrieval": ({"head": "retrieval", "n_classes": 2}, {"resets": 0.3}),
        "resets, first-order hold, bidirectional, irregular": (
            {"discretization": "foh", "bidirectional": True, "norm": "layer"},
            {"resets": 0.3, "irregular": True},
        ),
        "learned initial state, resets, first-order hold, initial states": (
            {"learn_initial_state": True, "discretization": "foh", "norm": "layer"},
            {"resets": 0.3, "states": True},
        ),
    },
    "event pooling": {
        f"{mode}, {norm}": ({"n_layers": 3, "event_stride": 2, "event_pooling": mode, "norm": norm}, {})
        for mode in ("mean", "last")
        for norm in ("batch", "layer")
    }
    | {
        "behind every second layer, irregular, bidirectional, last": (
            {
                "n_layers": 3,
                "event_stride": 3,
                "event_every": 2,
                "event_pooling": "last",
                "bidirectional": True,
                "norm": "layer",
            },
            {"irregular": True},
        ),
        "padded, irregular, bidirectional": (
            {"event_stride": 2, "bidirectional": True, "padding": "masked", "pooling": "mean+max"},
            {"padded": True, "irregular": True},
        ),
        "padded, first-order hold, last": (
            {"event_stride": 3, "event_pooling": "last", "discretization": "foh", "padding": "masked"},
            {"padded": True},
        ),
        "async, irregular, initial states": (
            {"event_stride": 2, "discretization": "async"},
            {"irregular": True, "states": True},
        ),
        "retrieval, padded": (
            {"event_stride": 2, "head": "retrieval", "n_classes": 2, "padding": "masked"},
            {"padded": True},
        ),
        "a window longer than the sequence": ({"event_stride": 9, "norm": "layer"}, {}),
    },
    "length": {
        "one step": ({}, {"length": 1}),
        "initial states": ({"norm": "layer"}, {"states": True}),
        "initial states, first-order hold": ({"norm": "layer", "discretization": "foh"}, {"states": True}),
    },
}

# Sequences of unequal lengths: name: (options of the model, of the problem)
PACKING: dict[str, tuple[Options, Options]] = {
    "recipe, dropout": ({"dropout": 0.4}, {}),
    "two directions, irregular, last": (
        {"bidirectional": True, "pooling": "last", "norm": "layer"},
        {"irregular": True},
    ),
    "learned state, postnorm, mean+max": (
        {
            "prenorm": False,
            "pooling": "mean+max",
            "dropout": 0.2,
            "bidirectional": True,
            "learn_initial_state": True,
        },
        {},
    ),
    "regression": ({"head": "regression", "bidirectional": True, "discretization": "foh"}, {}),
    "retrieval, tokens, max": ({"head": "retrieval", "n_classes": 2, "pooling": "max"}, {"tokens": True}),
    "pooled regression, evaluation": ({"head": "pooled_regression"}, {"training": False}),
}


@dataclass(frozen=True)
class Problem:
    """A model, its parameters and statistics in float64, a batch, the call without its kernels, initial
    states or None."""

    group: str
    name: str
    model: Model
    params: Mapping[str, Array]
    statistics: Mapping[str, Array]
    batch: Batch
    call: Mapping[str, Any]
    states: list[Array] | None

    def leaves(self) -> dict[str, Array]:
        """Everything that the loss is differentiable in: parameters, real inputs, initial states."""
        leaves = dict(self.params)
        if self.batch.inputs.dtype.kind == "f":
            leaves["inputs"] = self.batch.inputs
        return leaves | {f"states.{i}": state for i, state in enumerate(self.states or [])}

    def cast(self, dtype: Any) -> Problem:
        """The problem in another precision."""
        trees = dict(self.params), dict(self.statistics), self.batch, self.states
        params, statistics, batch, states = cast(trees, dtype)
        return replace(self, params=params, statistics=statistics, batch=batch, states=states)

    @property
    def terms(self) -> int:
        """Terms of the longest sum: all steps of all sequences."""
        return int(
            self.batch.inputs[..., 0].size if self.batch.inputs.dtype.kind == "f" else self.batch.inputs.size
        )

    def _run(self, leaves: Mapping[str, Array], engine: Engine) -> tuple[Any, Any, Any, Any]:
        """(Forward, its residuals, loss, cotangent of the output)."""
        params = {name: leaves[name] for name in self.params}
        statistics, targets = cast((self.statistics, self.batch.targets), params["encoder.kernel"].dtype)
        batch = self.batch._replace(inputs=leaves.get("inputs", self.batch.inputs), targets=targets)
        states = [leaves[f"states.{i}"] for i in range(len(self.states))] if self.states else None
        call = Call(engine, **self.call, initial_state=states)
        forward, residuals = self.model.value(params, statistics, batch, call)
        return forward, residuals, *self.model.loss(forward.output, batch)

    def loss(self, leaves: Mapping[str, Array], engine: Engine) -> Any:
        """The loss alone, in the precision of the leaves."""
        return self._run(leaves, engine)[2]

    def loss_and_grad(self, leaves: Mapping[str, Array], engine: Engine) -> dict[str, Any]:
        """Loss, output, final states, statistics, and the gradient by every leaf."""
        forward, residuals, loss, doutput = self._run(leaves, engine)
        dparams, dinputs, dstates = self.model.vjp(residuals, doutput)
        grads: dict[str, Any] = dict(dparams)
        if "inputs" in leaves:
            grads["inputs"] = dinputs
        if self.states:
            grads |= {f"states.{i}": d for i, d in enumerate(dstates)}
        return {"loss": loss, **forward._asdict(), "grads": grads}


def problems(*groups: str, **sizes: Any) -> Iterator[Problem]:
    """The problems of these groups, all if none is named; those without sizes of their own with ``sizes``."""
    for group, members in PROBLEMS.items():
        if not groups or group in groups:
            for name, (model_options, options) in members.items():
                yield problem(group, name, replace(BASE, **model_options), **(sizes | options))


def packing_problems() -> Iterator[tuple[Problem, Problem]]:
    """The problems of `PACKING`: padded with masks, and the same sequences in packed rows."""
    for name, (options, extra) in PACKING.items():
        config = replace(BASE, padding="masked", **options)
        at = problem("packing", name, config, n=5, length=9, padded=True, **extra)
        yield at, replace(at, batch=packed(at.batch))


class Variant(NamedTuple):
    """The batch of a problem: n sequences, how long, of tokens or reals, and what else is there."""

    n: int = 3
    length: int = 7
    tokens: bool = False
    padded: bool = False
    irregular: bool = False
    clipped: bool = False
    states: bool = False
    training: bool = True
    step_rescale: float = 1.0
    resets: float = 0.0  # the probability of one at a step


def problem(group: str, name: str, config: ModelConfig, **variant: Any) -> Problem:
    """A problem with every parameter off its initial value, so that no gradient vanishes by symmetry.

    Parameters
    ----------
    group, name : str
        The key of its random numbers.
    config : ModelConfig
    **variant
        The fields of `Variant`.
    """
    v, n = Variant(**variant), Normal("problem", group, name)
    model = Model(config)
    init, init_statistics = model.init(seed=1, dtype="float64")
    params = {leaf: value + 0.2 * n(*value.shape) for leaf, value in init.items()}
    for leaf in params:
        if leaf.endswith("Lambda_re"):
            params[leaf] = -0.2 - np.abs(params[leaf])
            if v.clipped:
                params[leaf][::2] = 0.1
    statistics = {leaf: value + 0.2 * n.rng.random(value.shape) for leaf, value in init_statistics.items()}
    documents = (2,) if config.head == "retrieval" else ()
    shape = (v.n, *documents, v.length)
    inputs = n.rng.integers(0, config.in_dim, shape) if v.tokens else n(*shape, config.in_dim)
    K = config.n_classes
    target_shape = model.head.target_shape(N=v.n, L=v.length, K=K)
    targets = n.rng.integers(0, K, target_shape) if model.head.classifies else n(*target_shape)
    lengths = n.rng.integers(1, v.length + 1, (v.n, *documents)) if v.padded else None
    intervals = n.rng.uniform(0.5, 2.0, shape) if v.irregular else None
    states = [n.complex(v.n, config.state_size) for _ in range(config.n_layers)] if v.states else None
    resets = n.rng.random(shape) < v.resets if v.resets else None
    return Problem(
        group, name, model, params, statistics, Batch(inputs, targets, lengths, intervals, resets),
        {"training": v.training, "key": (0, 0), "step_rescale": v.step_rescale}, states,
    )  # fmt: skip
