"""AdamW over flat dicts of leaves, and the table that says which leaf takes which rate and decay.

Upstream (lindermanlab/S5, commit 3c18fdb) groups leaves by the last part of their name. It also lists "norm"
among the SSM names, which never matches a leaf: norm scales and biases are decayed at ``lr``, here as there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.errors import ConfigError, ShapeError
from s5ref.optim.schedule import SCHEDULES
from s5ref.settings import check, check_types, check_words
from s5ref.tree import described

B1, B2, EPS = 0.9, 0.999, 1e-8

LAMBDA = ("Lambda_re", "Lambda_im")

# opt_config: (leaves at ssm_lr without decay, leaves at ssm_lr with decay); log_step joins the first unless
# dt_global; every other leaf is "regular": at lr, with decay. C stands for C, C1 and C2.
OPT_CONFIGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "standard": (("B", *LAMBDA), ()),
    "BandCdecay": (LAMBDA, ("B",)),
    "BfastandCdecay": (LAMBDA, ()),
    "noBCdecay": (("B", "C", "D", *LAMBDA), ()),
}


@dataclass(frozen=True)
class Rates:
    """What `AdamW` and `OptimConfig` have in common: the groups, their base rates and decay, the schedule."""

    opt_config: str = "standard"
    dt_global: bool = False
    ssm_lr: float = 1e-3
    lr: float = 4e-3
    weight_decay: float = 0.01
    schedule: str = "warmup_cosine"

    def __post_init__(self) -> None:
        check_types("optim", self)
        check_words("optim", self, opt_config=[*OPT_CONFIGS], schedule=[*SCHEDULES])
        for name in ("ssm_lr", "lr"):
            value = getattr(self, name)
            check(f"optim.{name}", value, "finite and > 0", 0 < value < math.inf)
        check("optim.weight_decay", self.weight_decay, "finite and ≥ 0", 0 <= self.weight_decay < math.inf)


@dataclass(frozen=True)
class Group:
    """Leaves that move alike: ``rate`` is "ssm_lr" or "lr"; ``weight_decay`` is AdamW's λ (0: Adam)."""

    name: str
    rate: str
    weight_decay: float


@described
class Moments(NamedTuple):
    """Running means of g and of g², per leaf."""

    first: dict[str, Array]
    second: dict[str, Array]


def group_table(names: Iterable[str], config: Rates) -> dict[str, Group]:
    """The group of every leaf.

    Parameters
    ----------
    names : iterable of str
        Leaf names of a model, such as ``layers_0.seq.B``.
    config : Rates
        An `OptimConfig` or an `AdamW`.

    Returns
    -------
    dict of leaf names to Group

    Raises
    ------
    ConfigError
        If a pattern of the table matches no leaf.
    """
    plain, decayed = OPT_CONFIGS[config.opt_config]
    if not config.dt_global:
        plain = (*plain, "log_step")
    ssm, ssm_decayed = Group("ssm", "ssm_lr", 0.0), Group("ssm decayed", "ssm_lr", config.weight_decay)
    table = {name: Group("regular", "lr", config.weight_decay) for name in names}
    for patterns, group in ((plain, ssm), (decayed, ssm_decayed)):
        for pattern in patterns:
            leaves = [name for name in table if _matches(name, pattern)]
            if not leaves:
                raise ConfigError(
                    f"Every pattern of opt_config={config.opt_config} must match a leaf; {pattern} matches "
                    f"none of {', '.join(table) or 'no leaves'}.",
                    "Pass the names of the model's own parameters, for example layers_0.seq.B.",
                )
            table.update(dict.fromkeys(leaves, group))
    return table


def _matches(name: str, pattern: str) -> bool:
    last = name.rpartition(".")[2]
    return last in ("C", "C1", "C2") if pattern == "C" else last == pattern


def init_moments(params: Leaves) -> Moments:
    """Zeros of each leaf's shape and dtype."""
    first, second = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    return Moments(first, second)


def adamw(
    params: Leaves,
    grads: Leaves,
    moments: Moments,
    count: int,
    groups: Mapping[str, Group],
    rates: Mapping[str, float],
) -> tuple[dict[str, Array], Moments]:
    """Update number ``count`` of AdamW. Pure: new arrays of each leaf's dtype.

    Parameters
    ----------
    params, grads : mapping of leaf names to real arrays
        Of equal shapes and dtypes.
    moments : Moments
    count : int
        From 1.
    groups : mapping of leaf names to Group
    rates : {"lr": float, "ssm_lr": float}

    Returns
    -------
    params, moments

    Raises
    ------
    ShapeError
        On a gradient of another shape or dtype than its leaf.

    Notes
    -----
    p ← p − rate·(m̂/(√v̂ + eps) + λp), m̂ = m/(1 − b1ᵗ), v̂ = v/(1 − b2ᵗ): optax's semantics.
    The decay is decoupled (Loshchilov and Hutter 2019): λ never enters the moments. The result depends on the
    arguments alone, bit for bit. docs/derivations/optim.md.
    """
    new_params: dict[str, Array] = {}
    first: dict[str, Array] = {}
    second: dict[str, Array] = {}
    correct1, correct2 = 1.0 - B1**count, 1.0 - B2**count
    for name, p in params.items():
        g, group = grads[name], groups[name]
        if g.shape != p.shape or g.dtype != p.dtype:
            raise ShapeError(
                f"adamw: the gradient of {name} must be {p.dtype} {p.shape}; got {g.dtype} {g.shape}.",
                "Compute gradients in the parameters' dtype.",
            )
        g = g if g.flags.c_contiguous else g.copy()  # one layout, so that a restored state has the same
        m = B1 * moments.first[name] + (1.0 - B1) * g
        v = B2 * moments.second[name] + (1.0 - B2) * (g * g)
        step = (m / correct1) / (np.sqrt(v / correct2) + EPS)
        if group.weight_decay:
            step = step + group.weight_decay * p
        new_params[name], first[name], second[name] = p - rates[group.rate] * step, m, v
    return new_params, Moments(first, second)


def first_nonfinite(arrays: Leaves) -> str | None:
    """The first leaf that holds a NaN or an infinity. One sum per leaf tells whether to look."""
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(sum(float(np.sum(x)) for x in arrays.values())):
            return None
        return next((name for name, x in arrays.items() if not bool(np.isfinite(x).all())), None)
