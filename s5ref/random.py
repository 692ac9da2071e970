"""Counter-based random numbers: every draw is a function of its key, so a run resumes without any generator
state.

A key is any tuple of integers and strings, for example ``(seed, "dropout", step, layer)``. It is hashed
(SHA-256) to the 128-bit key of NumPy's Philox 4×64 generator, so two purposes never share a stream, and the
same key gives the same bits on every machine and for every engine.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

TRUNCATED_STD = 0.87962566103423978  # standard deviation of N(0, 1) truncated to ±2


def generator(*key: int | str) -> np.random.Generator:
    """A Philox generator for ``key``; the same key always gives the same numbers."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 1.0) -> F64:
    """N(0, std²)."""
    return rng.standard_normal(shape) * std


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> F64:
    """N(0, σ²) truncated to ±2σ, with σ such that the standard deviation of the result is exactly ``std``.

    By inversion: z = Φ⁻¹(u), u uniform on [Φ(−2), Φ(2)].
    """
    from scipy.special import ndtr, ndtri  # deferred: `import s5ref` loads NumPy only

    z: F64 = ndtri(rng.uniform(ndtr(-2.0), ndtr(2.0), shape))
    return z * (std / TRUNCATED_STD)


def lecun_normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> F64:
    """Truncated normal of standard deviation 1/√fan_in (Flax's ``lecun_normal``)."""
    return truncated_normal(rng, shape, 1.0 / math.sqrt(fan_in))


def log_uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> F64:
    """log of a number that is log-uniform on [low, high]: uniform on [log low, log high]."""
    return rng.uniform(math.log(low), math.log(high), shape)
