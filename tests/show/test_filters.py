"""The filters of a fitted estimator: times, shares, what they see."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.features.channels import ORDERS, channels, standard
from s5ref.show.filters import filter_table

estimators = pytest.importorskip("s5ref.estimators")


def _fitted(n: int = 25, online: bool = False, unit: float = 1.0) -> tuple[object, np.ndarray]:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3, 30)), np.arange(12.0)
    times = None if unit == 1 else np.tile(unit * np.arange(30), (12, 1))
    model = estimators.S5FeatureRegressor(n, online=online, differences=2, random_state=0)
    return model.fit(X, y, times=times), X


@pytest.mark.parametrize("unit", [1.0, 0.25])
def test_a_filter_decays_in_its_time_constant_and_comes_back_after_its_period(unit: float) -> None:
    model, _ = _fitted(unit=unit)
    of = filter_table(model)
    assert of is not None
    Lambda = model.features_.filters_.Lambda  # type: ignore[attr-defined]
    assert of.unit == pytest.approx(unit)
    assert np.allclose(np.abs(np.exp(Lambda * of.tau / unit)), np.exp(-1))
    assert np.allclose(np.angle(np.exp(1j * Lambda.imag * of.period / unit)), 0, atol=1e-9)
    assert of.words == ("steps" if unit == 1 else "the unit of the times")


def test_shares() -> None:
    model, _ = _fitted()
    of = filter_table(model)
    assert of is not None
    importance = model.importance_  # type: ignore[attr-defined]
    assert np.allclose(of.share, importance / importance.sum())
    assert of.top_share == pytest.approx(np.sort(importance)[-3:].sum() / importance.sum())  # 3 of 25
    assert of.backward.tolist() == [False] * 12 + [True] * 13
    edges, share, there = of.scales()
    assert (share.sum(), there.sum()) == (pytest.approx(1), pytest.approx(1))
    for k in range(len(share)):
        inside = (of.tau >= edges[k] * (1 - 1e-12)) & (of.tau < edges[k + 1])
        assert share[k] == pytest.approx(of.share[inside].sum())


@pytest.mark.parametrize("online", [False, True])
def test_what_a_filter_sees_is_its_input(online: bool) -> None:
    """The parts that are named, times their weights, are what the filter reads."""
    model, X = _fitted(400, online)
    of = filter_table(model)
    assert of is not None
    values, offsets = X.transpose(0, 2, 1).reshape(-1, 3), np.arange(0, 361, 30)
    z = channels(values, offsets, standard(values, offsets, 2), online).z
    own = channels(values[:, [1]], offsets, standard(values[:, [1]], offsets, 2)).z  # of channel 1 alone
    names = [source + order for source in ("own", "training") for order in ORDERS]
    found = 0
    for f in range(400):
        seen = of.sees(f)
        weights = [abs(part.weight) for part in seen]
        assert weights == sorted(weights, reverse=True)
        assert {part.view for part in seen} <= set(names[3:] if online else names)
        if all(part.channel == 1 for part in seen):
            read = sum(part.weight * own[:, names.index(part.view)] for part in seen)
            assert np.allclose(read, z @ of.mix[:, f], atol=1e-5)
            found += 1
        for part in seen:
            assert part.weight in of.mix[:, f]
    assert found


def test_a_model_without_filters() -> None:
    assert filter_table(object()) is None
