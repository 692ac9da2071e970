"""Testing the tester: known mistakes, put into an engine, are caught by the check that is there for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from s5ref import SEQUENTIAL, Engine
from s5ref.engine import Pair
from s5ref.nn.norm import LayerNormResiduals, Running
from s5ref.verification.selfcheck.engines import model_ratios, worst_of_field
from s5ref.verification.selfcheck.gradients import LIMIT, gradient_errors
from s5ref.verification.selfcheck.identities import mirrored, split
from s5ref.verification.selfcheck.problems import problems


def mutant(
    field: str, value: Callable[..., Any] | None = None, vjp: Callable[..., Any] | None = None
) -> Engine:
    pair = getattr(SEQUENTIAL, field)
    changed: dict[str, Any] = {field: Pair(value or pair.value, vjp or pair.vjp)}
    return replace(SEQUENTIAL, name="mutant", **changed)


def _scan_vjp(change: Callable[..., Any]) -> Engine:
    return mutant("scan", vjp=lambda residuals, d: change(residuals, d, *SEQUENTIAL.scan.vjp(residuals, d)))


def _layer_norm_1e5(x: Any, scale: Any, bias: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    return scale * centred * rstd + bias, LayerNormResiduals(centred * rstd, rstd, scale)


def _unbiased(*args: Any) -> Any:
    (y, running), residuals = SEQUENTIAL.batch_norm.value(*args)
    if residuals.count is None:
        return (y, running), residuals
    n = residuals.count / np.maximum(residuals.count - 1, 1)
    before, momentum = args[3], args[4]
    return (
        y,
        Running(running.mean, momentum * before.var + n * (running.var - momentum * before.var)),
    ), residuals


def _reverse_off_by_one(Lambda_bar: Any, Bu: Any, x0: Any = None, reverse: bool = False) -> Any:
    if reverse and Lambda_bar.ndim == 3:
        Lambda_bar = np.roll(Lambda_bar, 1, axis=1)
    return SEQUENTIAL.scan.value(Lambda_bar, Bu, x0, reverse)


def _slightly_off(x: Any, W: Any, bias: Any = None) -> Any:
    y, residuals = SEQUENTIAL.linear.value(x, W, bias)
    return y * (1 + 40 * np.finfo(y.dtype).eps), residuals


MUTANTS: dict[str, tuple[str, Engine]] = {
    "the cotangent of the multiplier is lost": (
        "scan",
        _scan_vjp(lambda s, d, da, db, dx0: (0 * da, db, dx0)),
    ),
    "the cotangent of the initial state is lost": (
        "scan",
        _scan_vjp(lambda s, d, da, db, dx0: (da, db, 0 * dx0)),
    ),
    "the cotangent of the final state is ignored": (
        "scan",
        mutant(
            "scan",
            vjp=lambda s, d: SEQUENTIAL.scan.vjp(s, (np.zeros_like(s.x) if d[0] is None else d[0], None)),
        ),
    ),
    "the cotangent of the multiplier is conjugated": (
        "scan",
        _scan_vjp(lambda s, d, da, db, dx0: (np.conj(da), db, dx0)),
    ),
    "reverse with the multipliers of the neighbours": ("scan", mutant("scan", _reverse_off_by_one)),
    "the bias has no gradient": (
        "linear",
        mutant(
            "linear",
            vjp=lambda s, dy: (lambda d: (*d[:2], None if d[2] is None else 0 * d[2]))(
                SEQUENTIAL.linear.vjp(s, dy)
            ),
        ),
    ),
    "a product off by forty roundings": ("linear", mutant("linear", _slightly_off)),
    "the gate has no gradient": (
        "glu",
        mutant("glu", vjp=lambda s, dy: (lambda d: (d[0], 0 * d[1]))(SEQUENTIAL.glu.vjp(s, dy))),
    ),
    "the error function for the hyperbolic tangent": (
        "gelu_tanh",
        replace(SEQUENTIAL, name="mutant", gelu_tanh=SEQUENTIAL.gelu_erf),
    ),
    "LayerNorm with 1e-5": ("layer_norm", mutant("layer_norm", _layer_norm_1e5)),
    "an unbiased running variance": ("batch_norm", mutant("batch_norm", _unbiased)),
}
GRADIENTS = [name for name in MUTANTS if "gradient" in name or "cotangent" in name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MUTANTS)
def test_the_bound_of_its_field_catches_it(name: str, dtype: str) -> None:
    field, engine = MUTANTS[name]
    assert worst_of_field(field, dtype, [engine])["mutant"].value > 1


@pytest.mark.parametrize("name", [name for name in MUTANTS if "final state" not in name])
def test_whole_models_catch_it(name: str) -> None:
    """Some model of the ladder is off by more than its budget, in single precision."""
    engine = MUTANTS[name][1]
    worst = max(
        value
        for at in problems("length", "norm", "direction and discretisation")
        for value in model_ratios(at, "float32", [engine])["mutant"].values()
    )
    assert worst > 1


@pytest.mark.parametrize("name", [name for name in GRADIENTS if "final state" not in name])
def test_directional_derivatives_catch_it(name: str) -> None:
    engine = MUTANTS[name][1]
    worst = max(
        error
        for at in problems("length")
        for error in gradient_errors(at, [SEQUENTIAL, engine])["mutant"].values()
    )
    assert worst > LIMIT


def test_identities_catch_mistakes_of_the_scan() -> None:
    reverse = MUTANTS["reverse with the multipliers of the neighbours"][1]
    assert max(value for value, _ in mirrored(reverse, "float64")) > 1
    for name in ("the cotangent of the final state is ignored", "the cotangent of the initial state is lost"):
        assert max(value for value, _ in split(MUTANTS[name][1], "float64")) > 1
