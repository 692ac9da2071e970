"""The self-checks, from the gradients up: what ``s5ref verify`` runs. Nothing is printed here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from s5ref.engine import Engine, as_is
from s5ref.engines import NUMPY, SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.verification.budget import THRESHOLD
from s5ref.verification.engines import long_problem, model_ratios, worst_of_field
from s5ref.verification.exact import gelu_ratios, phi_ratios
from s5ref.verification.fields import FIELDS, candidates
from s5ref.verification.full import Group, full, require_flint
from s5ref.verification.golden import GOLDEN
from s5ref.verification.gradients import LIMIT, gradient_errors
from s5ref.verification.hosted import hosted
from s5ref.verification.identities import IDENTITIES
from s5ref.verification.problems import PROBLEMS, problems
from s5ref.verification.report import Report, Row, Worst
from s5ref.verification.stages import STAGES
from s5ref.verification.stored import stored
from s5ref.verification.theorems import STATEMENTS, theorems

LEVELS = ("quick", "full")
DTYPES = ("float32", "float64")


def verify(
    level: str = "quick",
    engines: Sequence[Engine] | None = None,
    report: Callable[[Row], None] | None = None,
) -> Report:
    """Run every check of ``level`` on ``engines`` (None: SEQUENTIAL, NUMPY, NUMBA); ``report`` gets each
    row as it lands.

    An engine of a device (`s5ref.gpu.CUDA`) is asked through `hosted`. The full level needs python-flint,
    but for a device alone, which the stored answers judge without it.
    A check that raises is a failed row that says so. Raises S5Error for an unknown level or an empty list
    of engines.
    """
    if level not in LEVELS:
        raise S5Error(
            f"verify: level must be one of {', '.join(LEVELS)}; got {level!r}.", 'Use level="quick".'
        )
    if engines is None:
        from s5ref import NUMBA

        engines = (SEQUENTIAL, NUMPY, NUMBA)
    if not engines:
        raise S5Error(
            "verify: at least one engine; got none.", "Pass engines=[s5ref.NUMPY], or leave it out."
        )
    if level == "full" and any(engine.to_device is as_is for engine in engines):
        require_flint()  # a device is judged by the stored answers where it is missing
    engines = [engine if engine.to_device is as_is else hosted(engine) for engine in engines]
    start = time.perf_counter()
    rows: list[Row] = []
    selected = ran = 0
    for group, promised, check in (*_quick(engines), *(full(engines) if level == "full" else ())):
        before = ran
        try:
            for row in check():
                ran += 1
                rows.append(row)
                if report is not None:
                    report(row)
        except Exception as error:  # a check that cannot run is a finding, and the others still run
            rows.append(
                Row(group, "raised", "", "", float("inf"), 0.0, False, f"{type(error).__name__}: {error}")
            )
            if report is not None:
                report(rows[-1])
        selected += max(1, ran - before) if promised is None else promised
    passed = sum(row.passed for row in rows)
    return Report(selected, ran, passed, len(rows) - passed, time.perf_counter() - start, rows)


def _quick(engines: Sequence[Engine]) -> Iterator[Group]:
    others = [engine for engine in engines if engine is not SEQUENTIAL]
    for group in PROBLEMS:
        yield "gradient", len(engines), partial(_gradients, group, engines)
    for field in FIELDS:
        for dtype in DTYPES:
            chosen = candidates(field, dtype, engines)
            yield "kernel", len(chosen), partial(_field, field, dtype, chosen)
    for dtype in DTYPES:
        yield "model", len(others), partial(_models, dtype, others)
    for name in IDENTITIES:
        yield "identity", len(engines) * len(DTYPES), partial(_identity, name, engines)
    yield "exact", len(DTYPES), _phi
    yield "exact", len(DTYPES) * len(engines), partial(_gelu, engines)
    yield "golden", len(GOLDEN), _golden
    yield "theorems", len(STATEMENTS), theorems
    yield "vectors", len(STAGES) * len(engines), partial(stored, engines)


def _gradients(group: str, engines: Sequence[Engine]) -> Iterator[Row]:
    """All gradients of a group of models, by every leaf alone and jointly."""
    worst = {engine.name: Worst() for engine in engines}
    for at in problems(group):
        for name, errors in gradient_errors(at, engines).items():
            for leaf, error in errors.items():
                worst[name].see(error, f"{leaf} of {at.name}")
    for name, w in worst.items():
        yield w.row("gradient", group, name, "float64", LIMIT)


def _field(field: str, dtype: str, engines: Sequence[Engine]) -> Iterator[Row]:
    for name, worst in worst_of_field(field, dtype, engines).items():
        yield worst.row("kernel", field, name, dtype, THRESHOLD)


def _models(dtype: str, engines: Sequence[Engine]) -> Iterator[Row]:
    worst = {engine.name: Worst() for engine in engines}
    for at in [*problems(), long_problem()] if engines else []:
        for name, ratios in model_ratios(at, dtype, engines).items():
            for leaf, value in ratios.items():
                worst[name].see(value, f"{leaf} of {at.group}: {at.name}")
    for name, w in worst.items():
        yield w.row("model", "against sequential", name, dtype, THRESHOLD)


def _identity(name: str, engines: Sequence[Engine]) -> Iterator[Row]:
    for engine in engines:
        for dtype in DTYPES:
            worst = Worst()
            for value, where in IDENTITIES[name](engine, dtype):
                worst.see(value, where)
            yield worst.row("identity", name, engine.name, dtype, THRESHOLD)


def _phi() -> Iterator[Row]:
    for dtype in DTYPES:
        worst = Worst()
        for value, where in phi_ratios(dtype):
            worst.see(value, where)
        yield worst.row("exact", "φ₁ and φ₁′ against their series", "", dtype, THRESHOLD)


def _gelu(engines: Sequence[Engine]) -> Iterator[Row]:
    for engine in engines:
        for dtype in DTYPES:
            worst = Worst()
            for value, where in gelu_ratios(engine, dtype):
                worst.see(value, where)
            yield worst.row("exact", "GELU (erf) against its series", engine.name, dtype, THRESHOLD)


def _golden() -> Iterator[Row]:
    for name, (check, limit) in GOLDEN.items():
        worst = Worst()
        for value, where in check():
            worst.see(value, where)
        yield worst.row("golden", name, "", "", limit)
