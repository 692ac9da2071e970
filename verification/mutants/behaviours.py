"""What must hold besides the numbers of a case: the checks of M09, M11–M15, M24, M28–M30.

A check asks a subject: ``ask(stage, inputs, options, cotangent) -> {output or cotangent: array}``, of one of our
engines or of any implementation; an answer without a stage (NotImplementedError) makes the check inapplicable.
Checks with ``subject`` False are about s5ref's own library (checkpoints, groups, chunks) and ignore it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from s5ref.verification.golden import GOLDEN
from s5ref.verification.problems import BASE, problem
from s5ref.verification.stages.bound import STAGES
from s5ref.verification.stages.build import layer_params, ssm_params
from s5ref.verification.stages.draws import Dyadic
from s5ref.verification.stages.stage import Arrays, Inputs, Options

from s5ref.arrays import Array
from s5ref.call import Call, Kernels
from s5ref.model import chunks
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.train import checkpoint
from s5ref.train.state import State

Ask = Callable[[str, Inputs, Options, Arrays], Arrays]


@dataclass(frozen=True)
class Behaviour:
    """A named check; ``holds(ask)`` is whether the behaviour is as it must be."""

    id: str
    name: str
    holds: Callable[[Ask], bool]
    subject: bool = True


def asking(kernels: Kernels) -> Ask:
    """The reference with an engine, as a subject."""

    def ask(stage: str, inputs: Inputs, options: Options, cotangent: Arrays) -> Arrays:
        found = STAGES[stage].evaluate(inputs, options, kernels)
        return found | STAGES[stage].cotangents(inputs, options, cotangent, kernels) if cotangent else found

    return ask


def _scan_question(key: str, L: int = 12, P: int = 3) -> tuple[dict[str, Array], Arrays]:
    n = Dyadic(key)
    inputs = {"Lambda_bar": n.multipliers(P), "Bu": n.complex(2, L, P), "x0": n.complex(2, P)}
    return inputs, {"x": n.complex(2, L, P), "x_last": n.complex(2, P)}


FORWARD = {"reverse": False}


def _near(got: Mapping[str, Array], want: Mapping[str, Array], eps: float = 2.0**-40) -> bool:
    return all(
        got[n].shape == want[n].shape and bool(np.max(np.abs(got[n] - want[n]), initial=0.0) <= eps * _size(want[n]))
        for n in want
    )


def _size(x: Array) -> float:
    return max(float(np.max(np.abs(x), initial=0.0)), 1e-30)


def contiguity(ask: Ask) -> bool:
    """M09: a cotangent that is a transposed, strided or broadcast view counts as its copy does."""
    inputs, d = _scan_question("M09")
    x = d["x"]
    wide = np.zeros((2, 24, 3), complex)
    wide[:, ::2] = x
    row = np.broadcast_to(x[:, :1], x.shape)
    views = [(np.ascontiguousarray(x.transpose(2, 1, 0)).transpose(2, 1, 0), x), (wide[:, ::2], x), (row, row.copy())]
    return all(
        _near(ask("scan", inputs, FORWARD, d | {"x": view}), ask("scan", inputs, FORWARD, d | {"x": copy}))
        for view, copy in views
    )


def shards(ask: Ask) -> bool:
    """M11: three pieces with carried state, and the cotangent carried back: each equals its part of the whole."""
    inputs, d = _scan_question("M11")
    whole = ask("scan", inputs, FORWARD, d)
    pieces, start, at = [], inputs["x0"], [slice(0, 5), slice(5, 7), slice(7, 12)]
    for part in at:
        Bu = np.ascontiguousarray(inputs["Bu"][:, part])
        pieces.append({"Lambda_bar": inputs["Lambda_bar"], "Bu": Bu, "x0": start})
        start = ask("scan", pieces[-1], FORWARD, {})["x_last"]
    last, dLambda_bar = d["x_last"], np.zeros(3, complex)
    for part, piece in reversed(list(zip(at, pieces, strict=True))):
        dx = np.ascontiguousarray(d["x"][:, part])
        found = ask("scan", piece, FORWARD, {"x": dx, "x_last": last})
        want = {"x": whole["x"][:, part], "dBu": whole["dBu"][:, part]}
        if not _near({name: found[name] for name in want}, want):
            return False
        last, dLambda_bar = found["dx0"], dLambda_bar + found["dLambda_bar"]
    return _near({"0": dLambda_bar, "1": last}, {"0": whole["dLambda_bar"], "1": whole["dx0"]})


def chunked(ask: Ask) -> bool:
    """M11 in s5ref's own chunks: the gradient of three chunks is that of the whole."""
    at = problem("behaviour", "chunks", replace(BASE, norm="layer"), length=9)
    call = Call(_kernels(), **at.call)
    whole = at.model.loss_and_grad(at.params, at.statistics, at.batch, call)
    parts = chunks.chunked_loss_and_grad(at.model, at.params, at.statistics, at.batch, call, 3)
    return _near(parts.grads, whole.grads, 2.0**-30)


def _kernels() -> Kernels:
    from s5ref.engines import SEQUENTIAL  # at the time of the call: a mutant may have replaced it

    return SEQUENTIAL


