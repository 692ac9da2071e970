"""What must be equal however it is computed: a scan in pieces, a scan mirrored, one step at a time, chunk
by chunk, packed.

Each function returns (ratio, where) pairs for one engine and one dtype. Two roundings of the same number
may each err by its bound, hence twice the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.model.chunks import chunked_loss_and_grad
from s5ref.model.packing import unpack
from s5ref.model.streaming import streaming
from s5ref.tree import leaves
from s5ref.verification.draws import Normal
from s5ref.verification.report import Measured
from s5ref.verification.rounding import bounds
from s5ref.verification.rounding.budget import cast, ratio
from s5ref.verification.selfcheck.engines import whole_budget
from s5ref.verification.selfcheck.fields import Case, cases, outcome
from s5ref.verification.selfcheck.problems import BASE, Problem, packing_problems, problem
from s5ref.verification.selfcheck.ranks import across
from s5ref.verification.selfcheck.threads import on_ranks

SEEDS = range(4)


def scan_cases(dtype: str) -> Iterator[tuple[Case, tuple[Any, ...], Any, dict[str, Array], float]]:
    """The cases of the scan with every input and cotangent, in ``dtype``, with their bounds and eps."""
    for case in cases("scan"):
        if case.args[2] is not None and case.dy[0] is not None:
            args, dy = cast(case.args, dtype), cast(case.dy, dtype)
            Lambda_bar, Bu, x0, reverse = case.args
            bound = bounds.scan(Lambda_bar, Bu, x0, reverse, case.dy)
            yield case, args, dy, bound, float(np.finfo(dtype).eps)


def mirrored(engine: Engine, dtype: str) -> Measured:
    """reverse = flip ∘ forward ∘ flip, value and vjp."""
    for case, (Lambda_bar, Bu, x0, reverse), (dx, dlast), bound, eps in scan_cases(dtype):
        flipped = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, ::-1]
        got = outcome(engine.scan, (flipped, Bu[:, ::-1], x0, not reverse), (dx[:, ::-1], dlast))
        want = outcome(engine.scan, (Lambda_bar, Bu, x0, reverse), (dx, dlast))
        for path in ("y.0", "y.1", "d.0", "d.1", "d.2"):
            leaf = got[path][:, ::-1] if got[path].ndim == 3 else got[path]
            yield ratio(leaf, want[path], 2 * bound[path], eps), f"{path} at {case.name}"


def split(engine: Engine, dtype: str) -> Measured:
    """Two pieces with the state carried, and its cotangent carried back, equal the whole."""
    for case, args, dy, bound, eps in scan_cases(dtype):
        L, whole = args[1].shape[1], outcome(engine.scan, args, dy)
        for at in sorted({1, L // 3, L - 1} - {0, L}):
            for path, leaf in leaves(_in_two(engine, args, dy, at)):
                yield ratio(leaf, whole[path], 2 * bound[path], eps), f"{path} at {case.name}, split at {at}"


def _in_two(engine: Engine, args: tuple[Any, ...], dy: tuple[Array, Array], at: int) -> dict[str, Any]:
    """{"y": value, "d": vjp} of a scan in two pieces, one of them up to step ``at``."""
    (Lambda_bar, Bu, x0, reverse), (dx, dlast) = args, dy
    first, second = slice(0, at), slice(at, Bu.shape[1])
    if reverse:
        first, second = second, first

    def piece(part: slice) -> Array:
        return np.asarray(Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, part])

    def joined(one: Array, two: Array) -> Array:
        return np.concatenate([two, one] if reverse else [one, two], axis=1)

    (x1, carried), residuals1 = engine.scan.value(piece(first), Bu[:, first], x0, reverse)
    (x2, last), residuals2 = engine.scan.value(piece(second), Bu[:, second], carried, reverse)
    da2, db2, dcarried = engine.scan.vjp(residuals2, (dx[:, second], dlast))
    da1, db1, dx0 = engine.scan.vjp(residuals1, (dx[:, first], dcarried))
    dLambda_bar = da1 + da2 if Lambda_bar.ndim == 1 else joined(da1, da2)
    return {"y": (joined(x1, x2), last), "d": (dLambda_bar, joined(db1, db2), dx0)}


def streamed(engine: Engine, dtype: str) -> Measured:
    """step = offline, and pieces fed = offline: two layers, all activations and heads that stream; the output
    after every step that both define."""
    for options in (
        {"norm": "batch"},
        {"norm": "layer", "prenorm": False},
        {"pooling": "last", "activation": "full_glu"},
        {"head": "regression", "activation": "half_glu1"},
        {"pooling": "max"},
        {"pooling": "mean+max", "head": "pooled_regression", "norm": "layer"},
        {"conj_sym": False, "discretization": "bilinear", "activation": "gelu"},
        {"discretization": "foh", "norm": "layer"},
        {"head": "regression", "norm": "layer", "learn_initial_state": True},
    ):
        resets = 0.3 if "learn_initial_state" in options else 0.0
        config = replace(BASE, **options)
        at = problem("streaming", str(options), config, length=12, training=False, resets=resets).cast(dtype)
        stream = streaming(at.model, at.params, at.statistics, engine)
        inputs, flags = at.batch.inputs, at.batch.resets
        results: list[tuple[str, Any]] = []
        for words, pieces in (("step by step", [1] * 12), ("fed", [5, 1, 6])):
            state, outputs, k = stream.initial_state(len(inputs)), [], 0
            for steps in pieces:
                part = slice(k, k + steps) if words == "fed" else k
                advance = stream.feed if words == "fed" else stream.step
                begins = None if flags is None else flags[:, part]
                state, output = advance(state, inputs[:, part], resets=begins)
                if words != "fed":
                    output = output[:, None] if at.model.head.stepwise else output
                outputs.append(output)
                k += steps
            output = np.concatenate(outputs, axis=1) if at.model.head.stepwise else outputs[-1]
            results.append((f"{options}, {words}", {"output": output, "states": list(state.states)}))
        yield from _within(at, _offline, results)


def _offline(at: Problem, engine: Engine) -> dict[str, Any]:
    forward = at.model.forward(at.params, at.statistics, at.batch, engine=engine)
    return {"output": forward.output, "states": forward.states}


def chunked(engine: Engine, dtype: str) -> Measured:
    """Chunks of 1, 3, 5 and 16 steps of 11, forward and backward, equal the whole: also with states given and
    cotangents of the final ones."""
    for options, more in (
        ({"norm": "layer", "dropout": 0.3}, {"states": True}),
        ({"norm": "batch", "prenorm": False}, {"training": False, "irregular": True}),
        ({"norm": "layer", "discretization": "foh"}, {"irregular": True, "states": True, "resets": 0.3}),
        ({"norm": "layer", "padding": "masked", "pooling": "last"}, {"padded": True}),
        ({"norm": "layer", "padding": "masked", "pooling": "mean+max"}, {"padded": True, "states": True}),
        ({"norm": "layer", "head": "regression", "padding": "masked"}, {"padded": True, "states": True}),
        ({"norm": "layer", "learn_initial_state": True}, {"resets": 0.3}),
    ):
        at = problem("chunks", str(options), replace(BASE, **options), length=11, **more).cast(dtype)
        given, how = (at.model, at.params, at.statistics, at.batch), {**_carried(at), **at.call}
        results = (
            (f"{options}, chunk {n}", chunked_loss_and_grad(*given, n, engine=engine, **how))
            for n in (1, 3, 5, 16)
        )
        yield from _within(at, _whole, ((where, _parts(result)) for where, result in results))


def _carried(at: Problem) -> dict[str, Any]:
    """The initial states of a problem, and as cotangents of the final ones the same numbers."""
    return {"initial_state": at.states, "dstates": at.states}


def packed(engine: Engine, dtype: str) -> Measured:
    """Packed rows equal padded rows with masks: loss, outputs, statistics, every gradient of a parameter."""
    for padded, rows in packing_problems():
        padded, rows = padded.cast(dtype), rows.cast(dtype)
        yield from _within(padded, by_sequence, [(padded.name, by_sequence(rows, engine))])


def by_sequence(at: Problem, engine: Engine) -> dict[str, Any]:
    """What padded and packed rows have in common. Outputs of every step: the valid ones."""
    result = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=engine, **at.call)
    output, segments, lengths = result.output, at.batch.segments, at.batch.lengths
    if at.model.head.stepwise:
        if segments:
            rows = unpack(output, segments)
        else:
            assert lengths is not None
            rows = [y[:n] for y, n in zip(output, lengths, strict=True)]
        output = np.concatenate(rows)
    return {"loss": result.loss, "output": output, "grads": result.grads, "statistics": result.statistics}


def _whole(at: Problem, engine: Engine) -> dict[str, Any]:
    how = {**_carried(at), **at.call}
    return _parts(at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=engine, **how))


def _parts(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("loss", "output", "states", "grads", "dstates")}


def _within(
    at: Problem, run: Callable[[Problem, Engine], Any], results: Iterable[tuple[str, Any]]
) -> Measured:
    """The ratios of (where, tree) results to the budget of run(at, engine)."""
    want, budget = whole_budget(at, partial(run, at))
    for where, got in results:
        for path, leaf in leaves(got):
            yield ratio(leaf, want[path], budget[path], 1.0), f"{path} with {where}"


def padding(engine: Engine, dtype: str) -> Measured:
    """padding="masked": other content at padding changes no bit of the output or of any parameter's
    gradient."""
    for name, options, more in (
        ("bidirectional", {"bidirectional": True}, {}),
        ("LayerNorm, last", {"norm": "layer", "pooling": "last"}, {}),
        ("max", {"pooling": "max", "bidirectional": True}, {}),
        ("pooled regression, mean+max", {"head": "pooled_regression", "pooling": "mean+max"}, {}),
        ("irregular", {"bidirectional": True}, {"irregular": True}),
        ("retrieval", {"head": "retrieval", "n_classes": 2}, {}),
        ("regression", {"head": "regression", "bidirectional": True}, {}),
    ):
        at = problem("padding", name, replace(BASE, **options, padding="masked"), padded=True, **more)
        got, want = (padding_outcome(at, engine, dtype, seed) for seed in (1, 2))
        for path, leaf in want.items():
            yield ratio(got[path], leaf, 0.0, 1.0), f"{path} of {name}"


def padding_outcome(at: Problem, engine: Engine, dtype: str, seed: int) -> dict[str, Any]:
    """Loss, valid outputs and gradients with the content of every padded step drawn anew from ``seed``."""
    inputs, lengths = at.batch.inputs, at.batch.lengths
    assert lengths is not None
    n = Normal("padding", seed)
    valid = np.arange(inputs.shape[lengths.ndim]) < lengths[..., None]
    batch = at.batch._replace(inputs=np.where(valid[..., None], inputs, 3 * n(*inputs.shape)))
    if batch.intervals is not None:
        drawn = n.rng.uniform(0.5, 2.0, valid.shape)
        batch = batch._replace(intervals=np.where(valid, batch.intervals, drawn))
    if at.model.head.stepwise and batch.targets is not None:
        targets = np.where(valid[..., None], batch.targets, n(*batch.targets.shape))
        batch = batch._replace(targets=targets)
    at = replace(at, batch=batch).cast(dtype)
    result = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=engine, **at.call)
    output = result.output[valid] if at.model.head.stepwise else result.output
    return dict(leaves(result._asdict() | {"output": output, "states": None, "dstates": None}))


def shared(engine: Engine, dtype: str) -> Measured:
    """Ranks that share a batch are one process, whatever they share of it: threads of this one."""
    for size in (2, 4):
        found = on_ranks(size, lambda ranks: list(across(ranks, [engine], [dtype], ["episodes"])))
        for row in found[0]:
            yield row.measured, f"{row.detail} in {row.name}"


IDENTITIES = {
    "reverse = flip ∘ forward ∘ flip": mirrored,
    "scan in two pieces = whole": split,
    "step = offline": streamed,
    "chunked = whole": chunked,
    "packed = padded": packed,
    "padding changes nothing when masked": padding,
    "shared by ranks = one process": shared,
}
