"""What a case is: one question to a stage, with named inputs, options and cotangents of the outputs.

Inputs are a tree of two levels: arrays by name (``u``, ``x0``), and flat dicts or tuples of arrays
(``params``, ``grads``, ``moments``; ``masks``, ``state``). Parameters have the leaf names of s5ref with
Lambda, B and C joined to complex; running statistics of BatchNorm (``norm.mean``, ``norm.var``) stand among
them. Outputs are flat: ``{"y": …, "statistics.norm.mean": …}``; the cotangent of the input ``params.B`` is
``dparams.B``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from s5ref.arrays import Array
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import cast

Inputs = Mapping[str, Any]
Options = Mapping[str, Any]
Arrays = dict[str, Array]

LEVELS = ("must", "should", "may")
Answer = tuple[Arrays, Callable[[Arrays], dict[str, Any]] | None]  # outputs, and their vjp: see `reference`


@dataclass(frozen=True)
class Case:
    """One question to a stage, with inputs that every binary float holds exactly.

    id         reads like a sentence and is never renumbered; a single number asked for is ``id/output``
    cotangent  of the outputs, {} where the case is about values only
    catches    the mutants of `s5ref.verification.conformance.mutants` that it is there for
    level      "must", "should" or "may" hold in an implementation that claims the features
    features   what an implementation must have for the case to apply
    seed       the id without the precision: the two precisions of a case share it
    """

    id: str
    stage: str
    inputs: Inputs
    options: Options
    comment: str
    catches: tuple[str, ...]
    level: str
    features: tuple[str, ...]
    dtype: str
    seed: str
    cotangent: Arrays = field(default_factory=dict)

    @property
    def numbers(self) -> str:
        """The key of its exact answers and bounds: the precisions share them, but for the draws of init."""
        return self.id if self.stage == "init" else self.seed

    def cast(self, dtype: Any) -> Case:
        """The same numbers in another precision."""
        return replace(self, inputs=cast(dict(self.inputs), dtype), cotangent=cast(self.cotangent, dtype))


def flat(inputs: Inputs) -> Arrays:
    """The tree of inputs by path: ``params.B``, ``masks.0``."""
    return dict(leaves(inputs))


def nested(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The inverse of `flat`: a tuple where the leaves below a name are numbered, else a dict."""
    tree: dict[str, Any] = {}
    for path, leaf in arrays.items():
        name, _, rest = path.partition(".")
        if rest:
            tree.setdefault(name, {})[rest] = leaf
        else:
            tree[name] = leaf
    for name, below in tree.items():
        if isinstance(below, dict) and all(key.isdecimal() for key in below):
            tree[name] = tuple(below.values())
    return tree


def matches(id_: str, pattern: str) -> bool:
    """Whether an id is meant by a pattern: whole with ``*`` and ``?``, or by any part of it."""
    return fnmatchcase(id_, pattern) or pattern in id_
