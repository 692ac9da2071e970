"""Every known mistake is caught: by a vector, a check of behaviour, or one of s5ref's own;
the kit judges it as a candidate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import s5ref.nn.activation
import s5ref.ssm.ssm
from s5ref import SEQUENTIAL, engines
from s5ref.arrays import Array
from s5ref.cli.output import Output
from s5ref.cli.verify import parser, run
from s5ref.engine import Engine
from s5ref.model import chunks
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.train import checkpoint
from s5ref.train.state import State
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.mutants import MUTANTS, NUMERIC, replaced
from s5ref.verification.conformance.mutants import run as session
from s5ref.verification.conformance.mutants.run import MutantRow, recorded, run_mutants
from s5ref.verification.conformance.stages import Case, cases, computed, flat, nested
from s5ref.verification.conformance.vectors import load
from s5ref.verification.rounding.budget import ratio
from s5ref.verification.selfcheck.golden import GOLDEN
from s5ref.verification.selfcheck.problems import BASE, problem

WITHOUT_NUMBERS = {
    "M09", "M12", "M13", "M14", "M24", "M28", "M29", "M30", "M43", "M70", "M71", "M72", "M73", "M74",
}  # fmt: skip
BOTH = {"M11", "M15", "M16", "M34", "M62", "M65"}  # by numbers and by a check


def test_all_are_there() -> None:
    assert list(MUTANTS) == [f"M{i:02}" for i in range(1, 78)]
    assert {id_ for id_, mutant in MUTANTS.items() if not mutant.numeric} == WITHOUT_NUMBERS
    assert list(recorded()) == list(MUTANTS)
    assert {check.mistake for check in BEHAVIOURS if check.mistake} == WITHOUT_NUMBERS | BOTH
    assert {wider for mutant in MUTANTS.values() for wider in mutant.implies} <= set(MUTANTS)


@pytest.mark.parametrize("id_", [mutant.id for mutant in NUMERIC])
def test_the_vectors_that_say_so_catch_it(id_: str) -> None:
    """Every vector with the mutant among its ``catches`` fails on it; there is at least one."""
    own = [v for v in load() if id_ in v.case.catches]
    assert own
    with MUTANTS[id_].apply(None) as engine, np.errstate(all="ignore"):
        for v in own:
            got = computed(v.case, engine)
            assert any(not ratio(got[n], x, v.bounds[n], v.eps) <= 1 for n, x in v.want.items()), v.id


AGREEING = (
    *("M48", "M49", "M50", "M51", "M52", "M53", "M54", "M60", "M61", "M63", "M64", "M65", "M66", "M67"),
    *("M69", "M75"),
)
STEP = 2.0**-14


@pytest.mark.parametrize("id_", AGREEING)
def test_the_gradient_of_a_mistake_of_values_is_that_of_its_values(id_: str) -> None:
    """What autodiff gives a candidate that makes the mistake: differences along a random direction."""
    with MUTANTS[id_].apply(None) as engine:
        for case in cases():
            if id_ not in case.catches or case.dtype != "float64":
                continue
            rng = np.random.default_rng(0)
            moving = {
                n: x for n, x in flat(case.inputs).items() if f"d{n}" in (grads := computed(case, engine))
            }
            ways = {n: _random_like(rng, x) for n, x in moving.items()}

            def loss(
                t: float, case: Case = case, ways: dict[str, Array] = ways, engine: Engine = engine
            ) -> float:
                inputs = flat(case.inputs) | {n: flat(case.inputs)[n] + t * way for n, way in ways.items()}
                values = computed(replace(case, inputs=nested(inputs), cotangent={}), engine)
                return sum(float(np.sum(np.conj(d) * values[n]).real) for n, d in case.cotangent.items())

            want = sum(float(np.sum(np.conj(grads[f"d{n}"]) * way).real) for n, way in ways.items())
            slope = (8 * (loss(STEP) - loss(-STEP)) - loss(2 * STEP) + loss(-2 * STEP)) / (12 * STEP)
            assert abs(slope - want) <= 2.0**-30 * max(1.0, abs(want)), case.id


def _random_like(rng: np.random.Generator, x: Array) -> Array:
    way = rng.standard_normal(x.shape)
    return np.asarray(way + 1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else way)


def _chunked() -> bool:
    """The gradient of three chunks is that of the whole."""
    at = problem("behaviour", "chunks", replace(BASE, norm="layer"), length=9)
    given, options = (at.params, at.statistics, at.batch), {"engine": engines.SEQUENTIAL, **at.call}
    whole = at.model.loss_and_grad(*given, **options)
    parts = chunks.chunked_loss_and_grad(at.model, *given, 3, **options)
    return all(np.allclose(parts.grads[n], d, rtol=0, atol=2.0**-30 * np.abs(d).max()) for n, d in
               whole.grads.items())  # fmt: skip


def _loaded_is_saved() -> bool:
    """Parameters after loading are those that were saved, not initial ones."""
    state = State.initial(Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4)), 3, "float64")
    moved = {name: leaf + 1 for name, leaf in state.weights.params.items()}
    state = replace(state, weights=state.weights._replace(params=moved))
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "state.npz")
        back = State.load(Path(folder) / "state.npz")
    return all(np.array_equal(back.weights.params[name], leaf) for name, leaf in moved.items())


def _groups() -> bool:
    """Every leaf is in the group of the golden table, and every group has a leaf."""
    look, limit = GOLDEN["parameter groups"]
    return all(value <= limit for value, _ in look())


def _layouts() -> bool:
    """An array in Fortran order (Vᴴ) is saved and read back as it is."""
    V = np.asfortranarray((np.arange(12.0).reshape(3, 4) + 1j).conj()).T
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "V.npz", {"V": V.conj().T}, {})
        arrays, _ = checkpoint.load(Path(folder) / "V.npz")
    return bool(np.array_equal(arrays["V"], V.conj().T))


# Mistakes around a layer, in chunks, checkpoints and groups, which s5ref itself must not make.
OWN: dict[str, Callable[[], bool]] = {
    "M11": _chunked, "M14": _loaded_is_saved, "M15": _groups, "M24": _layouts,
}  # fmt: skip


@pytest.mark.parametrize("id_", OWN)
def test_a_check_of_our_own_catches_mistakes_around_a_layer(id_: str) -> None:
    assert OWN[id_]()
    with MUTANTS[id_].apply(None), np.errstate(all="ignore"):
        assert not OWN[id_]()
        assert all(look() for other, look in OWN.items() if other != id_)


def test_a_mutant_is_judged_as_a_candidate() -> None:
    """One of numbers, one of behaviour, one of what surrounds a layer."""
    seen: list[MutantRow] = []
    report = run_mutants(seen.append, ["M20", "M13", "M24"])
    rows = {row.id: row for row in report.rows}
    assert sorted(seen, key=lambda row: row.id) == list(report.rows)
    assert rows["M20"].killed_by == "ssm/conj_sym/L6/H2/P3/f32"
    assert rows["M20"].names == ("M20",)
    assert (rows["M13"].killed_by, rows["M13"].names) == ("behaviour/the same bits", ("M13",))
    assert rows["M24"].names == ("M24",)
    assert (len(report.rows), report.killed, report.named, report.alone) == (3, 3, 3, 3)


@pytest.mark.slow
def test_what_is_recorded_is_killed_and_named() -> None:
    assert [(row.id, row.lost) for row in run_mutants().rows if row.lost] == []


def test_only_what_was_recorded_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = MutantRow("M20", "no factor 2", "ssm", "ssm/conj_sym", 3, ("M40",))
    monkeypatch.setattr(session, "run_mutants", lambda report: session.MutantsReport((row,)))
    for held, code, words in (
        (["killed"], 0, "1 of 1 mutants killed by `s5ref check`, 0 named (0 of them alone)"),
        ([], 0, "M20 is now killed"),
        (["killed", "named"], 1, "FAILED: M20 is no longer named"),
    ):
        monkeypatch.setattr(session, "recorded", lambda held=held: {"M20": held})
        assert run(parser().parse(["--mutants"]), Output(False)) == code
        assert words in capsys.readouterr().out
    out = Output(True)
    run(parser().parse(["--mutants", "--json"]), out)
    out.finish(1)
    found = json.loads(capsys.readouterr().out)
    assert (found["mutants"], found["killed"], found["named"]) == (1, 1, 0)
    assert found["rows"][0]["lost"] == "named"


def test_replaced_reaches_every_holder_and_puts_it_back() -> None:
    module, old = s5ref.nn.activation, s5ref.nn.activation.gelu_tanh
    before = engines.SEQUENTIAL

    def other(x: object) -> object:
        return x

    with replaced("s5ref.nn.activation:gelu_tanh", lambda _: other) as engine:
        assert module.gelu_tanh is other
        assert engine.gelu_tanh.value is other
        assert engines.SEQUENTIAL.gelu_tanh.value is other
    assert module.gelu_tanh is old
    assert engines.SEQUENTIAL is before is SEQUENTIAL
    zoh = s5ref.ssm.ssm.DISCRETIZATIONS["zoh"]
    with replaced("s5ref.ssm.discretize:zoh", lambda _: other):
        assert s5ref.ssm.ssm.DISCRETIZATIONS["zoh"].pair.value is other
    assert s5ref.ssm.ssm.DISCRETIZATIONS["zoh"] is zoh


def test_a_mutant_leaves_no_trace() -> None:
    v = next(v for v in load() if v.id == "scan/reverse/L9/P3/f64")
    before = computed(v.case, SEQUENTIAL)
    for mutant in MUTANTS.values():
        with mutant.apply(None):
            pass
    after = computed(v.case, engines.SEQUENTIAL)
    assert engines.SEQUENTIAL is SEQUENTIAL
    assert all(np.array_equal(before[name], after[name]) for name in before)
