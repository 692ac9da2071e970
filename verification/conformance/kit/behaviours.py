"""What no single number shows: behaviours that every candidate is asked about after the cases.

A check puts several questions to the candidate and compares the answers with each other, so that a mistake
in the numbers themselves, which the cases find, is not taken for one of the behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from s5ref.arrays import Array
from s5ref.nn.norm import BATCH_NORM_EPS
from s5ref.verification.conformance.kit.behaviour import Ask, Behaviour, listed, of_an_activation, same
from s5ref.verification.conformance.kit.descent import DESCENT
from s5ref.verification.conformance.kit.drawn import DRAWN
from s5ref.verification.conformance.kit.long import LONG
from s5ref.verification.conformance.stages.cases import (
    CLASSES,
    layer_params,
    model_params,
    ssm_params,
)
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Arrays

DOUBLE = 1 + 2.0**-36  # times a number of few bits: one that float32 does not hold
FORWARD = {"reverse": False}
OF_SCANS_AND_LAYERS: list[Behaviour] = []
_check = partial(listed, OF_SCANS_AND_LAYERS)


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
        if not same(ask(inputs, FORWARD, d | {"x": view}), ask(inputs, FORWARD, copy)):
            return f"a {words} view of a cotangent gives other gradients than its copy"
    return ""


GRID = 65_535  # blocks of threads along the second and third axis of a GPU's grid
TILED = 70, 1000  # different sequences, and copies of them: in all more than GRID


def _other_rows(ask: Ask) -> list[int]:
    """Where the copies begin that are not as the first one."""
    block, copies = TILED
    Bu = np.tile(Dyadic("M12").complex(block, 2, 1), (copies, 1, 1))
    x = ask({"Lambda_bar": np.array([0.5 + 0.25j]), "Bu": Bu}, FORWARD, {})["x"]
    rows = np.reshape(x, (copies, block, 2, 1)) if x.shape == Bu.shape else np.zeros((2, 1, 1, 1))
    return [k * block for k in range(1, len(rows)) if not same({"x": rows[k]}, {"x": rows[0]})]


def _unlike_first(other: list[int]) -> str:
    if not other:
        return ""
    last = TILED[0] - 1
    return f"the sequences in rows {other[0]} to {other[0] + last} have other states than in rows 0 to {last}"


@_check("70,000 rows", "M12", "scan")
def _many_rows(ask: Ask) -> str:
    """Every copy of a sequence up to the 65,535 rows of a GPU grid's second axis has the same states as the
    first, and so have those beyond.
    """
    other = _other_rows(ask)
    beyond = other and min(other) + TILED[0] > GRID
    return _unlike_first(other) if beyond else ""


@_check("70,000 rows below the grid's limit", "", "scan", right=True)
def _rows_below(ask: Ask) -> str:
    """The same of the rows before."""
    other = [row for row in _other_rows(ask) if row + TILED[0] <= GRID]
    return _unlike_first(other)


@_check("the same bits", "M13", "scan")
def _repeatable(ask: Ask) -> str:
    """Five runs of one question give the same bits, whatever memory held."""
    inputs, d = _scan_question("M13", L=70)
    runs = []
    for _ in range(5):
        answer = ask(inputs, FORWARD, d, memory=1.0)
        runs.append({name: np.asarray(leaf).tobytes() for name, leaf in answer.items()})
    other = [name for name in runs[0] if any(run[name] != runs[0][name] for run in runs)]
    return f"{', '.join(other)}: other bits from run to run" if other else ""


@_check("every output is written", "M29", "scan")
def _written(ask: Ask) -> str:
    """The answer does not depend on what the memory held that it is written to."""
    inputs, d = _scan_question("M29")
    one, two = (ask(inputs, FORWARD, d, memory=value) for value in (1.0, 2.0))
    other = [name for name in one if not same({name: one[name]}, {name: two[name]})]
    return f"{', '.join(other)}: some elements are what stood in memory before" if other else ""


def _is_single(x: Array) -> bool:
    """Whether no number needs more than float32. Zeros alone, as of an unused leaf, do not tell."""
    single = x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)
    return bool(np.any(x)) and bool(np.all(single == x))


@_check("float64 throughout", "M28", "layer", features=("batch_norm", "gelu_tanh", "conj_sym", "train"))
@of_an_activation
def _double_throughout(ask: Ask, activation: str) -> str:
    """A float64 run answers in float64, and none of its answers went through float32."""
    n = Dyadic("M28")
    params = layer_params(n, 2, 3, activation, "batch")
    options = {"activation": activation, "gelu": "tanh", "norm": "batch", "train": True, "bn_momentum": 0.7}
    wide = {name: leaf * DOUBLE for name, leaf in params.items()}
    answer = ask({"params": wide, "x": n(2, 5, 3) * DOUBLE}, options, {"y": n(2, 5, 3) / 3}, "float64")
    single = [name for name, leaf in answer.items() if _is_single(leaf)]
    return f"{', '.join(single)}: every number is one of float32, in float64" if single else ""


@_check("precision of the state", "M30", "step", features=("conj_sym",))
def _state_precision(ask: Ask) -> str:
    """The state of step mode has the precision of the parameters."""
    n = Dyadic("M30")
    params, state, u = ssm_params(n, 3, 2), n.complex(2, 3) * DOUBLE, n(2, 2)
    for dtype in ("float32", "float64"):
        given = {"params": params, "state": state, "u_k": u}
        after = np.asarray(ask(given, {"of": "ssm"}, {}, dtype)["state"])
        if after.real.dtype != np.dtype(dtype) or (dtype == "float64" and _is_single(after)):
            return f"the state after a step in {dtype} has another precision"
    return ""


def _overflow(ask: Ask, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Λ̄ = 2⁶ and an input of 2¹²⁰ bring a state of float32 to infinity before the resets in the middle.

    Where a finite number before a reset changes what comes after it, the reset itself is wrong; and what an
    overflow merely changes, an episode that begins elsewhere, is another mistake.
    """
    name, output = ("Bu", "x") if "Bu" in inputs else ("u", "y")
    u, reverse = inputs[name], options.get("reverse", False)
    middle, L = u.shape[1] // 2, u.shape[1]
    resets = np.zeros((2, L), bool)
    resets[:, middle] = True
    first, later = (L - 1, slice(0, middle + 1)) if reverse else (0, slice(middle, L))

    def after(size: float) -> Arrays:
        before = u.copy()
        before[:, first] *= size
        answer = ask({**inputs, name: before, "resets": resets}, options, {}, "float32")
        return {output: answer[output][:, later]}

    calm = after(1)
    if not same(after(-2), calm) or not np.isfinite(calm[output]).all():
        return ""
    reached = not np.isfinite(after(2.0**120)[output]).all()
    return "an overflow before a reset reaches what comes after it" if reached else ""


