"""What no single number shows: behaviours that every candidate is asked about after the cases.

A check puts several questions to the candidate and compares the answers with each other, so that a mistake
in the numbers themselves, which the cases find, is not taken for one of the behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import map_leaves
from s5ref.verification.conformance.stages.cases import layer_params, model_params, ssm_params
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Arrays
from s5ref.verification.rounding.budget import cast

TOLERATED = 2.0**12  # eps: between two answers to questions that mean the same
FORWARD = {"reverse": False}


class Ask(Protocol):
    """A candidate as a function: ``ask(inputs, options, cotangent, dtype) → {output or cotangent: array}``.

    It answers for the stage of its check, without cotangents where it has no gradients.
    """

    def __call__(
        self, inputs: Mapping[str, Any], options: Mapping[str, Any], cotangent: Arrays, dtype: str = "",
        memory: float | None = None,
    ) -> Arrays:  # fmt: skip
        """``dtype``: unless one is named float64, or float32 if the candidate has no other.

        ``memory``: the number that arrays of np.empty hold meanwhile; only NumPy's can be filled.
        """


@dataclass(frozen=True)
class Behaviour:
    """A check. ``look(ask)`` says what is wrong, or nothing.

    mistake   the id of the known mistake that it shows
    gradients  whether it needs them
    right     whether it says something only where every case of its stage is right
    """

    id: str
    mistake: str
    stage: str
    comment: str
    look: Callable[[Ask], str]
    features: tuple[str, ...] = ()
    gradients: bool = False
    right: bool = False
    dtype: str = ""
    level: str = "should"


BEHAVIOURS: list[Behaviour] = []  # in the order in which they are asked


def _check(name: str, mistake: str, stage: str, **more: Any) -> Callable[..., Any]:
    """The function below it becomes a check; its docstring is the comment in the report."""

    def listed(look: Callable[[Ask], str]) -> Callable[[Ask], str]:
        BEHAVIOURS.append(Behaviour(f"behaviour/{name}", mistake, stage, look.__doc__ or "", look, **more))
        return look

    return listed


def _same(got: Mapping[str, Array], want: Mapping[str, Array]) -> bool:
    """Whether the numbers are the same but for rounding; NaN is the same as nothing."""

    def close(x: Array, y: Array) -> bool:
        size = max(float(np.max(np.abs(y), initial=0.0)), 1e-30)
        limit = TOLERATED * float(np.finfo(y.dtype).eps) * size
        return x.shape == y.shape and bool(np.max(np.abs(x - y), initial=0.0) <= limit)

    return all(close(np.asarray(got[name]), np.asarray(leaf)) for name, leaf in want.items())


def _scan_question(key: str, L: int = 12, P: int = 3) -> tuple[dict[str, Array], Arrays]:
    n = Dyadic(key)
    inputs = {"Lambda_bar": n.multipliers(P), "Bu": n.complex(2, L, P), "x0": n.complex(2, P)}
    return inputs, {"x": n.complex(2, L, P), "x_last": n.complex(2, P)}


@_check("strided cotangents", "M09", "scan", gradients=True)
def _strided_cotangents(ask: Ask) -> str:
    """A cotangent that is a transposed, strided or broadcast view counts as its copy does."""
    inputs, d = _scan_question("M09")
    x = d["x"]
    wide = np.zeros((2, 24, 3), complex)
    wide[:, ::2] = x
    for words, view in (
        ("transposed", np.ascontiguousarray(x.transpose(2, 1, 0)).transpose(2, 1, 0)),
        ("strided", wide[:, ::2]),
        ("broadcast", np.broadcast_to(x[:, :1], x.shape)),
    ):
        copy = d | {"x": np.ascontiguousarray(view)}
        if not _same(ask(inputs, FORWARD, d | {"x": view}), ask(inputs, FORWARD, copy)):
            return f"a {words} view of a cotangent gives other gradients than its copy"
    return ""


@_check("70,000 rows", "M12", "scan")
def _many_rows(ask: Ask) -> str:
    """More sequences at once than the 65,535 rows of a GPU grid's second axis."""
    block, copies = 70, 1000
    Bu = np.tile(Dyadic("M12").complex(block, 2, 1), (copies, 1, 1))
    x = ask({"Lambda_bar": np.array([0.5 + 0.25j]), "Bu": Bu}, FORWARD, {})["x"]
    rows = np.reshape(x, (copies, block, 2, 1)) if x.shape == Bu.shape else np.zeros((2, 1, 1, 1))
    wrong = [k for k in range(1, len(rows)) if not _same({"x": rows[k]}, {"x": rows[0]})]
    return f"the same sequence has other states in row {wrong[0] * block} than in row 0" if wrong else ""


@_check("the same bits", "M13", "scan")
def _repeatable(ask: Ask) -> str:
    """Five runs of one question give the same bits."""
    inputs, d = _scan_question("M13", L=70)
    runs = []
    for _ in range(5):
        answer = ask(inputs, FORWARD, d)
        runs.append({name: np.asarray(leaf).tobytes() for name, leaf in answer.items()})
    other = [name for name in runs[0] if any(run[name] != runs[0][name] for run in runs)]
    return f"{', '.join(other)}: other bits from run to run" if other else ""


@_check("every output is written", "M29", "scan")
def _written(ask: Ask) -> str:
    """The answer does not depend on what the memory held that it is written to."""
    inputs, d = _scan_question("M29")
    one, two = (ask(inputs, FORWARD, d, memory=value) for value in (1.0, 2.0))
    other = [name for name in one if not _same({name: one[name]}, {name: two[name]})]
    return f"{', '.join(other)}: some elements are what stood in memory before" if other else ""