def many_rows(ask: Ask) -> bool:
    """M12: 70,000 sequences at once, more than the 65,535 rows of a GPU grid's second axis, have the right numbers.

    The launch arithmetic of a GPU is not looked at: only what comes out of it.
    """
    N = 70_000
    Bu = ((np.arange(2 * N) % 251 - 125) / 64).reshape(N, 2, 1) + 0j
    Lambda_bar = np.array([0.5 + 0.25j])
    x = ask("scan", {"Lambda_bar": Lambda_bar, "Bu": Bu}, FORWARD, {})["x"]
    want = np.stack([Bu[:, 0], Lambda_bar * Bu[:, 0] + Bu[:, 1]], axis=1)
    return bool(np.array_equal(x, want)) or _near({"x": x}, {"x": want})


def repeatable(ask: Ask) -> bool:
    """M13: five runs, with memory full of NaN handed back in between, give the same bits."""
    inputs, d = _scan_question("M13", L=70)
    runs = []
    for _ in range(5):
        found = ask("scan", inputs, FORWARD, d)
        runs.append({name: np.asarray(leaf).tobytes() for name, leaf in found.items()})
        del found
        scratch = [np.full((2, 70, 3), np.nan, complex) for _ in range(16)]
        del scratch
    return all(run == runs[0] for run in runs)


def loaded_is_saved(ask: Ask) -> bool:
    """M14: parameters after loading are those that were saved, not initial ones."""
    state = State.initial(Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4)), 3, "float64")
    moved = {name: leaf + 1 for name, leaf in state.weights.params.items()}
    state = replace(state, weights=state.weights._replace(params=moved))
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "state.npz")
        back = State.load(Path(folder) / "state.npz")
    return all(np.array_equal(back.weights.params[name], leaf) for name, leaf in moved.items())


def groups(ask: Ask) -> bool:
    """M15: every leaf is in the group of the golden table, and every group has a leaf."""
    check, limit = GOLDEN["parameter groups"]
    return all(value <= limit for value, _ in check())


def layouts(ask: Ask) -> bool:
    """M24: an array in Fortran order (Vᴴ) is saved and read back as it is."""
    V = np.asfortranarray((np.arange(12.0).reshape(3, 4) + 1j).conj()).T
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "V.npz", {"V": V.conj().T}, {})
        arrays, _ = checkpoint.load(Path(folder) / "V.npz")
    return bool(np.array_equal(arrays["V"], V.conj().T))


def double_throughout(ask: Ask) -> bool:
    """M28: a float64 run answers in float64, and none of its answers went through float32."""
    n = Dyadic("M28")
    params = layer_params(n, 2, 3, "half_glu2", "batch")
    options = {"activation": "half_glu2", "gelu": "tanh", "norm": "batch", "train": True, "bn_momentum": 0.7}
    found = ask("layer", {"params": params, "x": n(2, 5, 3) / 3}, options, {"y": n(2, 5, 3)})
    return all(_double(leaf) for leaf in found.values())


def _double(x: Array) -> bool:
    if np.asarray(x).real.dtype != np.float64:
        return False
    narrow = x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)
    return bool(np.any(narrow != x))


def written(ask: Ask) -> bool:
    """M29: every element of every answer is written: no NaN comes out where fresh memory is full of it."""
    inputs, d = _scan_question("M29")
    with _poisoned():
        found = ask("scan", inputs, FORWARD, d)
    return all(bool(np.isfinite(leaf).all()) for leaf in found.values())


@contextmanager
def _poisoned() -> Iterator[None]:
    """np.empty and np.empty_like hand out NaN."""
    before = np.empty, np.empty_like

    def poisoned(make: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            x = make(*args, **kwargs)
            if x.dtype.kind in "fc":
                x[...] = np.nan
            return x

        return made

    try:
        np.empty, np.empty_like = poisoned(before[0]), poisoned(before[1])
        yield
    finally:
        np.empty, np.empty_like = before


def state_precision(ask: Ask) -> bool:
    """M30: the state of step mode is kept in the precision of the parameters."""
    n = Dyadic("M30")
    params = ssm_params(n, 3, 2)
    for real in (np.float32, np.float64):
        narrow = {k: v.astype(np.result_type(real, np.complex64) if v.dtype.kind == "c" else real) for k, v in params.items()}
        state = n.complex(2, 3).astype(np.result_type(real, np.complex64))
        found = ask("step", {"params": narrow, "state": state, "u_k": n(2, 2).astype(real)}, {"of": "ssm"}, {})
        if found["state"].dtype != state.dtype or (real is np.float64 and not _double(found["state"])):
            return False
    return True


CHECKS = (
    Behaviour("M09", "strided and broadcast cotangents", contiguity),
    Behaviour("M11", "three shards with carried state", shards),
    Behaviour("M11", "three chunks of s5ref", chunked, subject=False),
    Behaviour("M12", "more than 65,535 rows", many_rows),
    Behaviour("M13", "the same bits every run", repeatable),
    Behaviour("M14", "loaded parameters are the saved ones", loaded_is_saved, subject=False),
    Behaviour("M15", "the golden group table", groups, subject=False),
    Behaviour("M24", "arrays in Fortran order", layouts, subject=False),
    Behaviour("M28", "float64 throughout", double_throughout),
    Behaviour("M29", "every output is written", written),
    Behaviour("M30", "precision of the state in step mode", state_precision),
)


def failed_checks(ask: Ask, library: bool = False) -> list[Behaviour]:
    """The checks that do not hold; those of s5ref's own library only if asked for.

    Where an output is not written (M29) the others say nothing: it is alone then. A check whose stage the subject
    does not have is left out.
    """
    failed = [check for check in CHECKS if (check.subject or library) and not _holds(check, ask)]
    return [check for check in failed if check.id == "M29"] or failed


def _holds(check: Behaviour, ask: Ask) -> bool:
    try:
        return check.holds(ask)
    except NotImplementedError:
        return True
