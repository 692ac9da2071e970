"""Closed forms against the SSM itself, driven by impulses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.show.dynamics import poles, responses
from s5ref.ssm.module import SSM

KINDS: list[dict[str, Any]] = [
    {}, {"bidirectional": True}, {"conj_sym": False}, {"discretization": "bilinear"},
    {"discretization": "foh"}, {"discretization": "foh", "bidirectional": True},
    {"bidirectional": True, "conj_sym": False, "c_init": "complex_normal"},
]  # fmt: skip
L = 2048


def _case(kind: dict[str, Any]) -> tuple[SSM, dict[str, Array]]:
    ssm = SSM(d_model=5, ssm_size=8, dt_min=0.05, dt_max=0.3, **kind)
    params = ssm.init(seed=1, dtype="float64")
    return ssm, params | {"D": np.zeros(5)}


def _kernel(ssm: SSM, params: dict[str, Array]) -> Array:
    """(2L − 1, H outputs, H inputs): the response to an impulse in the middle, by the scan."""
    u = np.zeros((5, 2 * L - 1, 5))
    u[np.arange(5), L - 1, np.arange(5)] = 1.0
    return np.transpose(ssm.forward(params, u, engine="sequential").y, (1, 2, 0))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_impulse_responses_are_those_of_the_scan(kind: dict[str, Any]) -> None:
    ssm, params = _case(kind)
    kernel, found = _kernel(ssm, params), responses(params, ssm.ssm_options(), L)
    power = np.sum(kernel**2, axis=(0, 2))
    assert [h for _, h in found.channels] == list(np.argsort(-power)[:3]) or ssm.bidirectional
    for (j, h), row in zip(found.channels, found.impulse, strict=True):
        assert j == np.argmax(np.sum(kernel[:, h] ** 2, axis=0))
        np.testing.assert_allclose(row, kernel[found.lags + L - 1, h, j], rtol=1e-9, atol=1e-12)
        assert np.sum(row**2) >= 0.99 * np.sum(kernel[:, h, j] ** 2)
    assert (found.lags.min() < 0) == ssm.bidirectional


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gains_are_the_singular_values_of_the_transformed_kernel(kind: dict[str, Any]) -> None:
    ssm, params = _case(kind)
    kernel, found = _kernel(ssm, params), responses(params, ssm.ssm_options(), L)
    lags = np.arange(-L + 1, L)
    for f, gain in zip(found.frequency[::19], found.gain.T[::19], strict=True):
        G = np.tensordot(np.exp(-2j * np.pi * f * lags), kernel, 1)
        np.testing.assert_allclose(gain, np.linalg.svd(G, compute_uv=False)[:3], rtol=1e-6)


def test_time_constants() -> None:
    ssm, params = _case({})
    of = poles(params, ssm.ssm_options())
    np.testing.assert_allclose(of.steps, 1 / (np.abs(of.Lambda.real) * of.Delta), rtol=1e-12)
    assert np.all(np.abs(np.abs(of.Lambda_bar) ** of.steps - np.exp(-1)) < 1e-12)
    growing = params | {"Lambda_re": np.array([-1.0, 0.0, 1.0, -1.0])}
    assert list(np.isfinite(poles(growing, ssm.ssm_options()).steps)) == [True, False, False, True]


def test_responses_of_states_that_do_not_decay_are_finite() -> None:
    ssm, params = _case({})
    growing = params | {"Lambda_re": np.array([-1.0, 0.0, 0.001, -1.0])}
    found = responses(growing, ssm.ssm_options(), 64)
    assert np.isfinite(found.impulse).all()
    assert np.isfinite(found.gain).all()
