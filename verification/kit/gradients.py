"""Cotangents of a candidate's arguments: by its framework's own autodiff, or by the vjp that it brings.

All come back in our convention, dz = ∂L/∂Re z + i ∂L/∂Im z: torch's as they are, jax's conjugated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from s5ref.verification.kit.arrays import given_to, taken_from
from s5ref.verification.kit.protocol import SIGNATURES, Malformed, moving, named_outputs

from s5ref.arrays import Array
from s5ref.tree import leaves

Args = dict[str, Any]
Cotangent = Mapping[str, Any]


def has_gradients(candidate: Any, framework: str) -> bool:
    """Whether its cotangents can be had: torch, jax, or a vjp of its own."""
    return framework in ("torch", "jax") or callable(getattr(candidate, "vjp", None))


def evaluate(
    candidate: Any, framework: str, stage: str, args: Args, cotangent: Cotangent | None
) -> tuple[dict[str, Any], dict[str, Array] | None]:
    """(outputs, {path of an argument: its cotangent}) in NumPy arrays; no cotangents without ``cotangent``."""
    own = getattr(candidate, "vjp", None)
    function = getattr(candidate, stage)
    if cotangent is None or callable(own) or framework not in ("torch", "jax"):
        outputs = taken_from(named_outputs(stage, function(*given_to(framework, args).values())))
        if cotangent is None or not callable(own):
            return outputs, None
        return outputs, _own(own, framework, stage, args, cotangent)
    return {"torch": _torch, "jax": _jax}[framework](function, stage, args, cotangent)


def _own(
    vjp: Callable[..., Any], framework: str, stage: str, args: Args, cotangent: Cotangent
) -> dict[str, Array]:
    """Of the candidate's vjp: a dict by argument, or a tuple in the order of the arguments."""
    names = SIGNATURES[stage].outputs
    given = given_to(framework, {name: cotangent.get(name) for name in names})
    d = given[names[0]] if len(names) == 1 else tuple(given.values())
    found = vjp(stage, tuple(given_to(framework, args).values()), d)
    if isinstance(found, tuple | list):
        order = tuple(args) if len(found) == len(args) else SIGNATURES[stage].differentiable
        if len(found) != len(order):
            raise Malformed(
                f"vjp of {stage} must return a dict by argument, or one value per argument of "
                f"({', '.join(SIGNATURES[stage].differentiable)}); it returned {len(found)} values"
            )
        found = dict(zip(order, found, strict=True))
    if not isinstance(found, Mapping):
        raise Malformed(f"vjp of {stage} must return a dict or a tuple; it returned {type(found).__name__}")
    wanted = moving(stage, args)
    flat = dict(leaves(dict(found)))
    return {path: taken_from(flat[path]) for path in wanted if path in flat}


def _torch(
    function: Callable[..., Any], stage: str, args: Args, cotangent: Cotangent
) -> tuple[dict[str, Any], dict[str, Array]]:
    torch = importlib.import_module("torch")
    tensors = given_to("torch", args)
    at = dict(leaves(tensors))
    inputs = {path: at[path].requires_grad_() for path in moving(stage, args)}
    outputs = named_outputs(stage, function(*tensors.values()))
    weights = given_to("torch", {name: d for name, d in cotangent.items() if d is not None})
    attached = [name for name in weights if getattr(outputs[name], "requires_grad", False)]
    found: Any = [None] * len(inputs)
    if attached:
        found = torch.autograd.grad(
            [outputs[name] for name in attached], list(inputs.values()),
            [weights[name].to(outputs[name].dtype) for name in attached], allow_unused=True,
        )  # fmt: skip
    grads = {
        path: torch.zeros_like(leaf) if d is None else d
        for (path, leaf), d in zip(inputs.items(), found, strict=True)
    }
    return taken_from(outputs), taken_from(grads)


def _jax(
    function: Callable[..., Any], stage: str, args: Args, cotangent: Cotangent
) -> tuple[dict[str, Any], dict[str, Array]]:
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    names = [name for name, d in cotangent.items() if d is not None]
    given = given_to("jax", args)
    inputs = {path: dict(leaves(given))[path] for path in moving(stage, args)}

    def of_inputs(inputs: Mapping[str, Any]) -> Any:
        outputs = named_outputs(stage, function(*_replaced(given, inputs).values()))
        return {name: outputs[name] for name in names}, outputs

    chosen, vjp, outputs = jax.vjp(of_inputs, inputs, has_aux=True)
    weights = given_to("jax", {name: cotangent[name] for name in names})
    [found] = vjp({name: jnp.conj(weights[name]).astype(chosen[name].dtype) for name in names})
    return taken_from(outputs), taken_from({path: jnp.conj(d) for path, d in found.items()})


def _replaced(args: Args, by_path: Mapping[str, Any], path: str = "") -> Args:
    """The arguments with the leaves at these paths replaced; parameters are a flat dict, one level deep."""
    replaced = {}
    for name, value in args.items():
        here = f"{path}{name}"
        nested = isinstance(value, Mapping)
        replaced[name] = _replaced(dict(value), by_path, f"{here}.") if nested else by_path.get(here, value)
    return replaced
