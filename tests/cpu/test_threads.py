"""The NUMBA engine gives the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import s5ref
from s5ref import Batch, Model, ModelConfig
from s5ref.cpu import set_threads, threads
from s5ref.cpu.scan import chunks_of
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import group_table
from s5ref.random import generator


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


@pytest.mark.parametrize(("n", "steps"), [(1, 3000), (3, 1500), (20, 100)])
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_and_its_vjp_have_the_same_bits(n: int, steps: int, varying: bool, reverse: bool) -> None:
    rng = generator("test", n, steps)
    shape = (n, steps, 6)
    Lambda_bar = np.exp(-rng.random(shape if varying else 6) * (0.1 + 1j)).astype(np.complex64)
    Bu = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    if n < 8:
        assert chunks_of(n, steps) > 1  # the case is about the three phases

    def bits(number: int) -> list[bytes]:
        set_threads(number)
        (x, last), residuals = s5ref.NUMBA.scan.value(Lambda_bar, Bu, Bu[:, 0], reverse)
        return [a.tobytes() for a in (x, last, *s5ref.NUMBA.scan.vjp(residuals, (Bu, Bu[:, 1])))]

    assert bits(1) == bits(2) == bits(3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [2, 11])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_whole_gradient_has_the_same_bits(dtype: str, batch: int, bidirectional: bool, norm: str) -> None:
    model = Model(
        ModelConfig(n_layers=2, d_model=24, ssm_size=16, dropout=0.2, bidirectional=bidirectional, norm=norm)
    )
    params, statistics = model.init(0, dtype)
    assert group_table(params, OptimConfig())  # a training step is this gradient and an elementwise update
    rng = generator("test", "gradient")
    data = Batch(rng.standard_normal((batch, 600, 1)), rng.integers(0, 10, batch))

    def bits(number: int) -> dict[str, bytes]:
        set_threads(number)
        result = model.loss_and_grad(params, statistics, data, engine=s5ref.NUMBA, training=True, key=(0, 3))
        return {name: leaf.tobytes() for name, leaf in (result.grads | result.statistics).items()}

    assert bits(1) == bits(2) == bits(3)


@pytest.mark.parametrize("batch", [5, 20])
def test_packed_rows_have_the_same_bits(batch: int) -> None:
    model = Model(ModelConfig(n_layers=2, d_model=24, ssm_size=16, dropout=0.2))
    params, statistics = model.init(0)
    rng = generator("test", "packed")
    data = s5ref.pack([rng.standard_normal((n, 1)) for n in (600, *rng.integers(1, 600, batch - 1))])
    data = data._replace(targets=rng.integers(0, 10, batch))
    assert (chunks_of(*data.inputs.shape[:2]) > 1) == (batch == 5)

    def bits(number: int) -> dict[str, bytes]:
        set_threads(number)
        result = model.loss_and_grad(params, statistics, data, engine=s5ref.NUMBA, training=True, key=(0, 3))
        return {name: leaf.tobytes() for name, leaf in (result.grads | result.statistics).items()}

    assert bits(1) == bits(2) == bits(3)


def test_zero_threads_are_refused() -> None:
    with pytest.raises(s5ref.S5Error, match="at least one thread"):
        set_threads(0)
