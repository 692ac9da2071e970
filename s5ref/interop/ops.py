"""The reference as functions that a framework can call: named NumPy arrays in, named NumPy arrays out,
and the vjp.

Inputs are flat dicts: ``params.*`` (our leaf names), the signal (``u``, ``x`` or ``inputs``), and where
given ``x0``, ``intervals``, ``lengths``, ``statistics.*`` and ``key`` (seed, step). Only parameters, a
real signal and x0 have cotangents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.errors import S5Error
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.model.stack import draw_masks
from s5ref.ssm.ssm import SSMOptions, ssm, ssm_vjp
from s5ref.tree import prefixed, subtree

Arrays = Mapping[str, Array]
Shape = tuple[int, ...]


class Op(NamedTuple):
    """``value(inputs) -> (outputs, saved)``, ``vjp(saved, cotangents of the outputs) -> cotangents of
    the inputs``, and ``outputs(shapes of the inputs) -> {name: (shape, is complex)}``."""

    value: Callable[[Arrays], tuple[dict[str, Array], Any]]
    vjp: Callable[[Any, Arrays], dict[str, Array]]
    outputs: Callable[[Mapping[str, Shape]], dict[str, tuple[Shape, bool]]]


def differentiable(name: str, kind: str) -> bool:
    """Whether an input of that name and dtype kind has a cotangent."""
    return kind in "fc" and (name.startswith("params.") or name in ("u", "x", "x0", "inputs"))


def ssm_op(options: SSMOptions, engine: Engine, step_rescale: float = 1.0) -> Op:
    """The SSM alone: u (N, L, H) → y (N, L, H), state (N, P'). ``params.*`` are the leaves below ``seq``."""

    def value(a: Arrays) -> tuple[dict[str, Array], Any]:
        call = Call(engine, step_rescale=step_rescale, intervals=a.get("intervals"))
        (y, state), residuals = ssm(subtree(a, "params"), a["u"], options, call, a.get("x0"))
        return {"y": y, "state": state}, (residuals, call)

    def vjp(residuals: Any, d: Arrays) -> dict[str, Array]:
        dparams, du, dx0 = ssm_vjp(residuals[0], (d["y"], d["state"]), options, residuals[1])
        return prefixed("params", dparams) | {"u": du, "x0": dx0}

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        u = shapes["u"]
        return {"y": (u, False), "state": ((*u[:1], *shapes["params.log_step"]), True)}

    return Op(value, vjp, outputs)


def layer_op(
    config: ModelConfig, engine: Engine, training: bool = False, step_rescale: float = 1.0, layer: int = 0
) -> Op:
    """A whole sequence layer: x (N, L, H) → y, state, and in training ``statistics.*`` after the batch.

    ``params.*`` and ``statistics.*`` are the leaves below ``layers_i``; ``layer`` is i, part of the key
    of its masks.
    """
    options = config.block_options()

    def value(a: Arrays) -> tuple[dict[str, Array], Any]:
        call = _call(a, engine, training, step_rescale, a.get("intervals"))
        x = a["x"]
        _check_signal("x", x, config.d_model)
        masks = draw_masks(layer + 1, len(x), config.d_model, config.dropout, call, a["params.seq.D"])[layer]
        out, residuals = engine.block.value(
            subtree(a, "params"), x, options, call, subtree(a, "statistics"), masks, a.get("x0")
        )
        after = prefixed("statistics", out.statistics) if training else {}
        return {"y": out.y, "state": out.state} | after, (residuals, call)

    def vjp(residuals: Any, d: Arrays) -> dict[str, Array]:
        dparams, dx, dx0 = engine.block.vjp(residuals[0], (d["y"], d["state"]), options, residuals[1])
        return prefixed("params", dparams) | {"x": dx, "x0": dx0}

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        x = shapes["x"]
        found = {"y": (x, False), "state": ((*x[:1], *shapes["params.seq.log_step"]), True)}
        return found | (_statistics(shapes) if training else {})

    return Op(value, vjp, outputs)


def model_op(config: ModelConfig, engine: Engine, training: bool = False, step_rescale: float = 1.0) -> Op:
    """A whole model: ``inputs`` as in `Batch`, ``lengths`` → output (N, K) or (N, L, K), in training
    ``statistics.*``.
    """
    model = Model(config)

    def value(a: Arrays) -> tuple[dict[str, Array], Any]:
        call = _call(a, engine, training, step_rescale)
        batch = Batch(a["inputs"], lengths=a.get("lengths"), intervals=a.get("intervals"))
        forward, residuals = model.forward(subtree(a, "params"), subtree(a, "statistics"), batch, call)
        after = prefixed("statistics", forward.statistics) if training else {}
        call = model.arranged(batch, call)[2]
        return {"output": forward.output} | after, (residuals, call)

    def vjp(residuals: Any, d: Arrays) -> dict[str, Array]:
        dparams, dinputs, _ = model.backward(residuals[0], d["output"], residuals[1])
        return prefixed("params", dparams) | ({} if dinputs is None else {"inputs": dinputs})

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        inputs = shapes["inputs"]
        steps = inputs[1:2] if config.head == "regression" else ()
        found: dict[str, tuple[Shape, bool]] = {"output": ((inputs[0], *steps, config.n_classes), False)}
        return found | (_statistics(shapes) if training else {})

    return Op(value, vjp, outputs)


def _call(
    a: Arrays, engine: Engine, training: bool, step_rescale: float, intervals: Array | None = None
) -> Call:
    key = (int(a["key"][0]), int(a["key"][1])) if "key" in a else None
    return Call(engine, training=training, key=key, step_rescale=step_rescale, intervals=intervals)


def _statistics(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
    return {name: (shape, False) for name, shape in shapes.items() if name.startswith("statistics.")}


def _check_signal(name: str, x: Array, features: int) -> None:
    if x.ndim != 3 or x.shape[-1] != features:
        raise S5Error(
            f"layer: {name} must be (N, L, H) with H={features}; got {tuple(np.shape(x))}.",
            "Add the missing axis.",
        )
