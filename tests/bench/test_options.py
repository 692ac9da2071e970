"""What an option costs beside the recipe: every option is a case, and the two take turns."""

from __future__ import annotations

from typing import Any

import pytest

from s5ref.bench import options
from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import recipe_case
from s5ref.bench.race import Repetitions
from s5ref.model.model import Model


@pytest.mark.parametrize("option", options.OPTIONS)
def test_every_option_is_a_case(option: str) -> None:
    recipe = recipe_case("smnist", quick=True)
    case = options.apply(recipe, options.OPTIONS[option])
    assert case != recipe
    assert Model(case.model)
    batch = case.data()
    assert (batch.lengths is not None) == case.padded
    assert (batch.segments is not None) == case.packed
    assert (batch.intervals is not None) == case.irregular
    assert options.implementation(case) in ("fused", "composed")


def test_both_take_turns_and_the_medians_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_case("smnist", quick=True)
    changed = options.apply(recipe, options.OPTIONS["erf GELU"])
    ran, now = [], [0.0]

    def benchmark(engine: Any, case: Any, what: str) -> Benchmark:
        def once() -> None:
            ran.append(case)
            now[0] += 3.0 if case is changed else 2.0

        return Benchmark(once)

    monkeypatch.setattr(options, "benchmark", benchmark)
    monkeypatch.setattr("s5ref.bench.options.time.perf_counter", lambda: now[0])
    row = options.beside(recipe, changed, "erf GELU", "forward", Repetitions(3, 3, 0.0))
    assert (row.seconds, row.recipe_s, row.ratio, row.repeats) == (3.0, 2.0, 1.5, 3)
    assert ran == [changed, recipe] * 4
