"""The self-checks, from the gradients up: what ``s5ref verify`` runs. Nothing is printed here.

The quick level needs no extra; the full one adds theorems at full size, the edges, the mutants, and with
python-flint certified enclosures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product

import numpy as np

from s5ref.engine import Engine, as_is
from s5ref.engines import NUMPY, SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.settings import check_known
from s5ref.verification.conformance.mutants import MUTANTS
from s5ref.verification.conformance.mutants.run import run_mutants
from s5ref.verification.conformance.stages import STAGES, computed
from s5ref.verification.conformance.vectors import load
from s5ref.verification.proofs.theorems import STATEMENTS, theorems
from s5ref.verification.report import Measured, Report, Row, Worst, WorstByEngine
from s5ref.verification.rounding.budget import THRESHOLD, ratio
from s5ref.verification.selfcheck.engines import long_problem, model_ratios, worst_of_field
from s5ref.verification.selfcheck.exact import gelu_ratios, phi_ratios
from s5ref.verification.selfcheck.extremes import extremes
from s5ref.verification.selfcheck.fields import FIELDS, candidates
from s5ref.verification.selfcheck.golden import GOLDEN
from s5ref.verification.selfcheck.gradients import LIMIT, gradient_errors
from s5ref.verification.selfcheck.hosted import hosted
from s5ref.verification.selfcheck.identities import IDENTITIES
from s5ref.verification.selfcheck.problems import PROBLEMS, problems

DTYPES = ("float32", "float64")
Check = Callable[[Engine, str], Measured]  # (engine, dtype) -> (measured, where) pairs
Group = tuple[str, int | None, Callable[[], Iterator[Row]]]  # name, rows promised or None if open, check


def full(engines: Sequence[Engine]) -> Iterator[Group]:
    """The groups of checks of the full level, cheap ones first."""
    yield "theorems", len(STATEMENTS), partial(theorems, "full")
    yield "extremes", None, partial(extremes, engines)
    yield "mutants", len(MUTANTS), _mutants
    for dtype, engine in product(DTYPES if find_spec("flint") else (), engines):
        yield "certified", None, partial(_certified, engine, dtype)


def _mutants() -> Iterator[Row]:
    """A known mistake of ports passes if `s5ref check` kills and names it as the record says."""
    for row in run_mutants().rows:
        lost = f"no longer {row.lost}" if row.lost else ""
        detail = lost or f"killed by {row.killed_by or 'nothing'}; named {', '.join(row.names) or 'nothing'}"
        name = f"{row.id}: {row.name}"
        yield Row("mutants", name, "", "", float(bool(lost)), 0.0, not lost, detail)


def _certified(engine: Engine, dtype: str) -> Iterator[Row]:
    from s5ref.verification.selfcheck.certify import certify  # deferred: needs python-flint

    yield from certify(engine, dtype, "base")


def stored(engines: Sequence[Engine]) -> Iterator[Row]:
    """A row per stage and engine: the worst ratio over every output and cotangent of every vector."""
    vectors = load()
    for stage, engine in product(STAGES, engines):
        worst = Worst()
        for v in vectors:
            if v.case.stage == stage:
                with np.errstate(all="ignore"):  # vectors go to the edges on purpose
                    got = computed(v.case, engine)
                for name, want in v.want.items():
                    worst.see(ratio(got[name], want, v.bounds[name], v.eps), f"{v.id}/{name}")
        yield worst.row("vectors", stage, engine.name, "both", THRESHOLD)


LEVELS = ("quick", "full")


def verify(
    level: str = "quick",
    engines: Sequence[Engine] | None = None,
    report: Callable[[Row], None] | None = None,
) -> Report:
    """Run every check of a level.

    Parameters
    ----------
    level : {"quick", "full"}
        The full level needs python-flint, but for a device alone, which the stored answers judge without it.
    engines : sequence of Engine, optional
        Default: SEQUENTIAL, NUMPY, NUMBA. An engine of a device (`s5ref.gpu.CUDA`) is asked through `hosted`.
    report : function, optional
        Gets each row as it lands.

    Returns
    -------
    Report
        A check that raises is a failed row that says so.

    Raises
    ------
    S5Error
        For an unknown level, an empty list of engines, or python-flint missing.
    """
    check_known("level", level, LEVELS, "verify")
    if engines is None:
        from s5ref import NUMBA

        engines = (SEQUENTIAL, NUMPY, NUMBA)
    if not engines:
        raise S5Error(
            "verify: at least one engine; got none.", "Pass engines=[s5ref.NUMPY], or leave it out."
        )
    on_host = any(engine.to_device is as_is for engine in engines)  # the stored answers judge a device
    if level == "full" and on_host and find_spec("flint") is None:
        raise S5Error(
            "verify: level full computes certified enclosures, which need python-flint; it is not installed.",
            'pip install "s5ref[verify]", or use level quick.',
        )
    engines = [engine if engine.to_device is as_is else hosted(engine) for engine in engines]
    start = time.perf_counter()
    rows: list[Row] = []

    def land(row: Row) -> None:
        rows.append(row)
        if report is not None:
            report(row)

    selected = ran = 0
    for group, promised, check in (*_quick(engines), *(full(engines) if level == "full" else ())):
        before = ran
        try:
            for row in check():
                ran += 1
                land(row)
        except Exception as error:  # a check that cannot run is a finding, and the others still run
            what = f"{type(error).__name__}: {error}"
            land(Row(group, "raised", "", "", float("inf"), 0.0, False, what))
        selected += max(1, ran - before) if promised is None else promised
    passed = sum(row.passed for row in rows)
    return Report(selected, ran, passed, len(rows) - passed, time.perf_counter() - start, rows)


def _quick(engines: Sequence[Engine]) -> Iterator[Group]:
    others = [engine for engine in engines if engine is not SEQUENTIAL]
    for group in PROBLEMS:
        yield "gradient", len(engines), partial(_gradients, group, engines)
    for field, dtype in product(FIELDS, DTYPES):
        chosen = candidates(field, dtype, engines)
        yield "kernel", len(chosen), partial(_field, field, dtype, chosen)
    for dtype in DTYPES:
        yield "model", len(others), partial(_models, dtype, others)
    each = len(engines) * len(DTYPES)
    for name, check in IDENTITIES.items():
        yield "identity", each, partial(_each, "identity", name, check, engines)
    yield "exact", len(DTYPES), _phi
    yield "exact", each, partial(_each, "exact", "GELU (erf) against its series", gelu_ratios, engines)
    yield "golden", len(GOLDEN), _golden
    yield "theorems", len(STATEMENTS), theorems
    yield "vectors", len(STAGES) * len(engines), partial(stored, engines)


def _gradients(group: str, engines: Sequence[Engine]) -> Iterator[Row]:
    """All gradients of a group of models, by every leaf alone and jointly."""
    worst = WorstByEngine(engines)
    for at in problems(group):
        worst.see(gradient_errors(at, engines), f"of {at.name}")
    yield from worst.rows("gradient", group, "float64", LIMIT)


def _field(field: str, dtype: str, engines: Sequence[Engine]) -> Iterator[Row]:
    yield from worst_of_field(field, dtype, engines).rows("kernel", field, dtype, THRESHOLD)


def _models(dtype: str, engines: Sequence[Engine]) -> Iterator[Row]:
    worst = WorstByEngine(engines)
    for at in [*problems(), long_problem()] if engines else []:
        worst.see(model_ratios(at, dtype, engines), f"of {at.group}: {at.name}")
    yield from worst.rows("model", "against sequential", dtype, THRESHOLD)


def _each(group: str, name: str, check: Check, engines: Sequence[Engine]) -> Iterator[Row]:
    for engine, dtype in product(engines, DTYPES):
        yield Worst.of(check(engine, dtype)).row(group, name, engine.name, dtype, THRESHOLD)


def _phi() -> Iterator[Row]:
    for dtype in DTYPES:
        name = "φ₁ and φ₁′ against their series"
        yield Worst.of(phi_ratios(dtype)).row("exact", name, "", dtype, THRESHOLD)


def _golden() -> Iterator[Row]:
    for name, (check, limit) in GOLDEN.items():
        yield Worst.of(check()).row("golden", name, "", "", limit)
