"""What a stage is: named inputs, options, named outputs, and the reference's own values and cotangents of
them.

Inputs are a tree of two levels: arrays by name (``u``, ``x0``), and flat dicts or tuples of arrays
(``params``, ``grads``, ``moments``; ``masks``, ``state``). Parameters have the leaf names of s5ref with
Lambda, B and C joined to complex; running statistics of BatchNorm (``norm.mean``, ``norm.var``) stand among
them. Outputs are flat: ``{"y": …, "statistics.norm.mean": …}``; the cotangent of the input ``params.B`` is
``dparams.B``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.tree import leaves
from s5ref.verification.conformance.protocol import SIGNATURES, Signature
from s5ref.verification.rounding.budget import cast

Inputs = Mapping[str, Any]
Options = Mapping[str, Any]
Arrays = dict[str, Array]

LEVELS = ("must", "should", "may")
DICTS = ("params", "grads", "moments")  # inputs that are flat dicts of arrays
TUPLES = ("masks", "state")  # inputs that are tuples of arrays; a state may be one array as well


@dataclass(frozen=True)
class Stage:
    """One stage of the protocol with the reference's values and cotangents, carried out by any engine."""

    name: str
    evaluate: Callable[[Inputs, Options, Engine], Arrays]
    cotangents: Callable[[Inputs, Options, Arrays, Engine], Arrays] | None = None

    @property
    def signature(self) -> Signature:
        return SIGNATURES[self.name]


@dataclass(frozen=True)
class Case:
    """One question to a stage, with inputs that every binary float holds exactly.

    id         reads like a sentence and is never renumbered; a single number asked for is ``id/output``
    cotangent  of the outputs, {} where the case is about values only
    catches    the mutants of `s5ref.verification.conformance.mutants` that it is there for
    level      "must", "should" or "may" hold in an implementation that claims the features
    features   what an implementation must have for the case to apply
    seed       the key of the draws
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

    def cast(self, dtype: Any) -> Case:
        """The same numbers in another precision."""
        return replace(self, inputs=cast(dict(self.inputs), dtype), cotangent=cast(self.cotangent, dtype))


def flat(inputs: Inputs) -> Arrays:
    """The tree of inputs by path: ``params.B``, ``masks.0``."""
    return dict(leaves(inputs))


def nested(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The inverse of `flat`."""
    tree: dict[str, Any] = {}
    for path, leaf in arrays.items():
        name, _, rest = path.partition(".")
        if not rest:
            tree[name] = leaf
        elif name in DICTS:
            tree.setdefault(name, {})[rest] = leaf
        else:
            tree.setdefault(name, []).append(leaf)
    return {name: tuple(leaf) if isinstance(leaf, list) else leaf for name, leaf in tree.items()}
