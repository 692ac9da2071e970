"""The SSM one step at a time: x ← Λ̄ x + B̄ u, y = 2 Re(C̃ x) + D ∘ u. The same numbers as `ssm`, up to
rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_reals, check_shape, complex_dtype, to_complex
from s5ref.errors import ConfigError
from s5ref.ssm.discretize import Rule, timescale
from s5ref.ssm.intervals import check_intervals
from s5ref.ssm.resets import check_resets
from s5ref.ssm.ssm import SSMOptions, eigenvalues, initial_states, output_matrices
from s5ref.tree import described


@described
class Stepper(NamedTuple):
    """Everything of an SSM that does not depend on the input: computed once, used every step.

    Lambda, Delta (P',): of continuous time; B (P', H); C (H, P') with the factor 2 of conjugate symmetry;
    D (H,); rule: the discretisation; elements: its Λ̄ and gains of a regular step, (P',) each; s (S,): the
    state before the first step of an episode.
    """

    Lambda: Array
    Delta: Array
    B: Array
    C: Array
    D: Array
    rule: Rule
    elements: tuple[Array, ...]
    s: Array

    @property
    def Lambda_bar(self) -> Array:
        """Λ̄ of a regular step, (P',)."""
        return self.elements[0]

    @property
    def B_bar(self) -> Array:
        """B̄ of a regular step under a rule of one gain, (P', H)."""
        _, gain = self.elements
        return gain[:, None] * self.B

    def initial_state(self, n: int = 1) -> Array:
        """The state of n sequences before their first step, (n, S) complex: `initial_state`."""
        return initial_state(self, n)

    def step(
        self, state: Array, u: Array, resets: Array | None = None, intervals: Array | None = None
    ) -> tuple[Array, Array]:
        """(state, y) after one more input: `step`."""
        return step(self, state, u, resets, intervals)


def stepper(params: Leaves, options: SSMOptions, step_rescale: float = 1.0) -> Stepper:
    """Discretise once.

    Raises
    ------
    ConfigError
        On a bidirectional SSM, which has no step.
    """
    if options.bidirectional:
        raise ConfigError(
            "step: a bidirectional SSM sees the future and has no step.",
            "Use a model with bidirectional = false.",
        )
    Delta, _ = timescale(params["log_step"], step_rescale, len(params["Lambda_re"]))
    [C], [x0, *_] = output_matrices(params, options), initial_states(params, options)
    Lambda = eigenvalues(params, options)
    rule, D = options.discretization, params["D"]
    elements, _ = rule.value(Lambda, Delta, None)
    s = np.zeros_like(Lambda, shape=rule.gains * Lambda.shape[0], dtype=complex_dtype(D))
    if x0 is not None:
        s[: Lambda.shape[0]] = x0
    C = C * (2 if options.conj_sym else 1)
    return Stepper(Lambda, Delta, to_complex(params["B"]), C, D, rule, elements, s)


def initial_state(stepper: Stepper, n: int) -> Array:
    """The state of n sequences before their first step, (n, S) complex: S = P', or 2P' under a rule of two
    gains.
    """
    s = stepper.s
    state: Array = s + np.zeros_like(s, shape=(n, len(s)))
    return state


def step(
    stepper: Stepper, state: Array, u: Array, resets: Array | None = None, intervals: Array | None = None
) -> tuple[Array, Array]:
    """(state, y) after one more input.

    Parameters
    ----------
    stepper : Stepper
    state : (N, S) complex
        As `initial_state` or the step before returned it: x (N, P'), followed by B̃u of the step before
        under a rule of two gains.
    u : (N, H) real
    resets : (N,) bool or None
        The sequences of which an episode begins, whose state is first the initial one.
    intervals : (N,) real or None
        The time since the step before, in units of the regular one; None: 1.

    Returns
    -------
    state : (N, S) complex
    y : (N, H) real

    Raises
    ------
    S5Error
        On shapes that do not fit, NaN or infinity, or a negative interval.
    """
    rule, kept = stepper.rule, stepper.Lambda.shape[0]
    letter = "P" if rule.gains == 1 else "S"
    sizes = {letter: rule.gains * kept}
    state = check_shape("step", "state", state, f"N {letter}", sizes, "Start from initial_state.")
    u = check_reals("step", "u", u, "N H", {"N": state.shape[0], "H": stepper.D.shape[0]})
    if resets is not None:
        resets = check_resets("step", resets, "N", {"N": state.shape[0]})
        state = np.where(resets[:, None], stepper.s, state)
    elements = stepper.elements
    if intervals is not None:
        sizes, dtype = {"N": state.shape[0]}, stepper.D.dtype
        intervals = check_intervals("step", intervals, "N", sizes, dtype)
        elements, _ = rule.value(stepper.Lambda, stepper.Delta, intervals[:, None])
    Lambda_bar, *gain_before, gain = elements
    raw, x = u @ stepper.B.T, state[:, :kept]
    x = Lambda_bar * x + gain * raw
    if gain_before:
        x = x + gain_before[0] * state[:, kept:]
        state = np.concatenate([x, raw], axis=1)
    else:
        state = x
    return state, (x @ stepper.C.T).real + stepper.D * u
