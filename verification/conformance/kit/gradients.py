"""Outputs of a candidate, and cotangents by its framework's own autodiff or the vjp that it brings.

Cotangents come back in our convention, dz = ∂L/∂Re z + i ∂L/∂Im z: torch's as they are, jax's conjugated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import leaves
from s5ref.verification.conformance.kit.arrays import given_to, taken_from, unpacked
from s5ref.verification.conformance.protocol import SIGNATURES, Malformed, moving, named_outputs

Found = tuple[dict[str, Any], dict[str, Array] | None]


FILLED = "np.empty"  # among the further arguments: the number that fresh memory of NumPy is to hold


@dataclass(frozen=True)
class Question:
    """A call of one stage: arguments in order, further ones by keyword, and the cotangents of the outputs."""

    stage: str
    args: dict[str, Any]
    further: dict[str, Any]
    cotangent: dict[str, Any] | None

    def given_to(self, framework: str) -> Question:
        args, further = (given_to(framework, tree) for tree in (self.args, self.further))
        return Question(self.stage, args, further, self.cotangent)

    def put_to(self, function: Callable[..., Any]) -> dict[str, Any]:
        found: dict[str, Any] = named_outputs(self.stage, function(*self.args.values(), **self.further))
        return found


def has_gradients(candidate: Any, framework: str) -> bool:
    """Whether its cotangents can be had: torch, jax, or a vjp of its own."""
    return framework in ("torch", "jax") or callable(getattr(candidate, "vjp", None))


def evaluate(candidate: Any, framework: str, question: Question) -> Found:
    """(outputs, {path of an argument: its cotangent}) in NumPy arrays; None where none are asked for."""
    further, cotangent = dict(question.further), question.cotangent
    memory = further.pop(FILLED, None)
    cotangent = None if cotangent is None else {name: unpacked(d) for name, d in cotangent.items()}
    question = replace(question, further=further, cotangent=cotangent)
    with nullcontext() if memory is None else memory_filled(memory):
        return _evaluate(candidate, framework, question)


def _evaluate(candidate: Any, framework: str, question: Question) -> Found:
    own = getattr(candidate, "vjp", None)
    function = getattr(candidate, question.stage)
    if question.cotangent is None or callable(own) or framework not in ("torch", "jax"):
        outputs = taken_from(question.given_to(framework).put_to(function))
        if question.cotangent is None or not callable(own):
            return outputs, None
        return outputs, _own(own, framework, question)
    return {"torch": _torch, "jax": _jax}[framework](function, question)


@contextmanager
def memory_filled(value: float) -> Iterator[None]:
    """np.empty and np.empty_like hand out arrays of ``value``: an element that is not written keeps it."""
    numpy: Any = np
    before = {name: getattr(np, name) for name in ("empty", "empty_like")}

    def filled(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            x = make(*args, **options)
            if x.dtype.kind in "fc":
                x[...] = value
            return x

        return made

    try:
        for name, make in before.items():
            setattr(numpy, name, filled(make))
        yield
    finally:
        for name, make in before.items():
            setattr(numpy, name, make)


def _own(vjp: Callable[..., Any], framework: str, question: Question) -> dict[str, Array]:
    """Of the candidate's vjp: a dict by argument, or a tuple in the order of the arguments."""
    stage, args = question.stage, question.args
    assert question.cotangent is not None
    names = SIGNATURES[stage].outputs
    given = given_to(framework, {name: question.cotangent.get(name) for name in names})
    d = given[names[0]] if len(names) == 1 else tuple(given.values())
    put = question.given_to(framework)
    found = vjp(stage, tuple(put.args.values()), d, **put.further)
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
    flat = dict(leaves(dict(found)))
    return {path: taken_from(flat[path]) for path in moving(stage, args) if path in flat}


def _torch(function: Callable[..., Any], question: Question) -> Found:
    torch = importlib.import_module("torch")
    assert question.cotangent is not None
    put = question.given_to("torch")
    at = dict(leaves(put.args))
    inputs = {path: at[path].requires_grad_() for path in moving(question.stage, question.args)}
    outputs = put.put_to(function)
    values = taken_from(outputs)
    weights = given_to("torch", {name: d for name, d in question.cotangent.items() if d is not None})
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
    return values, taken_from(grads)


def _jax(function: Callable[..., Any], question: Question) -> Found:
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    assert question.cotangent is not None
    weights = given_to("jax", {name: d for name, d in question.cotangent.items() if d is not None})
    put = question.given_to("jax")
    at = dict(leaves(put.args))
    inputs = {path: at[path] for path in moving(question.stage, question.args)}

    def of_inputs(inputs: Mapping[str, Any]) -> Any:
        args = _replaced(put.args, inputs)
        outputs = Question(put.stage, args, put.further, None).put_to(function)
        return {name: outputs[name] for name in weights}, outputs

    chosen, vjp, outputs = jax.vjp(of_inputs, inputs, has_aux=True)
    [found] = vjp({name: jnp.conj(d).astype(chosen[name].dtype) for name, d in weights.items()})
    return taken_from(outputs), taken_from({path: jnp.conj(d) for path, d in found.items()})


def _replaced(args: dict[str, Any], by_path: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The arguments with the leaves at these paths replaced; parameters are a flat dict, one level deep."""
    replaced = {}
    for name, value in args.items():
        path = above + name
        nested = isinstance(value, Mapping)
        replaced[name] = _replaced(dict(value), by_path, f"{path}.") if nested else by_path.get(path, value)
    return replaced