def _growing() -> dict[str, Array]:
    return _scan_question("M43")[0] | {"Lambda_bar": np.full(3, 2.0**6 + 0j)}


@_check("an overflow ends at a reset", "M43", "scan", features=("resets",))
def _overflow_ends(ask: Ask) -> str:
    """An episode is the same whatever the one before it has come to, infinity included."""
    return _overflow(ask, _growing(), FORWARD)


@_check("an overflow ends at a reset to a state", "M43", "scan", features=("resets",))
def _overflow_ends_at_state(ask: Ask) -> str:
    """The same where the episode starts from a state that is not zero."""
    return _overflow(ask, _growing() | {"reset_state": Dyadic("M43/state").complex(3)}, FORWARD)


@_check("an overflow ends at a reset/reverse", "M43", "scan", features=("resets", "reverse"))
def _overflow_ends_backwards(ask: Ask) -> str:
    """The same from the last step to the first."""
    return _overflow(ask, _growing(), {"reverse": True})


@_check("an overflow ends at a reset/ssm", "M43", "ssm", features=("resets", "conj_sym"))
def _overflow_ends_in_ssm(ask: Ask) -> str:
    """The outputs of an episode are the same whatever the state before it has come to."""
    n = Dyadic("M43/ssm")
    params = ssm_params(n, 3, 2) | {"Lambda": np.full(3, 4.0 + 0j), "log_step": np.zeros(3)}
    return _overflow(ask, {"params": params, "u": n(2, 12, 2)}, {})


