"""The SSM as an object: its parameters, its value and vjp, its single step; and the scan on any engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from s5ref import random
from s5ref.arrays import Array, Leaves, as_array, check_shape, to_pairs
from s5ref.engine import Call, Engine, Vjp, as_engine
from s5ref.errors import ShapeError
from s5ref.ssm.config import SSMConfig
from s5ref.ssm.hippo import STATE_INITS, state_matrix
from s5ref.ssm.init import C_INITS, F64
from s5ref.ssm.resets import check_resets, of_every_step, scan_episodes, scan_episodes_vjp
from s5ref.ssm.scan import checked
from s5ref.ssm.ssm import SSMResiduals, initial_state_names, ssm, ssm_vjp
from s5ref.ssm.state_space import StateSpace, to_state_space
from s5ref.ssm.step import Stepper, stepper
from s5ref.tree import described


@described
class SSMOutput(NamedTuple):
    """y (N, L, H) real, and the state after the last step: (N, P') complex, (N, 2P') under first-order
    hold.
    """

    y: Array
    state: Array


@dataclass(frozen=True)
class SSM(SSMConfig):
    """The S5 state-space model of an `SSMConfig`. Holds no arrays: parameters go in, gradients come out.

    x_k = Λ̄ x_{k−1} + B̄ u_k,  y_k = 2 Re(C̃ x_k) + D ∘ u_k (``conj_sym``; else Re). Keywords of a call:

    engine         an `Engine` or its name; None: the default one, `s5ref.engine.DEFAULT`
    step_rescale   multiplies Δ: zero-shot change of the sampling rate
    intervals      (N, L) sampling interval before each step, in units of the regular one; None: regular
    initial_state  (N, P') complex, (N, 2P') under first-order hold; None: the learned one, or zero. A
    bidirectional SSM carries no state
    resets         (N, L) bool, True where an episode begins: the step starts from the learned state, or zero;
    (N,) for the first step; None: nowhere

    Notes
    -----
    S5 paper, sections 3 and 4; docs/derivations/ssm.md.

    Examples
    --------
    >>> import numpy as np, s5ref
    >>> ssm = s5ref.SSM(d_model=4, ssm_size=8)
    >>> params = ssm.init(seed=0)
    >>> (y, state), vjp = ssm.forward_and_vjp(params, np.ones((2, 10, 4)))
    >>> dparams, du, dinitial_state = vjp(np.ones_like(y))
    """

    def init(self, seed: int = 0, dtype: Any = "float32") -> dict[str, Array]:
        """Initial parameters: a function of configuration and seed, computed in float64 and rounded once.

        Returns
        -------
        dict
            Lambda_re, Lambda_im, log_step (P'), B (P', H, 2), D (H,), and C (H, P', 2), or C1 and C2 of two
            directions; x0 (P', 2), or x0_1 and x0_2, where the initial state is learned. A log_step of all
            states is (1,).
        """
        return {name: leaf.astype(dtype) for name, leaf in init_ssm(seed, "ssm", self).items()}

    def forward(
        self,
        params: Leaves,
        u: Array,
        *,
        engine: Engine | str | None = None,
        step_rescale: float = 1.0,
        intervals: Array | None = None,
        initial_state: Array | None = None,
        resets: Array | None = None,
    ) -> SSMOutput:
        """(y, state) of u (N, L, H).

        Raises
        ------
        S5Error
            On shapes that do not fit, an empty sequence, NaN or infinity in u.
        """
        call = Call(as_engine(engine), step_rescale=step_rescale, keep_residuals=False, intervals=intervals)
        return self._value(params, u, call, initial_state, resets)[0]

    def forward_and_vjp(
        self,
        params: Leaves,
        u: Array,
        *,
        engine: Engine | str | None = None,
        step_rescale: float = 1.0,
        intervals: Array | None = None,
        initial_state: Array | None = None,
        resets: Array | None = None,
    ) -> tuple[SSMOutput, Vjp]:
        """`forward`, and the function that takes cotangents back.

        Returns
        -------
        SSMOutput
        vjp : function
            ``vjp(dy, dstate=None) -> (dparams, du, dinitial_state)``.
        """
        call = Call(as_engine(engine), step_rescale=step_rescale, intervals=intervals)
        out, residuals = self._value(params, u, call, initial_state, resets)
        return out, Vjp("ssm", partial(self._vjp, call), residuals)

    def stepper(self, params: Leaves, step_rescale: float = 1.0) -> Stepper:
        """The SSM one step at a time: ``stepper.initial_state(n)``, ``state, y = stepper.step(state, u)``. A
        step also takes ``resets=`` and ``intervals=``, (N,) each.
        """
        return stepper(params, self.ssm_options(), step_rescale)

    def to_state_space(self, params: Leaves) -> StateSpace:
        """The same system as real matrices (A, B, C, D), in units of the sampling interval.

        See `s5ref.ssm.state_space.to_state_space`.
        """
        return to_state_space(params, self.ssm_options())

    def _value(
        self, params: Leaves, u: Array, call: Call, initial_state: Array | None, resets: Array | None
    ) -> tuple[SSMOutput, SSMResiduals]:
        u = as_array(u)
        if u.dtype.kind in "fiu":
            u = u.astype(params["D"].dtype, copy=False)
        if resets is not None:
            u = check_shape("ssm", "u", u, "N L H", {"H": self.d_model})
            sizes = {"N": u.shape[0], "L": u.shape[1]}
            call = replace(call, resets=of_every_step("ssm", resets, "N L", sizes))
        out, residuals = ssm(params, u, self.ssm_options(), call, initial_state)
        return SSMOutput(*out), residuals

    def _vjp(
        self, call: Call, residuals: SSMResiduals, dy: Array, dstate: Array | None = None
    ) -> tuple[dict[str, Array], Array, Array]:
        return ssm_vjp(residuals, (as_array(dy), dstate), self.ssm_options(), call)


def init_ssm(seed: int, layer: str, config: SSMConfig) -> dict[str, F64]:
    """The leaves Lambda_re, Lambda_im, log_step (P'), B (P', H, 2), C or C1, C2 (H, P', 2), D (H,), in
    float64.

    With complex_normal and bidirectional, C is one leaf (H, 2P', 2), as upstream stores it. Learned initial
    states (P', 2) begin as zero.
    """
    H, P = config.d_model, config.ssm_size

    def rng(leaf: str) -> np.random.Generator:
        return random.generator(seed, "init", layer, leaf)

    block, of_A = STATE_INITS[config.state_init], rng("A")
    state = state_matrix(P, config.blocks, config.conj_sym, lambda size: block(size, of_A))
    B = state.inverse @ random.lecun_normal(rng("B"), (P, H), fan_in=P)
    leaves: dict[str, F64] = {
        "Lambda_re": state.Lambda.real.copy(),
        "Lambda_im": state.Lambda.imag.copy(),
        "B": to_pairs(B),
        "D": random.normal(rng("D"), (H,)),
        "log_step": random.log_uniform(rng("log_step"), (config.timescales,), config.dt_min, config.dt_max),
    }
    names = ["C1", "C2"] if config.bidirectional else ["C"]
    C = {name: C_INITS[config.c_init](rng(name), H, P, state) for name in names}
    if config.bidirectional and config.c_init == "complex_normal":
        C = {"C": np.concatenate([C["C1"], C["C2"]], axis=1)}
    learned = initial_state_names(config.ssm_options())
    return leaves | C | {name: np.zeros((config.kept, 2)) for name in learned}


def scan(
    Lambda_bar: Array,
    Bu: Array,
    initial_state: Array | None = None,
    reverse: bool = False,
    engine: Engine | str | None = None,
    resets: Array | None = None,
    reset_state: Array | None = None,
) -> tuple[Array, Array]:
    """x_k = Λ̄_k x_{k−1} + Bu_k; at a reset x_k = Λ̄_k s + Bu_k.

    Parameters
    ----------
    Lambda_bar : (P,) or (N, L, P)
        The multipliers, of Bu's dtype.
    Bu : (N, L, P) real or complex
        What is added at each step.
    initial_state : (N, P) or None
        x before the first step; None: zero.
    reverse : bool
        From the last step to the first, over the same elements.
    engine : Engine, str or None
        What computes.
    resets : (N, L) bool or None
        The steps that start from ``reset_state`` and not from the state that the scan brings there.
    reset_state : (P,) or None
        s, of Bu's dtype; None: zero.

    Returns
    -------
    x : (N, L, P)
    state : (N, P)
        x at the last step processed.

    Raises
    ------
    S5Error
        On shapes and dtypes that do not fit.

    Notes
    -----
    docs/derivations/scan.md and resets.md. `sequential_scan` and `blocked_scan` are the plain loop and the
    parallel scan in NumPy.
    """
    return scan_and_vjp(Lambda_bar, Bu, initial_state, reverse, engine, resets, reset_state)[0]


def scan_and_vjp(
    Lambda_bar: Array,
    Bu: Array,
    initial_state: Array | None = None,
    reverse: bool = False,
    engine: Engine | str | None = None,
    resets: Array | None = None,
    reset_state: Array | None = None,
) -> tuple[tuple[Array, Array], Vjp]:
    """`scan`, and ``vjp((dx, dstate)) -> (dLambda_bar, dBu, dinitial_state)``; dx or dstate may be None.

    Where there are resets, a fourth cotangent is that of ``reset_state``.

    Raises
    ------
    S5Error
        As `scan`.
    """
    pair = as_engine(engine).scan
    if resets is None:
        out, residuals = pair.value(Lambda_bar, Bu, initial_state, reverse)
        return out, Vjp("scan", pair.vjp, residuals)
    Lambda_bar, Bu, initial_state = checked(Lambda_bar, Bu, initial_state)
    N, L, P = Bu.shape
    resets = check_resets("scan", resets, "N L", {"N": N, "L": L})
    if reset_state is not None:
        reset_state = check_shape("scan", "reset_state", reset_state, "P", {"P": P})
        if reset_state.dtype != Bu.dtype:
            raise ShapeError(
                f"scan: reset_state must have the dtype of Bu, {Bu.dtype}; got {reset_state.dtype}.",
                "Convert reset_state first (astype).",
            )
    out, of_episodes = scan_episodes(pair, Lambda_bar, Bu, initial_state, reverse, resets, reset_state)
    return out, Vjp("scan", partial(scan_episodes_vjp, pair), of_episodes)
