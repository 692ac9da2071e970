"""Balls: exact in, accurate and rounded once out, distances that are upper bounds, and the remedy where flint
is missing."""

from __future__ import annotations

import ast
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.errors import S5Error
from s5ref.verification.proofs.oracles import balls as b
from s5ref.verification.proofs.oracles.elementary import constant, exp

FOLDER = Path(__file__).parents[4] / "verification" / "proofs" / "oracles"
ALLOWED = ("s5ref.errors", "s5ref.tree", "s5ref.verification.proofs.oracles")


def array(*values: Any) -> Any:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        np.float32(0.1),
        np.longdouble(1) / 3,
        0.1 - 2e-9j,
        np.complex64(1 / 3),
    ],
)
def test_floats_are_exact_balls(value: Any) -> None:
    z = b.ball(value)
    with b.precision(4000):
        for got, want in ((z.real, np.real(value)), (z.imag, np.imag(value))):
            assert got.is_exact()
            assert b.flint().fmpq(*(int(n) for n in want.as_integer_ratio())) == got.fmpq()


@pytest.mark.parametrize(
    "value", [Fraction(1, 3), Fraction(-2, 7), Fraction(1, 3 * 2**1060), Fraction(0), Fraction(10**40, 7)]
)
def test_rounded_once(value: Fraction) -> None:
    """Also where the result is subnormal: Python rounds a fraction correctly."""
    with b.precision(b.BITS):
        ball = array(b.ball(value))
    got, radius = b.rounded(ball, False)
    assert got[0] == float(value)
    error = abs(Fraction(got[0]) - value)
    assert error <= Fraction(radius[0]) <= max(error * Fraction(1 + 2**-40), Fraction(2) ** -1074)


def test_distance_reaches_the_farthest_point() -> None:
    ball = array(b.flint().acb(b.flint().arb(1, 0.25)))
    assert 0.75 <= b.distance(np.array([1.5]), ball)[0] <= 0.7500001
    assert b.distance(np.array([np.nan]), ball)[0] == np.inf
    assert b.distance(np.array([1.0, 1.0]), ball)[0] == np.inf


def test_precision_rises_until_every_element_is_accurate() -> None:
    """eˣ(e⁻ˣ) − 1 + 10⁻¹⁵⁰ loses 500 bits."""
    used: list[int] = []

    def run() -> dict[str, Any]:
        used.append(b.flint().ctx.prec)
        x = array(constant(3))
        return {"y": exp(x) * exp(-x) - 1 + constant(Fraction(1, 10**150))}

    [y] = b.enclose(run)["y"]
    assert used == [200, 400, 800]
    with b.precision(2000):
        assert y.contains(constant(Fraction(1, 10**150)))
        assert not y.contains(constant(Fraction(1, 10**150) + Fraction(1, 10**230)))
    assert y.rad() < 1e-150 * 2**-b.ACCURATE
    assert b.flint().ctx.prec not in (200, 400, 800)  # the precision of others is left alone


def test_what_has_no_enclosure_is_refused() -> None:
    with pytest.raises(S5Error, match="y not known to 80 bits"):
        b.enclose(lambda: {"y": array(constant(1) / constant(0))})


def test_without_flint_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(S5Error) as refused:
        b.flint()
    assert 'pip install "s5ref[verify]"' in refused.value.remedy


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_the_oracle_does_not_know_what_it_certifies(path: Path) -> None:
    """Nothing here imports the mathematics of s5ref, nor flint at the top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = str(node.module)
            assert not module.startswith("s5ref") or module.startswith(ALLOWED), f"{path.name}: {module}"
            assert "certify" not in module
    assert not any(isinstance(node, ast.Import) and node.names[0].name == "flint" for node in tree.body)
