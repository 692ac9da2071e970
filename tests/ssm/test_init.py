"""Initial values: standard deviations of B̃ and the three C̃, D, log Δ. Tolerances are four standard errors
of the estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import random
from s5ref.ssm.config import SSMConfig
from s5ref.ssm.module import init_ssm

H, P = 96, 128


def leaves(seed: int = 0, layer: str = "layers_0", **options: Any) -> dict[str, Any]:
    config = {"d_model": H, "ssm_size": P, "blocks": 4, "c_init": "lecun_normal", **options}
    return init_ssm(seed, layer, SSMConfig(**config))


def mean_square(pairs: Any) -> tuple[float, float]:
    """E|z|² of the entries, and four standard errors of it (|z|² of a complex normal has standard deviation
    E|z|²)."""
    squares = np.sum(pairs**2, axis=-1)
    return float(squares.mean()), 4 * float(squares.std()) / squares.size**0.5


def test_b_has_mean_square_one_over_p() -> None:
    got, error = mean_square(leaves()["B"])
    assert abs(got - 1 / P) <= error
    assert error < 0.1 / P  # tight enough to tell 1/P from 1/H


@pytest.mark.parametrize(
    ("c_init", "per_part"),
    [("lecun_normal", 1 / (H * P)), ("trunc_standard_normal", 1 / P), ("complex_normal", 0.5)],
)
def test_c_has_the_mean_square_of_its_initialisation(c_init: Any, per_part: float) -> None:
    got, error = mean_square(leaves(c_init=c_init)["C"])
    assert abs(got - 2 * per_part) <= error
    assert error < 0.1 * got


def test_truncated_normal_has_the_stated_deviation_and_stays_within_two_sigma() -> None:
    """Without the division by 0.8796 the deviation would be 0.774 of σ²."""
    x = random.truncated_normal(random.generator("truncated"), (200_000,), 3.0)
    assert abs(x.std() - 3.0) <= 4 * 3.0 / (2 * 200_000) ** 0.5
    assert np.max(np.abs(x)) <= 2 * 3.0 / random.TRUNCATED_STD


def test_d_is_standard_normal() -> None:
    D = np.concatenate(
        [
            leaves(seed, "l", d_model=2000, ssm_size=2, blocks=1, dt_min=0.1, dt_max=1.0)["D"]
            for seed in range(5)
        ]
    )
    assert abs(D.mean()) <= 4 / D.size**0.5
    assert abs(D.std() - 1) <= 4 / (2 * D.size) ** 0.5


def test_log_step_is_uniform_between_its_limits() -> None:
    low, high = np.log(0.001), np.log(0.1)
    steps = np.concatenate(
        [leaves(c_init="complex_normal", dt_min=0.001)["log_step"]]
        + [
            leaves(seed, "l", d_model=1, ssm_size=512, blocks=256, dt_min=0.001, dt_max=0.1)["log_step"]
            for seed in range(8)
        ]
    )
    u = (steps - low) / (high - low)
    assert u.min() >= 0
    assert u.max() <= 1
    # Kolmogorov–Smirnov: the distance exceeds 1.95/√n once in a thousand
    empirical = np.arange(1, u.size + 1) / u.size
    assert np.max(np.abs(np.sort(u) - empirical)) <= 1.95 / u.size**0.5


def test_shapes_and_conjugate_halves() -> None:
    two = leaves(bidirectional=True)
    assert two["C1"].shape == two["C2"].shape == (H, P // 2, 2)
    assert not np.array_equal(two["C1"], two["C2"])
    assert leaves(bidirectional=True, c_init="complex_normal")["C"].shape == (H, P, 2)
    assert leaves(conj_sym=False)["B"].shape == (P, H, 2)
    assert (two["Lambda_im"] < 0).all()


def test_a_function_of_the_seed_and_the_layer_alone() -> None:
    again, other = (
        leaves(),
        leaves(1, "layers_0", d_model=H, ssm_size=P, blocks=4, dt_min=0.001, dt_max=0.1),
    )
    for name, leaf in leaves().items():
        np.testing.assert_array_equal(leaf, again[name])
        assert name.startswith("Lambda") or not np.array_equal(leaf, other[name])
