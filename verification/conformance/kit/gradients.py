"""Outputs of a candidate, and cotangents by its framework's own autodiff or the vjp that it brings.

Cotangents come back in our convention, dz = ∂L/∂Re z + i ∂L/∂Im z: torch's as they are, jax's conjugated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import leaves
from s5ref.verification.conformance.kit.arrays import Foreign, given_to, taken_from, unpacked
from s5ref.verification.conformance.protocol import (
    SIGNATURES,
    Malformed,
    moving,
    named_outputs,
    outputs_of,
)

FILLED = "np.empty"  # among the further arguments: the number that fresh memory of NumPy is to hold


class Found(NamedTuple):
    """What came of a question.

    outputs  by name
    grads    {path of an argument: its cotangent}; None where none were asked for, or the backward pass raised
    raised   what the backward pass raised, which leaves the outputs as they are
    """

    outputs: dict[str, Any]
    grads: dict[str, Array] | None = None
    raised: Exception | None = None


@dataclass(frozen=True)
class Question:
    """A call of one stage: arguments in order, and further ones by keyword."""

    stage: str
    args: dict[str, Any]
    further: dict[str, Any]

    def given_to(self, framework: str) -> Question:
        return Question(self.stage, given_to(framework, self.args), given_to(framework, self.further))

    def put_to(self, function: Callable[..., Any]) -> dict[str, Any]:
        returned = function(*self.args.values(), **self.further)
        return dict(named_outputs(self.stage, returned, self.further))


def has_gradients(candidate: Any, framework: str) -> bool:
    """Whether its cotangents can be had: torch, jax, or a vjp of its own."""
    return framework in ("torch", "jax") or callable(getattr(candidate, "vjp", None))


def evaluate(
    candidate: Any, framework: str, question: Question, cotangent: Mapping[str, Any] | None
) -> Found:
    """Outputs and cotangents in NumPy arrays.

    ``cotangent``: of the outputs by name, packed or None; None where only outputs are asked for.
    """
    memory = question.further.pop(FILLED, None)
    d = {name: unpacked(x) for name, x in (cotangent or {}).items() if x is not None}
    own, function = getattr(candidate, "vjp", None), getattr(candidate, question.stage)
    with nullcontext() if memory is None else memory_filled(memory):
        if cotangent is not None and framework in ("torch", "jax") and not callable(own):
            try:
                return {"torch": _torch, "jax": _jax}[framework](function, question, d)
            except Exception as error:  # if it is the function that raises, it does so again without autodiff
                return Found(_plain(function, question, framework), raised=error)
        outputs = _plain(function, question, framework)
        if cotangent is None or not callable(own):
            return Found(outputs)
        try:
            return Found(outputs, _own(own, framework, question, d))
        except (NotImplementedError, Malformed, Foreign):
            raise
        except Exception as error:
            return Found(outputs, raised=error)


def _plain(function: Callable[..., Any], question: Question, framework: str) -> dict[str, Any]:
    """Outputs alone."""
    if framework == "jax":
        return _jax(function, question, None).outputs
    outputs: dict[str, Any] = taken_from(question.given_to(framework).put_to(function))
    return outputs


def memory_filled(value: float) -> AbstractContextManager[Any]:
    """np.empty and np.empty_like hand out arrays of ``value``: an element that is not written keeps it."""

    def filled(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            x = make(*args, **options)
            if x.dtype.kind in "fc":
                x[...] = value
            return x

        return made

    return patch.multiple(np, empty=filled(np.empty), empty_like=filled(np.empty_like))


def _own(
    vjp: Callable[..., Any], framework: str, question: Question, cotangent: Mapping[str, Array]
) -> dict[str, Array]:
    """Of the candidate's vjp: a dict by argument, or a tuple in the order of the arguments."""
    stage, args = question.stage, question.args
    given = given_to(framework, [cotangent.get(name) for name in outputs_of(stage, question.further)])
    d = given[0] if len(given) == 1 else tuple(given)
    put = question.given_to(framework)
    grads, order = vjp(stage, tuple(put.args.values()), d, **put.further), SIGNATURES[stage].differentiable
    if isinstance(grads, tuple | list):
        order = tuple(args) if len(grads) == len(args) else order
        if len(grads) != len(order):
            raise Malformed(
                f"vjp of {stage} must return a dict by argument, or one value per argument of "
                f"({', '.join(order)}); it returned {len(grads)} values"
            )
        grads = dict(zip(order, grads, strict=True))
    if not isinstance(grads, Mapping):
        raise Malformed(f"vjp of {stage} must return a dict or a tuple; it returned {type(grads).__name__}")
    flat = dict(leaves(dict(grads)))
    return {path: taken_from(flat[path]) for path in moving(stage, args) if path in flat}


