"""The SSM one step at a time: x ← Λ̄ x + B̄ u, y = 2 Re(C̃ x) + D ∘ u. The same numbers as `ssm`, up to
rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_reals, check_shape, to_complex
from s5ref.errors import ConfigError
from s5ref.ssm.discretize import timescale
from s5ref.ssm.resets import check_resets
from s5ref.ssm.ssm import SSMOptions, eigenvalues, initial_states, output_matrices
from s5ref.tree import described


@described
class Stepper(NamedTuple):
    """Everything of an SSM that does not depend on the input: computed once, used every step.

    Lambda_bar (P',), B_bar (P', H), C (H, P') with the factor 2 of conjugate symmetry, D (H,), s (P'): the
    state before the first step of an episode
    """

    Lambda_bar: Array
    B_bar: Array
    C: Array
    D: Array
    s: Array

    def initial_state(self, n: int = 1) -> Array:
        """The state of n sequences before their first step, (n, P') complex."""
        return initial_state(self, n)

    def step(self, state: Array, u: Array, resets: Array | None = None) -> tuple[Array, Array]:
        """(state, y) after one more input: `step`."""
        return step(self, state, u, resets)


def stepper(params: Leaves, options: SSMOptions, step_rescale: float = 1.0) -> Stepper:
    """Discretise once. A bidirectional SSM is refused: it has no step."""
    if options.bidirectional:
        raise ConfigError(
            "step: a bidirectional SSM sees the future and has no step.",
            "Use a model with bidirectional = false.",
        )
    Delta, _ = timescale(params["log_step"], step_rescale, None)
    (Lambda_bar, gain), _ = options.discretization.value(eigenvalues(params, options), Delta)
    [C], [s, *_] = output_matrices(params, options), initial_states(params, options)
    B_bar, factor = gain[:, None] * to_complex(params["B"]), 2 if options.conj_sym else 1
    return Stepper(Lambda_bar, B_bar, C * factor, params["D"], np.zeros_like(Lambda_bar) if s is None else s)


def initial_state(stepper: Stepper, n: int) -> Array:
    """The state of n sequences before their first step, (n, P') complex."""
    s = stepper.s
    return s + np.zeros_like(s, shape=(n, len(s)))


def step(stepper: Stepper, state: Array, u: Array, resets: Array | None = None) -> tuple[Array, Array]:
    """(state, y) after one more input. state (N, P') complex, u (N, H); y (N, H). resets (N,) bool: the
    sequences of which an episode begins, whose state is first the initial one.
    """
    state = check_shape(
        "step", "state", state, "N P", {"P": stepper.Lambda_bar.shape[0]}, "Start from initial_state."
    )
    u = check_reals("step", "u", u, "N H", {"N": state.shape[0], "H": stepper.D.shape[0]})
    if resets is not None:
        resets = check_resets("step", resets, "N", {"N": state.shape[0]})
        state = np.where(resets[:, None], stepper.s, state)
    state = stepper.Lambda_bar * state + u @ stepper.B_bar.T
    return state, (state @ stepper.C.T).real + stepper.D * u
