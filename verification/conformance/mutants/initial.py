"""Mistakes of initial parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator
from s5ref.ssm import init
from s5ref.verification.conformance.mutants.mutant import mutant

INIT_SSM = "ssm.module:init_ssm"


def _uniform(normal: Any, rng: np.random.Generator, shape: tuple[int, ...], std: float = 1.0) -> Array:
    """your D is uniform on [0, 1) and your truncated normals have 0.774 of their standard deviation"""
    return np.asarray(rng.uniform(0.0, std, shape))


def _narrow(truncated: Any, rng: np.random.Generator, shape: tuple[int, ...], std: float) -> Array:
    return np.asarray(truncated(rng, shape, 0.774 * std))


def _twins(init_ssm: Any, seed: int, layer: str, config: Any) -> Any:
    """your C1 and C2 begin equal; each direction must have draws of its own"""
    leaves = init_ssm(seed, layer, config)
    if "C2" in leaves:
        return leaves | {"C2": leaves["C1"]}
    if config.bidirectional:
        first, _ = np.split(leaves["C"], 2, axis=1)
        leaves["C"] = np.concatenate([first, first], axis=1)
    return leaves


def _small_D(normal: Any, rng: np.random.Generator, shape: tuple[int, ...], std: float = 1.0) -> Array:
    """your D has the standard deviation 0.1; it must be 1"""
    return np.asarray(normal(rng, shape, 0.1 * std if len(shape) == 1 else std))


def _by_features_too(c_init: Any, *given: Any) -> Array:
    """your trunc_standard_normal C has the standard deviation 1/√(H P) of lecun_normal; it must be 1/√P"""
    return init.c_lecun_normal(*given)


def _by_features(init_ssm: Any, seed: int, layer: str, config: Any) -> Any:
    """your B has the variance 1/H; it must be 1/P: the fan-in of B is the number of states"""
    leaves = init_ssm(seed, layer, config)
    return leaves | {"B": math.sqrt(config.ssm_size / config.d_model) * leaves["B"]}


def _uniform_dense(init_dense: Any, seed: int, name: str, inputs: int, outputs: int) -> Any:
    """your dense kernels and biases are uniform within ±1/√in, PyTorch's and Equinox's default; kernels must
    be truncated normals of variance 1/in, biases 0"""
    rng, most = generator(seed, "init", name, "kernel"), 1 / math.sqrt(inputs)
    return {"kernel": rng.uniform(-most, most, (inputs, outputs)), "bias": rng.uniform(-most, most, outputs)}


def _like_the_first(init_layer: Any, seed: int, name: str, config: Any) -> Any:
    """your layers begin with the same draws: each layer must have its own"""
    return init_layer(seed, "layers_0", config)


def _whole_variance(complex_normal: Any, *given: Any) -> Array:
    """your complex_normal C has twice the variance: real and imaginary part must have ½ each"""
    return np.asarray(np.sqrt(2) * complex_normal(*given))


INITIAL = (
    mutant(
        "M21", "initial draws", "init",
        ("random:normal", _uniform), ("random:truncated_normal", _narrow),
    ),
    mutant("M55", "C1 equals C2", "init", (INIT_SSM, _twins)),
    mutant("M56", "small D", "init", ("random:normal", _small_D)),
    mutant("M57", "C by features too", "init", ("ssm.init:c_trunc_standard_normal", _by_features_too)),
    mutant("M58", "B by features", "init", (INIT_SSM, _by_features)),
    mutant("M59", "uniform dense", "init", ("model.heads:init_dense", _uniform_dense)),
    mutant("M76", "layers begin equal", "init", ("model.layer:init_layer", _like_the_first)),
    mutant("M77", "complex normal of variance 2", "init", ("ssm.init:c_complex_normal", _whole_variance)),
)  # fmt: skip