def _torch(function: Callable[..., Any], question: Question, cotangent: Mapping[str, Array]) -> Found:
    torch = importlib.import_module("torch")
    put = question.given_to("torch")
    at = dict(leaves(put.args))
    inputs = {path: at[path].requires_grad_() for path in moving(question.stage, question.args)}
    outputs = put.put_to(function)
    values, weights = taken_from(outputs), given_to("torch", dict(cotangent))
    attached = [name for name in weights if getattr(outputs[name], "requires_grad", False)]
    cotangents: Any = [None] * len(inputs)
    if attached:
        cotangents = torch.autograd.grad(
            [outputs[name] for name in attached], list(inputs.values()),
            [weights[name].to(outputs[name].dtype) for name in attached], allow_unused=True,
        )  # fmt: skip
    grads = {
        path: torch.zeros_like(leaf) if d is None else d
        for (path, leaf), d in zip(inputs.items(), cotangents, strict=True)
    }
    return Found(values, taken_from(grads))


_COMPILED: dict[Any, Callable[..., Any]] = {}
QUICKLY = {
    "compiler_options": {"xla_cpu_use_fusion_emitters": False}
}  # a third of the time for small programs


@cache
def _of_jit() -> dict[str, Any]:
    """`QUICKLY`, if the jax and the XLA that are here know it."""
    jax = importlib.import_module("jax")
    try:
        jax.jit(lambda x: x + 1, **QUICKLY)(0)
    except Exception:  # an argument of other versions of jit, or an option of other versions of XLA
        return {}
    return QUICKLY


def _jax(function: Callable[..., Any], question: Question, cotangent: Mapping[str, Array] | None) -> Found:
    """Compiled as one function, as users of jax run a step: most of the time goes into compiling, which
    questions of the same form share. What cannot be compiled runs as it is, and raises as it does.
    """
    jax = importlib.import_module("jax")
    put = question.given_to("jax")
    weights = None if cotangent is None else given_to("jax", dict(cotangent))
    leaves_, form = jax.tree_util.tree_flatten((put.args, put.further))
    arrays = {i: leaf for i, leaf in enumerate(leaves_) if isinstance(leaf, jax.Array)}
    plain = {i: leaf for i, leaf in enumerate(leaves_) if i not in arrays}

    def run(arrays: Mapping[int, Any], weights: Mapping[str, Any] | None) -> Any:
        args, further = jax.tree_util.tree_unflatten(
            form, [arrays.get(i, plain.get(i)) for i in range(len(leaves_))]
        )
        put = Question(question.stage, {name: args[name] for name in question.args}, further)  # jax sorts
        paths = moving(question.stage, question.args) if weights is not None else {}
        return _jax_vjp(function, put, list(paths), weights)

    outputs, grads = None, None
    if arrays:
        key = function, question.stage, form, tuple(plain.items())
        with suppress(Exception):
            outputs, grads = _COMPILED.setdefault(key, jax.jit(run, **_of_jit()))(arrays, weights)
    if outputs is None:
        outputs, grads = run(arrays, weights)
    return Found(taken_from(outputs), taken_from(grads))


def _jax_vjp(
    function: Callable[..., Any], put: Question, paths: Sequence[str], weights: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(outputs, cotangents of the arguments at these paths); None where there are no weights."""
    if weights is None:
        return put.put_to(function), None
    jax, jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    at = dict(leaves(put.args))

    def of_inputs(inputs: Mapping[str, Any]) -> Any:
        outputs = replace(put, args=_replaced(put.args, inputs)).put_to(function)
        return {name: outputs[name] for name in weights}, outputs

    chosen, vjp, outputs = jax.vjp(of_inputs, {path: at[path] for path in paths}, has_aux=True)
    [cotangents] = vjp({name: jnp.conj(d).astype(chosen[name].dtype) for name, d in weights.items()})
    return outputs, {path: jnp.conj(d) for path, d in cotangents.items()}


def _replaced(args: dict[str, Any], by_path: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The arguments with the leaves at these paths replaced; parameters are a flat dict, one level deep."""
    return {
        name: _replaced(dict(value), by_path, f"{above}{name}.")
        if isinstance(value, Mapping)
        else by_path.get(above + name, value)
        for name, value in args.items()
    }
