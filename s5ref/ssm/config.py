"""The configuration of one SSM, and the one place where its words become functions."""

from __future__ import annotations

from dataclasses import dataclass

from s5ref.settings import check, check_count, check_words
from s5ref.ssm.hippo import STATE_INITS
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
    discretization : {"zoh", "bilinear", "dirac", "async", "foh"}
        From continuous time to steps: zero-order hold, Tustin, an impulse at each step, events that decay
        over their intervals, first-order hold. docs/irregular.md says which for which data.
    state_init : {"hippo", "antisymmetric", "antisymmetric_wide", "gaussian"}
        The state matrix at first: HiPPO-N, or a random one, each described by the function of this name in
        s5ref.ssm.hippo.
    c_init : {"lecun_normal", "trunc_standard_normal", "complex_normal"}
        How the initial C̃ is drawn.
    dt_min, dt_max : float
        Initial steps Δ are log-uniform between them, in units of the sampling interval; 0 < dt_min ≤ dt_max.
    dt_scalar : bool
        One Δ for all states, instead of one for each.
    learn_initial_state : bool
        Sequences, and episodes after a reset, start from the leaf x0 (P', 2), zero at first; in the two
        directions from x0_1 and x0_2. Otherwise they start from zero.

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
    state_init: str = "hippo"
    c_init: str = "trunc_standard_normal"
    dt_min: float = 0.001
    dt_max: float = 0.1
    dt_scalar: bool = False
    learn_initial_state: bool = False

    def __post_init__(self) -> None:
        check_words(
            "model", self, discretization=[*DISCRETIZATIONS], state_init=[*STATE_INITS], c_init=[*C_INITS]
        )
        for key in ("d_model", "ssm_size", "blocks"):
            check_count(f"model.{key}", getattr(self, key))
        low, high = self.dt_min, self.dt_max
        check("model.dt_min, dt_max", (low, high), "0 < dt_min ≤ dt_max", 0 < low <= high)
        size, rest = divmod(self.ssm_size, self.blocks)
        check("model.blocks", self.blocks, f"a divisor of ssm_size = {self.ssm_size}", rest == 0)
        even = "even under conj_sym, which keeps half of a block"
        check("model.ssm_size / blocks", size, even, not (self.conj_sym and size % 2))
        check(
            "model.conj_sym", self.conj_sym,
            "false with state_init = gaussian, whose real eigenvalues have no conjugates",
            not (self.conj_sym and self.state_init == "gaussian"),
        )  # fmt: skip

    @property
    def kept(self) -> int:
        """P', the number of states that are kept."""
        return self.ssm_size // 2 if self.conj_sym else self.ssm_size

    @property
    def timescales(self) -> int:
        """The number of steps Δ: P', or 1 for all states."""
        return 1 if self.dt_scalar else self.kept

    @property
    def state_size(self) -> int:
        """S, the length of a carried state: P', or 2P' where the rule holds an input over two samples."""
        return self.kept * DISCRETIZATIONS[self.discretization].gains

    def ssm_options(self) -> SSMOptions:
        """The functions that the words name."""
        rule = DISCRETIZATIONS[self.discretization]
        return SSMOptions(self.conj_sym, self.bidirectional, self.clip_eigs, rule, self.learn_initial_state)
