"""Event pooling: a model is its layers one by one with windows between them; what it would mix is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import s5ref
from s5ref import Batch, Engine, ModelConfig
from s5ref.interop.exportable import check_exportable
from s5ref.interop.facts import check_theirs
from s5ref.model.chunks import chunked_forward
from s5ref.random import generator
from s5ref.train.config import RunConfig, TrainConfig
from s5ref.tree import subtree

CONFIG = ModelConfig(
    n_layers=3, d_model=4, ssm_size=8, in_dim=2, n_classes=3, norm="layer", padding="masked",
    event_stride=2, dt_min=0.05, dt_max=0.5,
)  # fmt: skip
OF_LAYER = ("d_model", "ssm_size", "norm", "bidirectional", "discretization", "dt_min", "dt_max")


def windows_of(row: Any, stride: int, length: int) -> list[Any]:
    """The valid steps of each window."""
    return [row[k : min(k + stride, length)] for k in range(0, len(row), stride)]


def layer_by_layer(model: s5ref.Model, params: Any, batch: Batch) -> Any:
    """The output by `SequenceLayer`, the windows cut by hand."""
    c, (N, L, _) = model.config, batch.inputs.shape
    lengths = np.full(N, L) if batch.lengths is None else batch.lengths
    between = np.ones((N, L)) if batch.intervals is None else batch.intervals
    resets = np.zeros((N, L), bool) if batch.resets is None else batch.resets
    layer = s5ref.SequenceLayer(**{name: getattr(c, name) for name in OF_LAYER})
    x = batch.inputs @ params["encoder.kernel"] + params["encoder.bias"]
    for i in range(c.n_layers):
        leaves = subtree(params, f"layers_{i}")
        x = layer.forward(leaves, {}, x, lengths, between, resets, engine="sequential").y
        if (i + 1) % c.event_every == 0 and i + 1 < c.n_layers:
            s, rows, gaps = c.event_stride, [], []
            for n in range(N):
                empty = np.zeros((1, c.d_model))
                cells = [w if len(w) else empty for w in windows_of(x[n], s, lengths[n])]
                rows.append([w.mean(axis=0) if c.event_pooling == "mean" else w[-1] for w in cells])
                gaps.append([w.sum() if len(w) else 1.0 for w in windows_of(between[n], s, lengths[n])])
            x, between, lengths = np.array(rows), np.array(gaps), -(-lengths // s)
            resets = resets[:, ::s]
    pooled = np.stack([row[:n].mean(axis=0) for row, n in zip(x, lengths, strict=True)])
    z = pooled @ params["decoder.kernel"] + params["decoder.bias"]
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


@st.composite
def problems(draw: st.DrawFn) -> tuple[s5ref.Model, Any, Batch]:
    stride, every = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    config = replace(
        CONFIG, event_stride=stride, event_every=every, event_pooling=draw(st.sampled_from(["mean", "last"])),
        bidirectional=draw(st.booleans()), discretization=draw(st.sampled_from(["zoh", "async", "foh"])),
    )  # fmt: skip
    N, L = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    rng = generator("event pooling", draw(st.integers(0, 10**6)))
    intervals = rng.exponential(1.0, (N, L)) if draw(st.booleans()) else None
    lengths = rng.integers(1, L + 1, N) if draw(st.booleans()) else None
    resets = np.zeros((N, L), bool)
    resets[:, :: config.total_stride] = rng.random((N, -(-L // config.total_stride))) < 0.5
    batch = Batch(
        rng.standard_normal((N, L, 2)), None, lengths, intervals, resets if draw(st.booleans()) else None
    )
    return s5ref.Model(config), s5ref.Model(config).init(1, "float64")[0], batch


@given(problem=problems())
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_it_is_the_layers_one_by_one(engine: Engine, problem: Any) -> None:
    model, params, batch = problem
    forward = model.forward(params, {}, batch, engine=engine)
    np.testing.assert_allclose(forward.output, layer_by_layer(model, params, batch), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mode", ["mean", "last"])
def test_intervals_of_one_are_regular_and_padding_counts_nowhere(mode: str) -> None:
    model = s5ref.Model(replace(CONFIG, event_pooling=mode, bidirectional=True))
    params, _ = model.init(0, "float64")
    x, lengths = generator("event pooling", mode).standard_normal((2, 11, 2)), np.array([11, 6])
    batch = Batch(x, np.array([0, 1]), lengths)
    result = model.loss_and_grad(params, {}, batch, engine="numpy")
    same = model.loss_and_grad(params, {}, batch._replace(intervals=np.ones((2, 11))), engine="numpy")
    np.testing.assert_allclose(same.output, result.output, rtol=1e-13)
    short = model.forward(params, {}, Batch(x[1:, :6]), engine="numpy")
    np.testing.assert_allclose(short.output[0], result.output[1], rtol=1e-12)


@pytest.mark.parametrize("pooling", ["mean", "last", "mean+max"])
@pytest.mark.parametrize("mode", ["mean", "last"])
def test_chunks_are_the_whole(mode: str, pooling: str) -> None:
    model = s5ref.Model(replace(CONFIG, event_pooling=mode, pooling=pooling))
    params, _ = model.init(0, "float64")
    rng = generator("event pooling", "chunks", mode, pooling)
    lengths = np.array([19, 11])
    batch = Batch(rng.standard_normal((2, 19, 2)), np.array([0, 1]), lengths, rng.exponential(1.0, (2, 19)))
    whole = model.loss_and_grad(params, {}, batch, engine="numpy")
    parts = s5ref.chunked_loss_and_grad(model, params, {}, batch, 8, engine="numpy")
    np.testing.assert_allclose(parts.output, whole.output, rtol=1e-12)
    for name, leaf in whole.grads.items():
        np.testing.assert_allclose(parts.grads[name], leaf, rtol=1e-10, atol=1e-13, err_msg=name)


def test_deeper_layers_run_on_fewer_steps() -> None:
    model = s5ref.Model(replace(CONFIG, event_stride=4, event_every=2))
    assert [window and window.stride for window in model.config.windows] == [None, 4, None]
    assert model.config.total_stride == 4
    plan = model.plan("numba")
    assert (plan.layers, plan.behind and plan.behind.layers) == (["layers_0", "layers_1"], ["layers_2"])
    assert "; behind event pooling engine numba, layers_2: fused (" in str(plan)
    assert model.plan("numba", irregular=True).behind is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"head": "regression"}, "event_stride must be 1 with the head regression"),
        ({"event_every": 3}, "event_every must be less than n_layers = 3"),
        ({"event_stride": 0}, "event_stride must be an integer of at least 1"),
        ({"event_pooling": "first"}, "event_pooling must be one of mean, last"),
    ],
)
def test_a_configuration_that_pools_nothing_or_too_much_is_refused(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(s5ref.ConfigError, match=words):
        replace(CONFIG, **options)


def test_what_it_would_mix_is_refused() -> None:
    model = s5ref.Model(CONFIG)
    params, _ = model.init(0, "float64")
    x, resets = np.zeros((1, 8, 2)), np.zeros((1, 8), bool)
    resets[0, 6] = True
    with pytest.raises(s5ref.DataError, match=r"at multiples of 4 steps.*begins 2 steps after"):
        model.forward(params, {}, Batch(x, resets=resets))
    with pytest.raises(s5ref.DataError, match="got packed rows"):
        model.forward(params, {}, s5ref.pack([x[0], x[0]]))
    with pytest.raises(s5ref.ConfigError, match=r"a multiple of 4 steps; got 6 steps. Use chunks of 8"):
        chunked_forward(model, params, {}, Batch(x), 6)
    with pytest.raises(s5ref.ConfigError, match="every layer must step with the input"):
        s5ref.streaming(model, params, {})
    with pytest.raises(s5ref.ConfigError, match=r"export: every layer must run on all steps"):
        check_exportable(model, params, {})
    with pytest.raises(s5ref.ConfigError, match=r"event_stride must be 1 with train.pack"):
        RunConfig("arrays", CONFIG, train=TrainConfig(pack=True))
    with pytest.raises(s5ref.ConfigError, match=r"flax has no event pooling"):
        check_theirs("flax", "[model]\nevent_stride = 2", "here", [])
    upstream = s5ref.Model(replace(CONFIG, padding="upstream"))
    with pytest.raises(s5ref.DataError, match="masked padding where lengths are given"):
        upstream.forward(params, {}, Batch(x, lengths=np.array([3])))