# Whatever a scan combines in pairs, tiles or chunks begins and ends somewhere among these.
LENGTHS = (*range(1, 34), *(2**k + more for k in range(6, 10) for more in (-1, 0, 1)))
BACKWARD = (1, 2, 3, 5, 8, 9, 16, 17, 33, 64, 65, 129, 513)  # with cotangents, which take long to compile


def _every_length(ask: Ask, reverse: bool) -> str:
    for L in LENGTHS:
        inputs, d = _scan_question(f"length {L}", L, 2)
        answer = ask(inputs, {"reverse": reverse}, d if L in BACKWARD else {})
        if words := _unlike_recurrence(inputs, d, answer, reverse):
            return f"{words} at L = {L}"
    return ""


def _unlike_recurrence(inputs: Mapping[str, Array], d: Arrays, answer: Arrays, reverse: bool) -> str:
    """Which of the answers is not x_k = Λ̄ x_{k−1} + Bu_k of the others, and for the cotangents dBu_k = dx_k +
    conj(Λ̄) dBu_{k+1}, dΛ̄ = Σ dBu_k conj(x_{k−1}).
    """
    way = slice(None, None, -1 if reverse else 1)
    a, x0, x = inputs["Lambda_bar"], inputs["x0"], answer["x"]
    if x.shape != inputs["Bu"].shape:
        return f"x has the shape {x.shape}"
    before = np.concatenate([x0[:, None], x[:, way][:, :-1]], axis=1)
    want = {"x": (a * before + inputs["Bu"][:, way])[:, way], "x_last": x[:, way][:, -1]}
    if "dBu" in answer and answer["dBu"].shape == x.shape:
        dBu, last = answer["dBu"][:, way], d["x_last"][:, None]
        after = np.concatenate([np.conj(a) * dBu[:, 1:], last], axis=1)
        want |= {
            "dBu": (d["x"][:, way] + after)[:, way], "dx0": np.conj(a) * dBu[:, 0],
            "dLambda_bar": np.sum(dBu * np.conj(before), axis=(0, 1)),
        }  # fmt: skip
    return next((name for name in want if not same({name: answer[name]}, {name: want[name]})), "")


@_check("every length", "", "scan", right=True)
def _every_length_forward(ask: Ask) -> str:
    """1 to 33 steps, 2ᵏ and its neighbours to 513: states, and of some lengths cotangents, satisfy the
    recurrence.
    """
    return _every_length(ask, False)


@_check("every length/reverse", "", "scan", features=("reverse",), right=True)
def _every_length_reverse(ask: Ask) -> str:
    """The same from the last step to the first."""
    return _every_length(ask, True)


