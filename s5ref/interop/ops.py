"""The reference as functions that a framework can call: named NumPy arrays in, named NumPy arrays out,
and the vjp.

Inputs are flat dicts: ``params.*`` (our leaf names), the signal (``u``, ``x`` or ``inputs``), and where
given ``initial_state``, ``intervals``, ``lengths``, ``statistics.*`` and ``key`` (seed, step). Only
parameters, a real signal and the initial state have cotangents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from s5ref.arrays import Array, check_shape
from s5ref.engine import Call
from s5ref.model.batch import Batch
from s5ref.model.config import LayerConfig, ModelConfig
from s5ref.model.model import Model
from s5ref.model.stack import draw_masks
from s5ref.ssm.config import SSMConfig
from s5ref.ssm.ssm import ssm, ssm_vjp
from s5ref.tree import prefixed, subtree

Arrays = Mapping[str, Array]
Shape = tuple[int, ...]
NamedVjp = Callable[[Arrays], dict[str, Array]]


class Op(NamedTuple):
    """One function of named arrays.

    value_and_vjp  inputs -> (outputs, vjp), vjp(cotangents of the outputs) -> cotangents of the inputs
    outputs        shapes of the inputs -> {name of an output: (its shape, whether it is complex)}
    """

    value_and_vjp: Callable[[Arrays], tuple[dict[str, Array], NamedVjp]]
    outputs: Callable[[Mapping[str, Shape]], dict[str, tuple[Shape, bool]]]


def differentiable(name: str, kind: str) -> bool:
    """Whether an input of that name and dtype kind has a cotangent."""
    return kind in "fc" and (name.startswith("params.") or name in ("u", "x", "inputs", "initial_state"))


def ssm_op(config: SSMConfig, settings: Call) -> Op:
    """The SSM alone: u (N, L, H) → y (N, L, H), state (N, P'). ``params.*`` are the leaves below ``seq``."""
    options = config.ssm_options()

    def value_and_vjp(a: Arrays) -> tuple[dict[str, Array], NamedVjp]:
        call = _call(settings, a)
        (y, state), residuals = ssm(subtree(a, "params"), a["u"], options, call, a.get("initial_state"))

        def vjp(d: Arrays) -> dict[str, Array]:
            dparams, du, dstate = ssm_vjp(residuals, (d["y"], d["state"]), options, call)
            return prefixed("params", dparams) | {"u": du, "initial_state": dstate}

        return {"y": y, "state": state}, vjp

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        u = shapes["u"]
        return {"y": (u, False), "state": ((*u[:1], *shapes["params.Lambda_re"]), True)}

    return Op(value_and_vjp, outputs)


def layer_op(config: LayerConfig, settings: Call, layer: int = 0) -> Op:
    """A whole sequence layer: x (N, L, H) → y, state, and in training ``statistics.*`` after the batch.

    ``params.*`` and ``statistics.*`` are the leaves below ``layers_i``; ``layer`` is i, part of the key
    of its masks.

    Raises
    ------
    ShapeError
        By the function: if x is not (N, L, H).
    """
    options = config.block_options()

    def value_and_vjp(a: Arrays) -> tuple[dict[str, Array], NamedVjp]:
        call = _call(settings, a)
        x = check_shape("layer", "x", a["x"], "N L H", {"H": config.d_model}, "Add the missing axis.")
        masks = draw_masks(layer + 1, len(x), config.d_model, config.dropout, call, a["params.seq.D"])[layer]
        implementation = call.engine.layer(options, call.conditions(x.dtype))
        out, residuals = implementation.value(
            subtree(a, "params"), x, options, call, subtree(a, "statistics"), masks, a.get("initial_state")
        )
        after = prefixed("statistics", out.statistics) if call.training else {}

        def vjp(d: Arrays) -> dict[str, Array]:
            dparams, dx, dstate = implementation.vjp(residuals, (d["y"], d["state"]), options, call)
            return prefixed("params", dparams) | {"x": dx, "initial_state": dstate}

        return {"y": out.y, "state": out.state} | after, vjp

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        x = shapes["x"]
        state = (*x[:1], *shapes["params.seq.Lambda_re"])
        return {"y": (x, False), "state": (state, True)} | _statistics(settings, shapes)

    return Op(value_and_vjp, outputs)


def model_op(config: ModelConfig, settings: Call) -> Op:
    """A whole model: ``inputs`` as in `Batch`, ``lengths`` → output (N, K) or (N, L, K), in training
    ``statistics.*``.
    """
    model = Model(config)

    def value_and_vjp(a: Arrays) -> tuple[dict[str, Array], NamedVjp]:
        call = replace(_call(settings, a), intervals=None)  # those of the batch count
        batch = Batch(a["inputs"], lengths=a.get("lengths"), intervals=a.get("intervals"))
        forward, residuals = model.value(subtree(a, "params"), subtree(a, "statistics"), batch, call)
        after = prefixed("statistics", forward.statistics) if call.training else {}

        def vjp(d: Arrays) -> dict[str, Array]:
            dparams, dinputs, _ = model.vjp(residuals, d["output"])
            return prefixed("params", dparams) | ({} if dinputs is None else {"inputs": dinputs})

        return {"output": forward.output} | after, vjp

    def outputs(shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
        inputs = shapes["inputs"]
        steps = inputs[1:2] if model.head.stepwise else ()
        shape = inputs[0], *steps, model.head.numbers * config.n_classes
        return {"output": (shape, False)} | _statistics(settings, shapes)

    return Op(value_and_vjp, outputs)


def _call(settings: Call, a: Arrays) -> Call:
    """The settings with the key of the masks and the intervals of this call."""
    key = (int(a["key"][0]), int(a["key"][1])) if "key" in a else None
    return replace(settings, key=key, intervals=a.get("intervals"))


def _statistics(settings: Call, shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, bool]]:
    running = shapes if settings.training else {}
    return {name: (shape, False) for name, shape in running.items() if name.startswith("statistics.")}
