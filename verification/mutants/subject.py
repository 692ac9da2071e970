"""Checks that any implementation can be put to: M09 M11 M12 M13 M28 M29 M30.

A check asks a subject: ``ask(stage, inputs, options, cotangent) -> {output or cotangent: array}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.verification.stages.bound import STAGES
from s5ref.verification.stages.build import layer_params, ssm_params
from s5ref.verification.stages.draws import Dyadic
from s5ref.verification.stages.stage import Arrays, Inputs, Options

Ask = Callable[[str, Inputs, Options, Arrays], Arrays]


def asking(engine: Engine) -> Ask:
    """The reference with an engine, as a subject."""

    def ask(stage: str, inputs: Inputs, options: Options, cotangent: Arrays) -> Arrays:
        found = STAGES[stage].evaluate(inputs, options, engine)
        return found | STAGES[stage].cotangents(inputs, options, cotangent, engine) if cotangent else found

    return ask


def _scan_question(key: str, L: int = 12, P: int = 3) -> tuple[dict[str, Array], Arrays]:
    n = Dyadic(key)
    inputs = {"Lambda_bar": n.multipliers(P), "Bu": n.complex(2, L, P), "x0": n.complex(2, P)}
    return inputs, {"x": n.complex(2, L, P), "x_last": n.complex(2, P)}


FORWARD = {"reverse": False}


def near(got: Mapping[str, Array], want: Mapping[str, Array], eps: float = 2.0**-40) -> bool:
    return all(
        got[n].shape == want[n].shape
        and bool(np.max(np.abs(got[n] - want[n]), initial=0.0) <= eps * _size(want[n]))
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
    views = [
        (np.ascontiguousarray(x.transpose(2, 1, 0)).transpose(2, 1, 0), x),
        (wide[:, ::2], x),
        (row, row.copy()),
    ]
    return all(
        near(ask("scan", inputs, FORWARD, d | {"x": view}), ask("scan", inputs, FORWARD, d | {"x": copy}))
        for view, copy in views
    )


def shards(ask: Ask) -> bool:
    """M11: three pieces with carried state, and the cotangent carried back: each equals its part of the
    whole."""
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
        if not near({name: found[name] for name in want}, want):
            return False
        last, dLambda_bar = found["dx0"], dLambda_bar + found["dLambda_bar"]
    return near({"0": dLambda_bar, "1": last}, {"0": whole["dLambda_bar"], "1": whole["dx0"]})


def many_rows(ask: Ask) -> bool:
    """M12: 70,000 sequences at once, more than the 65,535 rows of a GPU grid's second axis, have the
    right numbers.

    The launch arithmetic of a GPU is not looked at: only what comes out of it.
    """
    N = 70_000
    Bu = ((np.arange(2 * N) % 251 - 125) / 64).reshape(N, 2, 1) + 0j
    Lambda_bar = np.array([0.5 + 0.25j])
    x = ask("scan", {"Lambda_bar": Lambda_bar, "Bu": Bu}, FORWARD, {})["x"]
    want = np.stack([Bu[:, 0], Lambda_bar * Bu[:, 0] + Bu[:, 1]], axis=1)
    return bool(np.array_equal(x, want)) or near({"x": x}, {"x": want})


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
    numpy: Any = np
    before = numpy.empty, numpy.empty_like

    def poisoned(make: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            x = make(*args, **kwargs)
            if x.dtype.kind in "fc":
                x[...] = np.nan
            return x

        return made

    try:
        numpy.empty, numpy.empty_like = poisoned(before[0]), poisoned(before[1])
        yield
    finally:
        numpy.empty, numpy.empty_like = before


def state_precision(ask: Ask) -> bool:
    """M30: the state of step mode is kept in the precision of the parameters."""
    n = Dyadic("M30")
    params = ssm_params(n, 3, 2)
    for real in (np.float32, np.float64):
        narrow = {
            k: v.astype(np.result_type(real, np.complex64) if v.dtype.kind == "c" else real)
            for k, v in params.items()
        }
        state = n.complex(2, 3).astype(np.result_type(real, np.complex64))
        found = ask(
            "step", {"params": narrow, "state": state, "u_k": n(2, 2).astype(real)}, {"of": "ssm"}, {}
        )
        if found["state"].dtype != state.dtype or (real is np.float64 and not _double(found["state"])):
            return False
    return True
