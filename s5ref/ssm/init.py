"""Initial parameters of one SSM, exactly as upstream draws them. Source: S5 paper, appendix B; upstream's
ssm_init.

The truncated normals are on ±2σ and rescaled so that the stated standard deviation is that of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from s5ref import random
from s5ref.ssm.hippo import StateMatrix, state_matrix

F64 = npt.NDArray[np.float64]
CInit = Callable[[np.random.Generator, int, int, StateMatrix], F64]


def c_lecun_normal(rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix) -> F64:
    """C̃ = C V with re and im of C (H, P) of standard deviation 1/√(HP): the leading axis counts as
    receptive field.
    """
    return _to_eigenbasis(
        random.truncated_normal(rng, (features, ssm_size, 2), 1 / math.sqrt(features * ssm_size)), state
    )


def c_trunc_standard_normal(
    rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix
) -> F64:
    """C̃ = C V with re and im of C (H, P) of standard deviation 1/√P (not 1, whatever its name says)."""
    return _to_eigenbasis(
        random.truncated_normal(rng, (features, ssm_size, 2), 1 / math.sqrt(ssm_size)), state
    )


def c_complex_normal(rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix) -> F64:
    """re and im of C̃ (H, P') ~ N(0, ½), drawn in the eigenbasis (no V)."""
    return random.normal(rng, (features, len(state.Lambda), 2), math.sqrt(0.5))


def init_ssm(
    seed: int,
    layer: str,
    features: int,
    ssm_size: int,
    blocks: int,
    *,
    conj_sym: bool,
    bidirectional: bool,
    c_init: CInit,
    dt_min: float,
    dt_max: float,
) -> dict[str, F64]:
    """The leaves Lambda_re, Lambda_im, log_step (P'), B (P', H, 2), C or C1, C2 (H, P', 2), D (H,), in
    float64.

    With complex_normal and bidirectional, C is one leaf (H, 2P', 2), as upstream stores it.
    """
    state = state_matrix(ssm_size, blocks, conj_sym)
    kept = len(state.Lambda)

    def rng(leaf: str) -> np.random.Generator:
        return random.generator(seed, "init", layer, leaf)

    B = state.V.conj().T @ random.lecun_normal(rng("B"), (ssm_size, features), fan_in=ssm_size)
    leaves: dict[str, F64] = {
        "Lambda_re": state.Lambda.real.copy(),
        "Lambda_im": state.Lambda.imag.copy(),
        "B": np.stack([B.real, B.imag], axis=-1),
        "D": random.normal(rng("D"), (features,)),
        "log_step": random.log_uniform(rng("log_step"), (kept,), dt_min, dt_max),
    }
    names = ["C1", "C2"] if bidirectional else ["C"]
    C = {name: c_init(rng(name), features, ssm_size, state) for name in names}
    if bidirectional and c_init is c_complex_normal:
        C = {"C": np.concatenate([C["C1"], C["C2"]], axis=1)}
    return leaves | C


def _to_eigenbasis(C: F64, state: StateMatrix) -> F64:
    C_tilde = (C[..., 0] + 1j * C[..., 1]) @ state.V
    return np.stack([C_tilde.real, C_tilde.imag], axis=-1)
