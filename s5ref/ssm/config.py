"""The configuration of one SSM, and the one place where its words become functions."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from s5ref.errors import ConfigError
from s5ref.settings import check_word
from s5ref.ssm.init import C_INITS
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions


@dataclass(frozen=True)
class SSMConfig:
    """One S5 state-space model. Options that are not given take the values of upstream.

    Parameters
    ----------
    d_model : int
        H, the number of features of input and output.
    ssm_size : int
        P, the size of the full state; with ``conj_sym`` P' = P/2 states are kept, else P' = P.
    blocks : int
        J, the number of HiPPO blocks along the diagonal of the initial state matrix; divides P.
    bidirectional : bool
        A second scan from the last step to the first, with an output matrix of its own.
    conj_sym : bool
        Keep one state of each conjugate pair.
    clip_eigs : bool
        Keep Re Λ ≤ −1e-4, so that every state decays.
    discretization : {"zoh", "bilinear", "dirac"}
        From continuous time to steps: zero-order hold, Tustin, or an impulse at each step.
    c_init : {"lecun_normal", "trunc_standard_normal", "complex_normal"}
        How the initial C̃ is drawn.
    dt_min, dt_max : float
        Initial steps Δ are log-uniform between them, in units of the sampling interval; 0 < dt_min ≤ dt_max.

    Raises
    ------
    S5Error
        Naming the key, the invariant and what arrived.
    """

    d_model: int = 96
    ssm_size: int = 128
    blocks: int = 1
    bidirectional: bool = False
    conj_sym: bool = True
    clip_eigs: bool = False
    discretization: str = "zoh"
    c_init: str = "trunc_standard_normal"
    dt_min: float = 0.001
    dt_max: float = 0.1

    def __post_init__(self) -> None:
        check_word("model", "discretization", self.discretization, tuple(DISCRETIZATIONS))
        check_word("model", "c_init", self.c_init, tuple(C_INITS))
        for key in ("d_model", "ssm_size", "blocks"):
            require_count(key, getattr(self, key))
        dt = self.dt_min, self.dt_max
        require(0 < self.dt_min <= self.dt_max, "dt_min, dt_max", "0 < dt_min ≤ dt_max", dt)
        of_P = f"a divisor of ssm_size = {self.ssm_size}"
        require(self.ssm_size % self.blocks == 0, "blocks", of_P, self.blocks)
        size = self.ssm_size // self.blocks
        even = "even under conj_sym, which keeps half of a block"
        require(not (self.conj_sym and size % 2), "ssm_size / blocks", even, size)

    @property
    def kept(self) -> int:
        """P', the number of states that are kept."""
        return self.ssm_size // 2 if self.conj_sym else self.ssm_size

    def ssm_options(self) -> SSMOptions:
        """The functions that the words name."""
        rule = DISCRETIZATIONS[self.discretization]
        return SSMOptions(self.conj_sym, self.bidirectional, self.clip_eigs, rule)


def require_count(key: str, got: Any) -> None:
    """ConfigError naming ``model.key``, unless the value is an integer ≥ 1."""
    require(isinstance(got, Integral) and int(got) >= 1, key, "an integer of at least 1", got)


def require(holds: bool, key: str, invariant: str, got: Any) -> None:
    """ConfigError naming a key of [model] and its invariant, unless it holds."""
    if not holds:
        raise ConfigError(
            f"model.{key} must be {invariant}; got {got}.", f"Change {key} in the configuration."
        )
