"""The configuration of a model, and the one place where its words become functions."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from s5ref.engine import Pair
from s5ref.errors import S5Error
from s5ref.model import mix
from s5ref.model.block import BlockOptions
from s5ref.ssm.init import c_complex_normal, c_lecun_normal, c_trunc_standard_normal
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions

C_INITS = {
    "lecun_normal": c_lecun_normal,
    "trunc_standard_normal": c_trunc_standard_normal,
    "complex_normal": c_complex_normal,
}
ACTIVATIONS = {
    "gelu": Pair(mix.gelu_only, mix.gelu_only_vjp),
    "half_glu1": Pair(mix.half_glu1, mix.half_glu1_vjp),
    "half_glu2": Pair(mix.half_glu2, mix.half_glu2_vjp),
    "full_glu": Pair(mix.full_glu, mix.full_glu_vjp),
}
GELUS = {"tanh": attrgetter("gelu_tanh"), "erf": attrgetter("gelu_erf")}  # which kernel of the engine
WORDS: dict[str, tuple[str, ...]] = {
    "discretization": tuple(DISCRETIZATIONS),
    "c_init": tuple(C_INITS),
    "activation": tuple(ACTIVATIONS),
    "gelu": tuple(GELUS),
    "norm": ("batch", "layer"),
    "pooling": ("mean", "last"),
    "padding": ("upstream", "masked"),
    "head": ("classifier", "retrieval", "regression"),
}


@dataclass(frozen=True)
class ModelConfig:
    """A deep S5 model. ``ssm_size`` is the full P: with conj_sym P/2 states are kept."""

    n_layers: int = 4
    d_model: int = 96
    ssm_size: int = 128
    blocks: int = 1
    in_dim: int = 1
    n_classes: int = 10
    bidirectional: bool = False
    conj_sym: bool = True
    clip_eigs: bool = False
    discretization: str = "zoh"
    c_init: str = "trunc_standard_normal"
    activation: str = "half_glu1"
    gelu: str = "tanh"
    norm: str = "batch"
    prenorm: bool = True
    bn_momentum: float = 0.95
    dropout: float = 0.0
    dt_min: float = 0.001
    dt_max: float = 0.1
    pooling: str = "mean"
    padding: str = "upstream"
    head: str = "classifier"

    def __post_init__(self) -> None:
        for key, words in WORDS.items():
            check_word("model", key, getattr(self, key), words)
        for key in ("n_layers", "d_model", "ssm_size", "blocks", "in_dim", "n_classes"):
            _require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        _require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)
        _require(0 <= self.bn_momentum <= 1, "bn_momentum", "in [0, 1]", self.bn_momentum)
        _require(
            0 < self.dt_min <= self.dt_max,
            "dt_min, dt_max",
            "0 < dt_min ≤ dt_max",
            (self.dt_min, self.dt_max),
        )
        _require(
            self.ssm_size % self.blocks == 0,
            "blocks",
            f"a divisor of ssm_size = {self.ssm_size}",
            self.blocks,
        )
        size = self.ssm_size // self.blocks
        _require(
            not (self.conj_sym and size % 2),
            "ssm_size / blocks",
            "even under conj_sym, which keeps half of a block",
            size,
        )

    def block_options(self) -> BlockOptions:
        """The functions that the words name."""
        return BlockOptions(
            ssm=SSMOptions(
                self.conj_sym, self.bidirectional, self.clip_eigs, DISCRETIZATIONS[self.discretization]
            ),
            mix=ACTIVATIONS[self.activation],
            gelu=GELUS[self.gelu],
            batch_norm=self.norm == "batch",
            prenorm=self.prenorm,
            bn_momentum=self.bn_momentum,
        )


def check_word(section: str, key: str, word: Any, words: tuple[str, ...]) -> None:
    """S5Error naming the nearest valid word, if ``word`` is not one of ``words``."""
    if word not in words:
        near = difflib.get_close_matches(str(word), words, 1)
        hint = f"Did you mean {near[0]!r}?" if near else "Choose one of them."
        raise S5Error(f"{section}.{key} must be one of {', '.join(words)}; got {word!r}.", hint)


def _require(holds: bool, key: str, invariant: str, got: Any) -> None:
    if not holds:
        raise S5Error(f"model.{key} must be {invariant}; got {got}.", f"Change {key} in the configuration.")
