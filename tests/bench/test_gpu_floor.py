"""The floor of a step: against hand counts, the table of passes, and the rates that it is computed from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s5ref.bench.case import Case, recipe_case
from s5ref.bench.floor import Pass, floor, forward_passes, moved, passes
from s5ref.bench.gpu.run import select
from s5ref.recipes import names

COPY, FLOAT32, TF32 = 3.0e12, 60e12, 400e12
USUAL = ["smnist", "listops", "image", "pathx"]


def case_of(name: str) -> Case:
    [case] = select(name, False)
    return case


@pytest.mark.parametrize(
    ("name", "float32", "tf32"),
    [("listops", 5.8, 5.4), ("smnist", 1.1, 1.0), ("image", 32.7, 11.1), ("pathx", 60.8, 41.9)],
)
def test_milliseconds_of_a_step(name: str, float32: float, tf32: float) -> None:
    case = case_of(name)
    assert round(1e3 * floor(case, "train_step", COPY, FLOAT32), 1) == float32
    assert round(1e3 * floor(case, "train_step", COPY, TF32), 1) == tf32
    assert floor(case, "train_step, launched", COPY, TF32) == floor(case, "train_step", COPY, TF32)
    assert 0 < floor(case, "forward", COPY, TF32) < floor(case, "train_step", COPY, TF32) / 2


@pytest.mark.parametrize(
    ("name", "want"), [("listops", 5.4), ("smnist", 1.1), ("image", 32.7), ("pathx", 60.8)]
)
def test_milliseconds_where_a_product_may_wait_for_memory_while_another_computes(
    name: str, want: float
) -> None:
    """The longer of all bytes and all operations of the products, forward and backward: a weaker bound."""
    case, s = case_of(name), case_of(name).sizes

    def seconds(part: list[Pass]) -> float:
        products = [one for one in part if one.product]
        computing = sum(one.product.flops for one in products if one.product) / FLOAT32
        moving = sum(one.bytes(s) for one in products) / COPY
        return max(computing, moving) + sum(one.bytes(s) for one in part if not one.product) / COPY

    every, forward = passes(case, "train_step"), passes(case, "forward")
    total = s.layers * (seconds(forward) + seconds(every[len(forward) :]))
    assert round(1e3 * total, 1) == want


def test_smnist_by_hand() -> None:
    """Unidirectional, one gate: 39,200 rows, n_u = 4 · 96, n_x = 8 · 64 bytes a row."""
    case, u, x = case_of("smnist"), 39_200 * 4 * 96, 39_200 * 8 * 64
    forward = (u + x) + 2 * x + (u + x) + 3 * u + 2 * u + 4 * u
    backward = 5 * u + 3 * u + 2 * u + 4 * u + 2 * (u + x) + 3 * x + (u + x) + (2 * u + x) + 6 * u
    assert moved(case, "forward") == 4 * forward
    assert moved(case, "train_step") == 4 * (forward + backward)
    assert floor(case, "forward", COPY, 1e30) == pytest.approx(4 * forward / COPY)


@pytest.mark.parametrize("name", names())
def test_products_are_those_of_the_cases(name: str) -> None:
    """`Case.flops` counts the same operations, and the encoder's."""
    case = recipe_case(name)
    for what, factor in (("forward", 1), ("train_step", 3)):
        counted = case.sizes.layers * sum(one.product.flops for one in passes(case, what) if one.product)
        encoder = case.flops(what) - counted
        inputs, rows = case.model.in_dim, case.sizes.rows
        of_images = 576 * 25 * 12 + 36 * 108 * 12 + 108 * 30 + 30 * 30 if name == "pendulum" else 0
        assert encoder in (0, factor * rows * 2 * (of_images or inputs * case.model.d_model))


@pytest.mark.parametrize("name", USUAL)
def test_a_product_moves_at_least_its_factors_and_itself(name: str) -> None:
    """The table's bytes of a product leave out its small factor alone."""
    s = case_of(name).sizes
    for one in passes(case_of(name), "train_step"):
        if one.product:
            small = one.product.bytes - one.bytes(s)
            assert small <= 4 * max(2 * s.P * s.directions, s.H) * max(s.H, 2 * s.P)
            assert small >= (-4 * s.rows * s.H if "added" in one.name else 0)


def test_gates() -> None:
    case = case_of("smnist")

    def of(activation: str) -> Case:
        model = replace(case.model, activation=activation)
        return replace(case, config=replace(case.config, model=model))

    counts = {name: len(forward_passes(of(name).sizes)) for name in ("gelu", "half_glu1", "full_glu")}
    assert counts == {"gelu": 5, "half_glu1": 6, "full_glu": 7}
    steps = [moved(of(name), "train_step") for name in ("gelu", "half_glu2", "full_glu")]
    assert steps == sorted(set(steps))


def test_the_recipes_own_batch() -> None:
    assert [(case.name, case.batch, case.length) for case in select(None, False)] == [
        ("smnist", 50, 784), ("listops", 50, 2048), ("image", 50, 1024), ("pathx", 32, 16384)
    ]  # fmt: skip
    assert [(case.batch, case.length) for case in select("pathx", True)] == [(4, 256)]
