"""Training on a device: the same numbers as on the host, recorded or not, resumed, refused, too large."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS
from cuda_shim.mock import MockDevice
from devices import kernels_on, on_devices
from fake_device import HiddenTransfer

from s5ref import NUMPY, Batch, Engine, Model, ModelConfig, S5Error
from s5ref.gpu.engine import engine_of
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import group_table, init_moments
from s5ref.random import generator
from s5ref.train.results import NonFinite
from s5ref.train.update import Updates, Weights

CONFIG = ModelConfig(
    n_layers=2, d_model=6, ssm_size=8, in_dim=2, n_classes=3, dropout=0.2, bidirectional=True
)
RATES = [{"lr": 3e-3 * (k + 1), "ssm_lr": 1e-3} for k in range(4)]


def on_mock(test: Callable[..., None]) -> Callable[..., None]:
    for mark in MARKS:
        test = mark(test)
    return test


def batch_of(k: int, n: int = 5, L: int = 20) -> Batch:
    rng = generator("gpu updates", k)
    return Batch(rng.standard_normal((n, L, 2)), rng.integers(0, 3, n))


POOLED = replace(CONFIG, head="pooled_regression", pooling="mean+max")


CHUNKED = replace(POOLED, bidirectional=False, norm="layer")


def values_of(k: int) -> Batch:
    return batch_of(k)._replace(targets=generator("gpu updates", "values", k).standard_normal((5, 3)))


def begun(
    engine: Engine, dtype: str = "float64", source: Callable[[int], Batch] = batch_of,
    config: ModelConfig = CONFIG, chunk: int = 0,
) -> Updates:  # fmt: skip
    model = Model(config)
    params, statistics = model.init(0, dtype)
    weights = Weights(params, init_moments(params), statistics, 0)
    groups = group_table(params, OptimConfig())
    own: Updates = Updates(model, weights, groups, engine, source, 7, chunk).on_engine()
    return own


def arrays(weights: Weights) -> dict[str, Any]:
    trees = weights.params, weights.moments.first, weights.moments.second, weights.statistics
    return {f"{i}.{name}": leaf for i, tree in enumerate(trees) for name, leaf in tree.items()}


@on_devices
@pytest.mark.parametrize(
    ("config", "source", "chunk"), [(CONFIG, batch_of, 0), (POOLED, values_of, 0), (CHUNKED, values_of, 7)]
)
def test_the_same_weights_as_on_the_host(
    config: ModelConfig, source: Callable[[int], Batch], chunk: int, device: str
) -> None:
    engines = NUMPY, kernels_on(device)
    here, away = (begun(engine, "float64", source, config, chunk) for engine in engines)
    for rates in RATES:
        (loss, output), (loss_away, output_away) = here.step(rates), away.step(rates)
        assert loss_away == pytest.approx(loss, rel=1e-10)
        np.testing.assert_allclose(output_away, output, rtol=1e-8)
    want, got = arrays(here.weights), arrays(away.weights)
    assert got.keys() == want.keys()
    assert away.count == here.count == away.weights.updates == 4
    for name, leaf in want.items():
        assert isinstance(got[name], np.ndarray)
        np.testing.assert_allclose(got[name], leaf, rtol=1e-6, atol=1e-11, err_msg=name)


@on_devices
def test_recorded_and_launched_steps_are_the_same_bits(device: str) -> None:
    recorded, launched = (
        begun(kernels_on(device), "float32"),
        begun(kernels_on(device, graphs=False), "float32"),
    )
    for rates in RATES:
        loss, _ = recorded.step(rates)
        assert loss == launched.step(rates)[0]
    want = arrays(launched.weights)
    for name, leaf in arrays(recorded.weights).items():
        np.testing.assert_array_equal(leaf, want[name], err_msg=name)


@on_devices
def test_weights_taken_are_not_changed_by_later_steps(device: str) -> None:
    own = begun(kernels_on(device))
    before = own.weights
    kept = {name: leaf.copy() for name, leaf in arrays(before).items()}
    own.step(RATES[0])
    for name, leaf in arrays(before).items():
        np.testing.assert_array_equal(leaf, kept[name], err_msg=name)
    assert not np.array_equal(own.weights.params["encoder.kernel"], before.params["encoder.kernel"])


@on_mock
def test_a_graph_that_would_read_the_device_is_refused() -> None:
    """What makes the tests of recording able to fail."""
    device = MockDevice()
    x = device.to_device(np.ones(3))
    for body in (lambda: device.to_host(x), lambda: device.to_device(np.ones(3)), lambda: x.get()):
        with pytest.raises((HiddenTransfer, AssertionError)):
            device.capture(body)


@on_devices
def test_what_is_not_finite_names_its_leaf_as_on_the_host(device: str) -> None:
    refusals = []
    for engine in (NUMPY, kernels_on(device), kernels_on(device, graphs=False)):
        own = begun(engine, "float32")
        own.step(RATES[0])
        own.step({"lr": 1e30, "ssm_lr": 1e30})
        before = arrays(own.weights)
        with np.errstate(all="ignore"), pytest.raises(NonFinite, match="Step 3") as refused:
            own.step(RATES[2])  # a GPU does not warn
        refusals.append((refused.value.leaf, refused.value.layer, refused.value.group, refused.value.step))
        for name, leaf in arrays(own.weights).items():
            if not name.startswith("3."):
                np.testing.assert_array_equal(leaf, before[name], err_msg=name)
    assert refusals[0] == refusals[1] == refusals[2]


@on_mock
def test_what_is_finite_on_the_host_alone_is_a_fault_of_the_device() -> None:
    class Faulty(MockDevice):
        def gemm(self, a: Any, b: Any, out: Any, a_transposed: bool, b_transposed: bool) -> None:
            super().gemm(a, b, out, a_transposed, b_transposed)
            out[...] = np.nan

    with pytest.raises(S5Error, match=r"not finite on cpu shim, and finite on the host"):
        begun(engine_of(Faulty(), "faulty")).step(RATES[0])


@on_devices
def test_the_weights_of_a_run_are_freed_with_it(device: str) -> None:
    own: Any = begun(kernels_on(device))
    own.step(RATES[0])
    own.next.result()
    gone = weakref.ref(own)
    del own
    assert gone() is None


@on_mock
def test_a_batch_that_will_not_fit_is_refused_before_it_is_run() -> None:
    device = MockDevice()
    own = begun(engine_of(device, "small"), source=lambda k: batch_of(k, 40, 500))
    device.memory = 2**20
    with pytest.raises(S5Error, match=r"A step on 40 examples needs about .* would fit") as refused:
        own.step(RATES[0])
    assert "Lower train.batch" in refused.value.remedy


@on_mock
def test_memory_that_runs_out_all_the_same_is_explained() -> None:
    class Full(MockDevice):
        def gemm(self, *_: Any) -> None:
            raise MemoryError("Out of memory allocating 1,024 bytes")

    with pytest.raises(S5Error, match="Out of memory allocating 1,024 bytes") as refused:
        begun(engine_of(Full(), "full")).step(RATES[0])
    assert "Lower train.batch" in refused.value.remedy


@on_mock
def test_the_estimate_is_what_a_step_takes() -> None:
    asked: list[int] = []

    class Measured(MockDevice):
        def used_by(self, body: Callable[[], object]) -> int:
            asked.append(super().used_by(body))
            return asked[-1]

    device = Measured()
    own: Any = begun(engine_of(device, "measured", graphs=False), "float32", lambda k: batch_of(k, 16, 500))
    own.step(RATES[0])
    device.used_by(own.gradient)
    quarter, half, whole = asked
    assert 3 * half - 2 * quarter == pytest.approx(whole, rel=0.1)
