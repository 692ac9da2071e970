"""The initial output matrix C̃ of one SSM, exactly as upstream draws it. Source: S5 paper, appendix B;
upstream's ssm_init.

The truncated normals are on ±2σ and rescaled so that the stated standard deviation is that of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from s5ref import random
from s5ref.arrays import to_complex, to_pairs
from s5ref.ssm.hippo import StateMatrix

F64 = npt.NDArray[np.float64]
CInit = Callable[[np.random.Generator, int, int, StateMatrix], F64]


def c_lecun_normal(rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix) -> F64:
    """C̃ = C V with re and im of C (H, P) of standard deviation 1/√(HP): the leading axis counts as
    receptive field.
    """
    return _truncated(rng, features, ssm_size, state, 1 / math.sqrt(features * ssm_size))


def c_trunc_standard_normal(
    rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix
) -> F64:
    """C̃ = C V with re and im of C (H, P) of standard deviation 1/√P (not 1, whatever its name says)."""
    return _truncated(rng, features, ssm_size, state, 1 / math.sqrt(ssm_size))


def c_complex_normal(rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix) -> F64:
    """re and im of C̃ (H, P') ~ N(0, ½), drawn in the eigenbasis (no V)."""
    return random.normal(rng, (features, len(state.Lambda), 2), math.sqrt(0.5))


C_INITS: dict[str, CInit] = {
    "lecun_normal": c_lecun_normal,
    "trunc_standard_normal": c_trunc_standard_normal,
    "complex_normal": c_complex_normal,
}


def _truncated(rng: np.random.Generator, features: int, ssm_size: int, state: StateMatrix, std: float) -> F64:
    """C̃ = C V as pairs, with C of truncated normals."""
    C = random.truncated_normal(rng, (features, ssm_size, 2), std)
    return to_pairs(to_complex(C) @ state.V)