def _is_single(x: Array) -> bool:
    """Whether no number needs more than float32. Zeros alone, as of an unused leaf, do not tell."""
    single = x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)
    return bool(np.any(x)) and bool(np.all(single == x))


@_check(
    "float64 throughout", "M28", "layer",
    features=("half_glu2", "batch_norm", "gelu_tanh", "conj_sym", "train"),
)  # fmt: skip
def _double_throughout(ask: Ask) -> str:
    """A float64 run answers in float64, and none of its answers went through float32."""
    n = Dyadic("M28")
    params = layer_params(n, 2, 3, "half_glu2", "batch")
    options = {"activation": "half_glu2", "gelu": "tanh", "norm": "batch", "train": True, "bn_momentum": 0.7}
    answer = ask({"params": params, "x": n(2, 5, 3) / 3}, options, {"y": n(2, 5, 3)}, "float64")
    single = [name for name, leaf in answer.items() if _is_single(leaf)]
    return f"{', '.join(single)}: every number is one of float32, in float64" if single else ""


@_check("precision of the state", "M30", "step", features=("conj_sym",))
def _state_precision(ask: Ask) -> str:
    """The state of step mode has the precision of the parameters."""
    n = Dyadic("M30")
    params, state, u = ssm_params(n, 3, 2), n.complex(2, 3), n(2, 2)
    for dtype in ("float32", "float64"):
        given = {"params": params, "state": state, "u_k": u}
        after = np.asarray(ask(given, {"of": "ssm"}, {}, dtype)["state"])
        if after.real.dtype != np.dtype(dtype) or (dtype == "float64" and _is_single(after)):
            return f"the state after a step in {dtype} has another precision"
    return ""


@_check("an overflow ends at a reset", "M43", "scan", features=("resets",), right=True)
def _overflow_ends(ask: Ask) -> str:
    """An episode is the same whatever the one before it has come to, infinity included."""
    inputs, _ = _scan_question("M43")
    resets = np.zeros((2, 12), bool)
    resets[:, 6] = True
    inputs |= {"Lambda_bar": np.full(3, 2.0**6 + 0j), "resets": resets}
    calm = ask(inputs, FORWARD, {}, "float32")["x"][:, 6:]
    wild = inputs | {"Bu": np.where(np.arange(12)[None, :, None] == 0, 2.0**120, inputs["Bu"])}
    after = ask(wild, FORWARD, {}, "float32")["x"][:, 6:]
    if _same({"x": after}, {"x": calm}):
        return ""
    return "the states after a reset depend on an overflow before it"


@_check("three pieces", "M11", "scan", features=("initial_state",), gradients=True, right=True)
def _shards(ask: Ask) -> str:
    """Three pieces with the state carried on, and its cotangent carried back, are the whole."""
    inputs, d = _scan_question("M11")
    whole = ask(inputs, FORWARD, d)
    pieces, start, parts = [], inputs["x0"], [slice(0, 5), slice(5, 7), slice(7, 12)]
    for part in parts:
        pieces.append({**inputs, "Bu": np.ascontiguousarray(inputs["Bu"][:, part]), "x0": start})
        start = ask(pieces[-1], FORWARD, {})["x_last"]
    last, dLambda_bar = d["x_last"], np.zeros_like(whole["dLambda_bar"])
    for part, piece in reversed(list(zip(parts, pieces, strict=True))):
        dx = np.ascontiguousarray(d["x"][:, part])
        answer = ask(piece, FORWARD, {"x": dx, "x_last": last})
        if not _same(answer, {"x": whole["x"][:, part], "dBu": whole["dBu"][:, part]}):
            return f"steps {part.start} to {part.stop - 1} of 12 by themselves are not those of the whole"
        last, dLambda_bar = answer["dx0"], dLambda_bar + answer["dLambda_bar"]
    carried = {"dLambda_bar": dLambda_bar, "dx0": last}
    if _same(carried, {name: whole[name] for name in carried}):
        return ""
    return "the gradients of three pieces with carried state do not add up to those of the whole"


def _reloaded(ask: Ask, order: Literal["C", "F"]) -> list[str]:
    """The parameters of a model that change by saving and loading, their arrays in this memory order."""
    params = {
        name: np.asarray(leaf, order=order)
        for name, leaf in model_params(Dyadic("M14"), 2, 1, "layer").items()
    }
    answer = ask({"params": params}, {}, {})
    return [name for name, leaf in params.items() if not _same({"": answer[f"params.{name}"]}, {"": leaf})]


@_check("saved and loaded", "M14", "reload", level="may")
def _loaded(ask: Ask) -> str:
    """Parameters that were saved and loaded are what they were."""
    other = _reloaded(ask, "C")
    return f"{', '.join(other)}: other numbers after loading" if other else ""


@_check("saved in the order of Fortran", "M24", "reload", level="may")
def _loaded_in_order(ask: Ask) -> str:
    """So are those that do not lie row by row in memory."""
    other = [name for name in _reloaded(ask, "F") if name not in _reloaded(ask, "C")]
    return f"{', '.join(other)}: other numbers after loading, saved in the order of Fortran" if other else ""


def as_asked(tree: Any, dtype: str) -> Any:
    """Numbers in ``dtype``; an array that is a view stays one where its type does not change."""

    def convert(leaf: Any) -> Any:
        moved = cast(leaf, dtype)
        return leaf if moved.dtype == leaf.dtype else moved

    return map_leaves(convert, tree)