def _pieces(
    ask: Ask, inputs: Mapping[str, Any], options: Mapping[str, Any], d: Arrays, ends: tuple[int, ...]
) -> str:
    """Pieces that end there, with the state carried on and its cotangent carried back, beside the whole."""
    name, output = ("Bu", "x") if "Bu" in inputs else ("u", "y")
    whole, L = ask(inputs, options, d), ends[-1]
    parts = [slice(a, b) for a, b in pairwise((0, *ends))]
    pieces, state = [], inputs["x0"]
    for part in parts:
        pieces.append({**inputs, name: np.ascontiguousarray(inputs[name][:, part]), "x0": state})
        state = ask(pieces[-1], options, {})["x_last"]
    if not same({"x_last": state}, {"x_last": whole["x_last"]}):
        return f"the final state of {len(parts)} pieces is not that of the whole"
    carried, shared = {"dx0": d["x_last"]}, {*whole} - {output, "x_last", f"d{name}", "dx0"}
    for part, piece in reversed(list(zip(parts, pieces, strict=True))):
        dy = np.ascontiguousarray(d[output][:, part])
        answer = ask(piece, options, {output: dy, "x_last": carried["dx0"]})
        if not same(answer, {of: whole[of][:, part] for of in (output, f"d{name}")}):
            return f"steps {part.start} to {part.stop - 1} of {L} by themselves are not those of the whole"
        added = {of: carried[of] + answer[of] if of in carried else answer[of] for of in shared}
        carried = added | {"dx0": answer["dx0"]}
    if same(carried, {of: whole[of] for of in carried}):
        return ""
    return f"the gradients of {len(parts)} pieces with carried state do not add up to those of the whole"


@_check("three pieces", "M11", "scan", features=("initial_state",), gradients=True, right=True)
def _shards(ask: Ask) -> str:
    """Three pieces with the state carried on, and its cotangent carried back, are the whole."""
    inputs, d = _scan_question("M11")
    return _pieces(ask, inputs, FORWARD, d, (5, 7, 12))


def _ssm_question(key: str, L: int, H: int = 2, P: int = 3) -> tuple[dict[str, Any], Arrays]:
    n = Dyadic(key)
    inputs = {"params": ssm_params(n, P, H), "u": n(2, L, H), "x0": n.complex(2, P)}
    return inputs, {"y": n(2, L, H), "x_last": n.complex(2, P)}


@_check(
    "three pieces of an SSM", "M11", "ssm", features=("initial_state", "final_state", "conj_sym"),
    gradients=True, right=True, beside="scan",
)  # fmt: skip
def _pieces_of_ssm(ask: Ask) -> str:
    """A sequence cut into pieces of one step, of many, and of the rest: outputs, final state and all
    gradients are those of the whole."""
    inputs, d = _ssm_question("M11/ssm", 70)
    return _pieces(ask, inputs, {"final_state": True}, d, (1, 66, 70))


@_check(
    "steps are the sequence", "", "step", features=("initial_state", "conj_sym"), right=True, beside="ssm",
)  # fmt: skip
def _steps_are_the_sequence(ask: Ask) -> str:
    """70 steps one by one give the outputs of the sequence, longer than a tile of 64."""
    inputs, _ = _ssm_question("steps", 70)
    whole = ask(inputs, {}, {}, stage="ssm")["y"]
    state, ys = inputs["x0"], []
    for k in range(70):
        given = {"params": inputs["params"], "state": state, "u_k": np.ascontiguousarray(inputs["u"][:, k])}
        answer = ask(given, {"of": "ssm"}, {})
        state = answer["state"]
        ys.append(answer["y"])
    y = np.stack(ys, axis=1)
    if same({"y": y}, {"y": whole}):
        return ""
    first = next(k for k in range(70) if not same({"y": y[:, : k + 1]}, {"y": whole[:, : k + 1]}))
    return f"the output of step {first} in step mode is not that of the sequence"


@_check(
    "steps are the sequence/model", "", "step", right=True, beside="model",
    features=("conj_sym", "model_step", "layer_norm", "gelu_tanh"),
)  # fmt: skip
@of_an_activation
def _steps_are_the_model(ask: Ask, activation: str) -> str:
    """The same of a stack of layers in evaluation, with a value at every step."""
    n = Dyadic("steps/model")
    params, x = model_params(n, 2, 2, "layer", activation=activation), n(2, 9, 2)
    options = {**LAYER, "activation": activation, "n_layers": 2}
    regression = {**options, "head": "regression", "train": False}
    whole = ask({"params": params, "x": x}, regression, {}, stage="model")["log_probabilities"]
    state: tuple[Array, ...] = tuple(np.zeros((2, 2), complex) for _ in range(2))
    for k in range(9):
        given = {"params": params, "state": state, "u_k": np.ascontiguousarray(x[:, k])}
        answer = ask(given, {"of": "model", **options}, {})
        state = tuple(answer[f"state.{i}"] for i in range(2))
        if not same({"y": answer["y"]}, {"y": whole[:, k]}):
            return f"the output of step {k} in step mode is not that of the sequence"
    return ""


