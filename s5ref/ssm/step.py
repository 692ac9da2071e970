"""The SSM one step at a time: x ← Λ̄ x + B̄ u, y = 2 Re(C̃ x) + D ∘ u. The same numbers as `ssm`, up to
rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_reals, check_shape, complex_dtype, to_complex
from s5ref.errors import ConfigError
from s5ref.ssm.discretize import timescale
from s5ref.ssm.ssm import SSMOptions, eigenvalues, output_matrices
from s5ref.tree import described


@described
class Stepper(NamedTuple):
    """Everything of an SSM that does not depend on the input: computed once, used every step.

    Lambda_bar (P',), B_bar (P', H), C (H, P') with the factor 2 of conjugate symmetry, D (H,)
    """

    Lambda_bar: Array
    B_bar: Array
    C: Array
    D: Array

    def initial_state(self, n: int = 1) -> Array:
        """The zero state of n sequences, (n, P') complex."""
        return initial_state(self, n)

    def step(self, state: Array, u: Array) -> tuple[Array, Array]:
        """(state, y) after one more input: `step`."""
        return step(self, state, u)


def stepper(params: Leaves, options: SSMOptions, step_rescale: float = 1.0) -> Stepper:
    """Discretise once. A bidirectional SSM is refused: it has no step."""
    if options.bidirectional:
        raise ConfigError(
            "step: a bidirectional SSM sees the future and has no step.",
            "Use a model with bidirectional = false.",
        )
    Delta, _ = timescale(params["log_step"], step_rescale, None)
    (Lambda_bar, gain), _ = options.discretization.value(eigenvalues(params, options), Delta)
    [C] = output_matrices(params, options)
    return Stepper(
        Lambda_bar, gain[:, None] * to_complex(params["B"]), C * (2 if options.conj_sym else 1), params["D"]
    )


def initial_state(stepper: Stepper, n: int) -> Array:
    """The zero state of n sequences, (n, P') complex."""
    return np.zeros_like(
        stepper.Lambda_bar, shape=(n, stepper.Lambda_bar.shape[0]), dtype=complex_dtype(stepper.D)
    )


def step(stepper: Stepper, state: Array, u: Array) -> tuple[Array, Array]:
    """(state, y) after one more input. state (N, P') complex, u (N, H); y (N, H)."""
    state = check_shape(
        "step", "state", state, "N P", {"P": stepper.Lambda_bar.shape[0]}, "Start from initial_state."
    )
    u = check_reals("step", "u", u, "N H", {"N": state.shape[0], "H": stepper.D.shape[0]})
    state = stepper.Lambda_bar * state + u @ stepper.B_bar.T
    return state, (state @ stepper.C.T).real + stepper.D * u
