"""The fused layer against the composed one of the reference, where its own shapes could break it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref import SEQUENTIAL, Batch, Call, Model, ModelConfig, S5Error
from s5ref.cpu import chunking
from s5ref.cpu.block import fused, why_not_fused
from s5ref.cpu.tile import TILE
from s5ref.engine import Conditions
from s5ref.model.packing import packed
from s5ref.random import generator
from s5ref.tree import leaves, subtree
from s5ref.verification.rounding.budget import composite_budget, ratio


def outcome(
    config: ModelConfig,
    N: int,
    L: int,
    dtype: str,
    irregular: bool = False,
    resets: bool = False,
    packs: bool = False,
    **call: Any,
) -> Any:
    """fn(kernels): everything that a loss and its gradient return."""
    model = Model(config)
    params, statistics = model.init(3, dtype)
    rng = generator("test", "block", N, L)
    params = {
        name: leaf + 0.1 * rng.standard_normal(leaf.shape).astype(dtype) for name, leaf in params.items()
    }
    batch = Batch(rng.standard_normal((N, L, 1)), rng.integers(0, 10, N))
    if config.padding == "masked":  # the longest is shorter than its row, so that whole chunks are padding
        batch = batch._replace(lengths=rng.integers(1, L // 2 + 2, N))
    if irregular:
        batch = batch._replace(intervals=rng.uniform(0, 2, (N, L)))
    if resets:  # some episodes are one step long, others go through several chunks
        batch = batch._replace(resets=rng.random((N, L)) < rng.choice([0.001, 0.01, 0.5], (N, 1)))
    if packs:  # from one step to a whole row, which is more than a chunk where N < 8
        batch = packed(batch._replace(lengths=np.r_[L, rng.integers(1, L + 1, N - 1)]))
    options: dict[str, Any] = {"training": True, "key": (0, 1), **call}
    return lambda engine: model.loss_and_grad(params, statistics, batch, engine=engine, **options)


def config(**changes: Any) -> ModelConfig:
    return replace(ModelConfig(n_layers=2, d_model=10, ssm_size=12, dropout=0.2), **changes)


def worst(got: Any, want: dict[str, Any], budget: dict[str, Any]) -> tuple[float, str]:
    return max((ratio(leaf, want[path], budget[path], 1.0), path) for path, leaf in leaves(got))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "half_glu1", "half_glu2", "full_glu"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("N", "L"),
    [(9, 1), (8, TILE), (9, TILE + 1), (2, 2 * TILE + 3), (1, 5 * TILE - 1), (3, 2 * TILE + 1)],
)  # chunked along time where N < 8; at the last a chunk of one tile lies beside one of two
def test_loss_gradient_and_statistics_are_the_reference_s(
    bidirectional: bool, activation: str, training: bool, N: int, L: int
) -> None:
    run = outcome(
        config(bidirectional=bidirectional, activation=activation), N, L, "float64", training=training
    )
    want, budget = composite_budget(run, SEQUENTIAL, range(6), terms=max(100, N * L))
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize("states", ["wide", "narrow"])  # y is kept where the states are wider than H
def test_float32_is_within_its_own_budget(states: str) -> None:
    run = outcome(config(ssm_size=12 if states == "wide" else 4, blocks=1), 9, 300, "float32")
    want, budget = composite_budget(run, SEQUENTIAL, range(2), terms=3000)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize(
    "form",
    [
        {"conj_sym": False},
        {"clip_eigs": True},
        {"discretization": "bilinear"},
        {"bidirectional": True, "c_init": "complex_normal"},  # C of both directions in one leaf
        {"gelu": "erf"},
        {"gelu": "erf", "activation": "half_glu2"},
    ],
)
def test_every_form_of_the_layer_is_the_reference_s(form: dict[str, Any]) -> None:
    run = outcome(config(**form), 3, 20, "float64")
    want, budget = composite_budget(run, SEQUENTIAL, range(6), terms=100)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize(
    "form",
    [
        {"norm": "layer"},
        {"norm": "layer", "bidirectional": True},
        {"prenorm": False},
        {"prenorm": False, "norm": "layer"},
        {"padding": "masked"},
        {"padding": "masked", "bidirectional": True},
        {"padding": "masked", "prenorm": False},
    ],
)
@pytest.mark.parametrize(("N", "L"), [(9, TILE + 1), (2, 2 * TILE + 3)])
def test_norms_and_padding_are_the_reference_s(form: dict[str, Any], N: int, L: int) -> None:
    run = outcome(config(**form), N, L, "float64")
    want, budget = composite_budget(run, SEQUENTIAL, range(4), terms=N * L)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"bidirectional": True, "padding": "masked"},
        {"discretization": "dirac", "bidirectional": True},
        {"norm": "layer", "conj_sym": False},
    ],
)
@pytest.mark.parametrize(("N", "L"), [(9, TILE + 1), (2, 2 * TILE + 3)])
def test_irregular_sampling_is_the_reference_s(form: dict[str, Any], N: int, L: int) -> None:
    run = outcome(config(**form), N, L, "float64", irregular=True)
    want, budget = composite_budget(run, SEQUENTIAL, range(4), terms=N * L)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"bidirectional": True, "padding": "masked"},
        {"learn_initial_state": True},
        {"learn_initial_state": True, "bidirectional": True, "padding": "masked"},
    ],
)
@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize(("N", "L"), [(9, TILE + 1), (2, 2 * TILE + 3)])
def test_episodes_are_the_reference_s(form: dict[str, Any], irregular: bool, N: int, L: int) -> None:
    run = outcome(config(**form), N, L, "float64", irregular, resets=True)
    want, budget = composite_budget(run, SEQUENTIAL, range(3), terms=N * L)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


@pytest.mark.parametrize(
    "form",
    [
        {"bidirectional": True},
        {"norm": "layer", "activation": "full_glu"},
        {"activation": "gelu", "prenorm": False, "pooling": "last"},
        {"learn_initial_state": True, "activation": "half_glu2", "pooling": "mean+max"},
    ],
)
@pytest.mark.parametrize(("N", "L"), [(20, TILE + 1), (5, 2 * TILE + 3)])  # few rows are cut along time
def test_packed_rows_are_the_reference_s(form: dict[str, Any], N: int, L: int) -> None:
    run = outcome(config(**form), N, L, "float64", packs=True)
    want, budget = composite_budget(run, SEQUENTIAL, range(3), terms=N * L)
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


def test_a_layer_of_another_shape_has_scratch_of_its_own() -> None:
    """Every thread keeps what it works in, and the next shape may need more."""
    runs = [outcome(config(d_model=H), N, L, "float64") for H, N, L in ((4, 9, 5), (10, 9, 300), (10, 9, 7))]
    want = [[leaf.tobytes() for _, leaf in leaves(run(s5ref.NUMBA))] for run in runs]
    for turn in (2, 0, 1, 0):
        assert [leaf.tobytes() for _, leaf in leaves(runs[turn](s5ref.NUMBA))] == want[turn]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("N", "L"), [(9, 300), (2, 700)])
def test_what_is_computed_again_has_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, bidirectional: bool, N: int, L: int
) -> None:
    run = outcome(config(bidirectional=bidirectional), N, L, "float32")
    kept = {path: leaf.tobytes() for path, leaf in leaves(run(s5ref.NUMBA))}
    monkeypatch.setattr(chunking, "KEEP", 0)
    assert kept == {path: leaf.tobytes() for path, leaf in leaves(run(s5ref.NUMBA))}


def test_a_long_sequence_goes_in_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    run = outcome(config(), 1, 3000, "float64")
    want, budget = composite_budget(run, SEQUENTIAL, range(2), terms=3000)
    monkeypatch.setattr(chunking, "KEEP", 0)
    monkeypatch.setattr(chunking, "SECTION", 700)
    assert len(chunking.sections_of(1, 3000, whole=False)) == 5
    found = worst(run(s5ref.NUMBA), want, budget)
    assert found[0] <= 1, found


def test_chunks_of_a_section_meet() -> None:
    for N, L in ((1, 1), (1, 5000), (3, 100_000), (20, 100_000)):
        for whole in (True, False):
            edges = [list(bounds) for bounds in chunking.sections_of(N, L, whole)]
            assert edges[0][0] == 0
            assert edges[-1][-1] == L
            assert all(a[-1] == b[0] for a, b in pairwise(edges))
            assert all(np.diff(bounds).min() > 0 for bounds in edges)


def test_backward_twice_gives_the_same_and_changes_nothing() -> None:
    model = Model(config())
    params, statistics = model.init(0)
    batch = Batch(generator("test", "twice").standard_normal((9, 300, 1)), np.zeros(9, int))
    forward, vjp = model.forward_and_vjp(
        params, statistics, batch, engine=s5ref.NUMBA, training=True, key=(0, 0)
    )
    d = np.ones_like(forward.output)
    first = vjp(d)[0]
    before = {name: leaf.tobytes() for name, leaf in first.items()}
    again = vjp(d)[0]
    assert before == {name: leaf.tobytes() for name, leaf in again.items()}
    assert before == {name: leaf.tobytes() for name, leaf in first.items()}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_as_by_the_reference(value: float) -> None:
    model = Model(config())
    params, statistics = model.init(0)
    params["encoder.bias"][3] = value
    batch = Batch(np.zeros((9, 30, 1)), np.zeros(9, int))
    for engine in (SEQUENTIAL, s5ref.NUMBA):
        with pytest.raises(S5Error, match="u must be finite"), np.errstate(all="ignore"):
            model.forward(params, statistics, batch, engine=engine)


def test_a_state_that_overflows_is_returned_as_it_is() -> None:
    model = Model(config())
    params, statistics = model.init(0, "float32")
    for name in ("layers_1.seq.B", "layers_1.norm.scale"):
        params[name] = np.full_like(params[name], 1e30)
    batch = Batch(generator("test", "overflow").standard_normal((9, 30, 1)), np.zeros(9, int))
    with np.errstate(all="ignore"):
        forward, _ = model.value(params, statistics, batch, Call(s5ref.NUMBA))
    assert np.isfinite(forward.states[0]).all()
    assert not np.isfinite(forward.states[1]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"bidirectional": True, "activation": "half_glu2", "gelu": "erf"}, ""),
        ({"prenorm": False, "learn_initial_state": True}, ""),
        ({"norm": "layer"}, ""),
        ({"activation": "full_glu"}, ""),
    ],
)
def test_why_a_layer_is_not_fused(changes: dict[str, Any], words: str) -> None:
    options = config(**changes).block_options()
    reason = why_not_fused(options, Conditions("float32"))
    assert reason.startswith(words)
    assert bool(reason) == bool(words)
    if not words:
        assert why_not_fused(options, Conditions("longdouble")) == "the dtype is longdouble"
        assert why_not_fused(options, Conditions("float32", irregular=True)) == ""
        assert why_not_fused(options, Conditions("float64", masked=True, resets=True, packed=True)) == ""
        assert why_not_fused(options, Conditions("float32", irregular=True, packed=True)) == ""


def test_an_initial_state_that_does_not_fit_is_refused() -> None:
    model = Model(config())
    params, statistics = model.init(0)
    layer, running = subtree(params, "layers_0"), subtree(statistics, "layers_0")
    call, x, options = Call(s5ref.NUMBA), np.zeros((2, 5, 10), "float32"), model.options
    with pytest.raises(S5Error, match="x0 must be"):
        fused(layer, x, options, call, running, x0=np.zeros((2, 7), complex))
    options = replace(options, ssm=replace(options.ssm, bidirectional=True))
    with pytest.raises(S5Error, match="carries no state"):
        fused(layer, x, options, call, running, x0=np.zeros((2, 6), complex))


def test_without_gradient_the_output_has_the_same_bits_and_no_backward_pass() -> None:
    model = Model(config())
    params, statistics = model.init(0)
    batch = Batch(generator("test", "without").standard_normal((9, 300, 1)), np.zeros(9, int))
    full, _ = model.forward_and_vjp(params, statistics, batch, engine=s5ref.NUMBA)
    bare, residuals = model.value(params, statistics, batch, Call(s5ref.NUMBA, keep_residuals=False))
    assert full.output.tobytes() == bare.output.tobytes()
    with pytest.raises(S5Error, match="keep_residuals=False"):
        model.vjp(residuals, np.ones_like(bare.output))