def _one_by_one(
    ask: Ask, inputs: Mapping[str, Any], rows: tuple[str, ...], options: Mapping[str, Any], d: Arrays
) -> str:
    """Three examples at once and one by one; ``rows`` are the inputs that have an axis of examples."""
    whole = ask(inputs, options, d)
    alone = [
        ask({name: x[i : i + 1] if name in rows else x for name, x in inputs.items()}, options,
            {name: x[i : i + 1] for name, x in d.items()})
        for i in range(3)
    ]  # fmt: skip
    of_rows = {*d, *(f"d{name}" for name in rows)}
    for name, want in whole.items():
        answers = [answer[name] for answer in alone]
        together = np.concatenate(answers) if name in of_rows else np.sum(answers, axis=0)
        if not same({name: together}, {name: want}):
            return f"{name} of three examples at once is not that of the three by themselves"
    return ""


@_check("examples one by one/scan", "", "scan", right=True)
def _scan_one_by_one(ask: Ask) -> str:
    """What an example gives does not depend on those beside it."""
    n = Dyadic("one by one/scan")
    inputs = {"Lambda_bar": n.multipliers(2), "Bu": n.complex(3, 5, 2), "x0": n.complex(3, 2)}
    d = {"x": n.complex(3, 5, 2), "x_last": n.complex(3, 2)}
    return _one_by_one(ask, inputs, ("Bu", "x0"), FORWARD, d)


@_check("examples one by one/ssm", "", "ssm", features=("conj_sym",), right=True)
def _ssm_one_by_one(ask: Ask) -> str:
    """The same of an SSM."""
    n = Dyadic("one by one/ssm")
    inputs = {"params": ssm_params(n, 3, 2), "u": n(3, 5, 2)}
    return _one_by_one(ask, inputs, ("u",), {}, {"y": n(3, 5, 2)})


LAYER = {"gelu": "tanh", "norm": "layer"}


@_check(
    "examples one by one/layer", "", "layer", features=("layer_norm", "gelu_tanh", "conj_sym"), right=True,
)  # fmt: skip
@of_an_activation
def _layer_one_by_one(ask: Ask, activation: str) -> str:
    """The same of a layer with LayerNorm."""
    n = Dyadic("one by one/layer")
    inputs = {"params": layer_params(n, 2, 3, activation, "layer"), "x": n(3, 5, 3)}
    options = {**LAYER, "activation": activation, "train": True}
    return _one_by_one(ask, inputs, ("x",), options, {"y": n(3, 5, 3)})


@_check(
    "examples one by one/model", "", "model", right=True,
    features=("conj_sym", "classifier", "batch_norm", "gelu_tanh"),
)  # fmt: skip
@of_an_activation
def _model_one_by_one(ask: Ask, activation: str) -> str:
    """The same of a classifier in evaluation, with BatchNorm's running statistics."""
    n = Dyadic("one by one/model")
    inputs = {"params": model_params(n, 2, 2, "batch", activation=activation), "x": n(3, 5, 2)}
    options = {**LAYER, "activation": activation, "norm": "batch", "train": False, "n_layers": 2}
    return _one_by_one(ask, inputs, ("x",), options, {"log_probabilities": n(3, CLASSES)})


