"""What a candidate may implement: stages, their arguments in order, their outputs, and what has a cotangent.

A candidate is an object with any subset of these as methods. Arrays are (N, L, ·); complex is complex; params
is a flat dict of our leaf names in which Lambda, B and C (or C1, C2) are joined to complex. Options, and the
arrays that few take (resets, reset_state, segments, intervals of a model), go by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref.tree import leaves


class Signature(NamedTuple):
    """A stage as a function.

    args     its arguments in order
    outputs  the names of what it returns
    differentiable  the arguments that have cotangents, where they are given
    plain    the arguments that are words or numbers; the others are arrays, and trees of them
    optional  the arrays that may be missing
    further  the arrays that go by name, to those that take them
    final    what it returns besides where the option ``final_state`` asks for it
    """

    args: tuple[str, ...]
    outputs: tuple[str, ...]
    differentiable: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    final: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The arguments that are arrays."""
        return tuple(name for name in self.args if name not in self.plain)


SIGNATURES = {
    "init": Signature(("config", "seed"), ("params",), plain=("config", "seed")),
    "discretize": Signature(
        ("Lambda", "Delta", "method"), ("Lambda_bar", "gain"), ("Lambda", "Delta"), plain=("method",)
    ),
    "scan": Signature(
        ("Lambda_bar", "Bu", "x0", "reverse"), ("x", "x_last"), ("Lambda_bar", "Bu", "x0"),
        plain=("reverse",), optional=("x0",), further=("resets", "reset_state"),
    ),
    "ssm": Signature(
        ("params", "u", "x0", "bidirectional", "step_rescale", "intervals"), ("y",), ("params", "u", "x0"),
        plain=("bidirectional", "step_rescale"), optional=("x0", "intervals"), further=("resets",),
        final=("x_last",),
    ),
    "step": Signature(("params", "state", "u_k"), ("state", "y")),
    "layer": Signature(
        ("params", "x", "train", "masks"), ("y", "statistics"), ("params", "x"),
        plain=("train",), optional=("masks",),
    ),
    "model": Signature(
        ("params", "x", "lengths"), ("log_probabilities",), ("params", "x"),
        optional=("lengths",), further=("segments", "intervals", "resets"),
    ),
    "update": Signature(("params", "grads", "moments", "k"), ("params", "moments"), plain=("k",)),
    "reload": Signature(("params",), ("params",)),
    "groups": Signature(("params",), ("rates", "decays")),
}  # fmt: skip


def outputs_of(stage: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of what a stage returns when it is called with these options."""
    signature = SIGNATURES[stage]
    return signature.outputs + (signature.final if options.get("final_state") else ())


def taking(*names: str) -> Callable[[Any], Any]:
    """A method whose further keywords are these, for whoever reads its signature."""

    def mark(method: Any) -> Any:
        own = inspect.signature(method)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
        method.__signature__ = own.replace(parameters=[*kept, *more])
        return method

    return mark


class Malformed(Exception):
    """What a candidate returned has not the form of its stage's outputs."""


def named_outputs(stage: str, returned: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a stage that was called with these options, by name, from a single value, a tuple in
    order, or a dict.
    """
    names = outputs_of(stage, options)
    if isinstance(returned, Mapping) and len(names) > 1 and set(names) <= set(returned):
        return {name: returned[name] for name in names}
    if len(names) == 1:
        single = isinstance(returned, tuple | list) and len(returned) == 1
        return {names[0]: returned[0] if single else returned}
    if not isinstance(returned, tuple | list) or len(returned) != len(names):
        what = f"{len(returned)} values" if isinstance(returned, tuple | list) else type(returned).__name__
        raise Malformed(f"{stage} must return ({', '.join(names)}); it returned {what}")
    return dict(zip(names, returned, strict=True))


def is_statistic(name: str) -> bool:
    """Whether a leaf is a running statistic: a given number, without a gradient."""
    return name.endswith(("norm.mean", "norm.var"))


def moving(stage: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """{path: leaf} of the real and complex arrays among the differentiable arguments, ``params.B``, ``u``,
    running statistics left out."""
    chosen = {name: args[name] for name in SIGNATURES[stage].differentiable if args.get(name) is not None}
    return {
        path: leaf for path, leaf in leaves(chosen)
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc" and not is_statistic(path)
    }  # fmt: skip