@_check(
    "statistics over ten batches", "", "layer", right=True,
    features=("batch_norm", "gelu_tanh", "conj_sym", "train"),
)  # fmt: skip
@of_an_activation
def _statistics_over_batches(ask: Ask, activation: str) -> str:
    """From mean 0 and variance 1: after each of ten training batches the running average, by which evaluation
    then normalises."""
    n, momentum = Dyadic("statistics"), 0.75
    params = layer_params(n, 2, 3, activation, "batch")
    mean, var = np.zeros(3), np.ones(3)
    options = {**LAYER, "activation": activation, "norm": "batch", "bn_momentum": momentum}
    probe = n(2, 5, 3)
    for k in range(1, 11):
        x, given = n(2, 5, 3), params | {"norm.mean": mean, "norm.var": var}
        answer = ask({"params": given, "x": x}, {**options, "train": True}, {})
        mean = momentum * mean + (1 - momentum) * x.mean((0, 1))
        var = momentum * var + (1 - momentum) * x.var((0, 1))
        if not same(answer, {"statistics.norm.mean": mean, "statistics.norm.var": var}):
            return f"the running statistics after {k} batches are not the average of momentum {momentum}"
        if k in (1, 10):  # the same norm, written into scale and bias
            scale = params["norm.scale"] / np.sqrt(var + BATCH_NORM_EPS)
            fixed = {
                "norm.mean": 0 * mean, "norm.var": np.ones(3) - BATCH_NORM_EPS, "norm.scale": scale,
                "norm.bias": params["norm.bias"] - mean * scale,
            }  # fmt: skip
            running, written = (
                ask({"params": params | leaves, "x": probe}, {**options, "train": False}, {})["y"]
                for leaves in ({"norm.mean": mean, "norm.var": var}, fixed)
            )
            if not same({"y": running}, {"y": written}):
                return f"evaluation after {k} batches does not normalise by the running statistics"
    return ""


@_check(
    "event pooling takes the last step", "M65", "model",
    features=("event_pooling", "conj_sym", "classifier", "layer_norm", "gelu_tanh"),
)  # fmt: skip
@of_an_activation
def _last_of_window(ask: Ask, activation: str) -> str:
    """Where SSMs pass their input on and windows of two steps become their last, the first has no effect."""
    n = Dyadic("M65")
    params, x = model_params(n, 2, 2, "layer", activation=activation), n(2, 6, 2)
    for name, leaf in params.items():
        if name.endswith(("seq.C", "seq.D")):
            params[name] = np.full_like(leaf, name.endswith("D"))
    options = {
        **LAYER, "activation": activation, "train": False, "n_layers": 2, "event_stride": 2,
        "event_pooling": "last",
    }  # fmt: skip

    def effect(step: int) -> bool:
        other = x.copy()
        other[:, step::2] *= -1
        one, two = (ask({"params": params, "x": given}, options, {}, memory=1.0) for given in (x, other))
        return not same(two, one)

    return "the answer depends on the first step of a window, not on the last" if (
        effect(0) and not effect(1)
    ) else ""  # fmt: skip


def _reloaded(ask: Ask, order: Literal["C", "F"]) -> list[str]:
    """The parameters of a model that change by saving and loading, their arrays in this memory order."""
    params = {
        name: np.asarray(leaf, order=order)
        for name, leaf in model_params(Dyadic("M14"), 2, 1, "layer").items()
    }
    answer = ask({"params": params}, {}, {})
    return [name for name, leaf in params.items() if not same({"": answer[f"params.{name}"]}, {"": leaf})]


@_check("saved and loaded", "M14", "reload", level="may")
def _loaded(ask: Ask) -> str:
    """Parameters that were saved and loaded are what they were."""
    other = _reloaded(ask, "C")
    return f"{', '.join(other)}: other numbers after loading" if other else ""


@_check("saved in the order of Fortran", "M24", "reload", level="may")
def _loaded_in_order(ask: Ask) -> str:
    """So are those that do not lie row by row in memory."""
    anyhow = _reloaded(ask, "C")
    other = [name for name in _reloaded(ask, "F") if name not in anyhow]
    return f"{', '.join(other)}: other numbers after loading, saved in the order of Fortran" if other else ""


BEHAVIOURS = [*OF_SCANS_AND_LAYERS, *LONG, *DRAWN, *DESCENT]  # in the order in which they are asked
