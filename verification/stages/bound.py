"""The budget of every output and cotangent of a case, in units of eps: the same for both precisions.

discretize and scan have a-priori bounds element by element; the composites (ssm, layer, model, step) the
largest deviation that roundings of every input, kernel output and discretised number bring about, times
COMPOSITE · √terms, as in `s5ref.verification.budget`; update an a-priori bound; init six standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.random import generator
from s5ref.ssm import ssm as text
from s5ref.tree import leaves, map_leaves
from s5ref.verification import bounds, discretization_bounds
from s5ref.verification.budget import COMPOSITE, UNIT, cast
from s5ref.verification.oracles import certify_limits
from s5ref.verification.stages.audit import expected
from s5ref.verification.stages.layers import LAYER_STAGES
from s5ref.verification.stages.models import MODEL_STAGES
from s5ref.verification.stages.stage import Arrays, Case
from s5ref.verification.stages.update_bound import update_bound

STAGES = {stage.name: stage for stage in (*LAYER_STAGES, *MODEL_STAGES)}
SEEDS = range(6)
ETA = (
    2.0**-30
)  # the perturbation in the place of eps: far above float64's roundings, so that those do not show
DIGITS = 3  # bits that are kept of a bound, rounded up: the same on every machine


def bound(case: Case, output: str) -> Array:
    """The bound of one output or cotangent (``dLambda_bar``) in units of eps: an array of its shape, or one
    number for all of it."""
    return np.asarray(bounds_of(case)[output])


def bounds_of(case: Case) -> Arrays:
    """The bounds of all outputs and cotangents of a case."""
    wide = replace(
        case, inputs=cast(dict(case.inputs), np.float64), cotangent=cast(case.cotangent, np.float64)
    )
    found = BOUNDS[case.stage](wide)
    return {name: _rounded_up(np.asarray(leaf, dtype=np.float64)) for name, leaf in found.items()}


def _rounded_up(x: Array) -> Array:
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.ceil(mantissa * 2**DIGITS) / 2**DIGITS, exponent))


def computed(case: Case, engine: Engine) -> Arrays:
    """All outputs and cotangents of a case by the reference, with an engine."""
    stage = STAGES[case.stage]
    found = stage.evaluate(case.inputs, case.options, engine)
    if case.cotangent:
        found = found | stage.cotangents(case.inputs, case.options, case.cotangent, engine)
    return found


def _discretize(case: Case) -> Arrays:
    found = certify_limits.discretize(
        case.inputs["Lambda"], case.inputs["Delta"], case.options["method"], case.cotangent
    )
    return {name.replace("d.", "d"): leaf for name, leaf in found.items()}


def _scan(case: Case) -> Arrays:
    i, d = case.inputs, case.cotangent
    x0 = i.get("x0")
    found = bounds.scan(i["Lambda_bar"], i["Bu"], x0, case.options["reverse"], (d.get("x"), d.get("x_last")))
    names = {"y.0": "x", "y.1": "x_last", "d.0": "dLambda_bar", "d.1": "dBu"}
    names |= {} if x0 is None else {"d.2": "dx0"}
    return {name: found[path] for path, name in names.items()}


def _composite(case: Case) -> Arrays:
    want = computed(case, SEQUENTIAL)
    deviation = dict.fromkeys(want, 0.0)
    for seed in SEEDS:
        rng = generator("stages", case.seed, seed)
        moved = replace(case, inputs=_moved(case.inputs, rng), cotangent=_moved(case.cotangent, rng))
        with _rounding(case, seed) as engine:
            for name, leaf in computed(moved, engine).items():
                deviation[name] = max(deviation[name], float(np.max(np.abs(leaf - want[name]), initial=0.0)))
    terms = _terms(case)
    return {
        name: np.asarray(
            max(COMPOSITE * terms**0.5 * d / ETA, UNIT * float(np.max(np.abs(want[name]), initial=0.0)))
        )
        for name, d in deviation.items()
    }


def _moved(tree: Any, rng: np.random.Generator) -> Any:
    return map_leaves(lambda leaf: _off(leaf, rng), dict(tree))


def _terms(case: Case) -> int:
    """Terms of the longest sum: all steps of all sequences."""
    x = case.inputs.get("u", case.inputs.get("x", case.inputs.get("u_k")))
    assert x is not None
    return int(x.size if x.dtype.kind in "iu" else x[..., 0].size)


@contextmanager
def _rounding(case: Case, seed: int) -> Iterator[Engine]:
    """SEQUENTIAL with every result off by up to ETA, and discretisations off by their bounds."""
    calls = 0

    def wrap(
        field: str, fn: Callable[..., Any], sized: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            rng = generator("stages", case.seed, seed, field, calls)
            given = {id(leaf) for _, leaf in leaves(args)}
            result = fn(*args)
            if sized is not None:
                (Lambda_bar, gain), residuals = result
                sizes = sized(*args)
                return (_off(Lambda_bar, rng, sizes["0"]), _off(gain, rng, sizes["1"])), residuals
            return map_leaves(lambda leaf: leaf if id(leaf) in given else _off(leaf, rng), result)

        return wrapped

    names = [f.name for f in fields(SEQUENTIAL) if isinstance(getattr(SEQUENTIAL, f.name), Pair)]
    pairs: dict[str, Any] = {
        n: Pair(*(wrap(f"{n}.{k}", fn) for k, fn in zip("vd", getattr(SEQUENTIAL, n), strict=True)))
        for n in names
    }
    before = dict(text.DISCRETIZATIONS)
    try:
        for name, pair in before.items():
            value = wrap(f"{name}.v", pair.value, getattr(discretization_bounds, name))
            text.DISCRETIZATIONS[name] = Pair(value, wrap(f"{name}.d", pair.vjp))
        yield replace(SEQUENTIAL, name="off by one rounding", **pairs)
    finally:
        text.DISCRETIZATIONS.update(before)


def _off(leaf: Any, rng: np.random.Generator, size: Any = None) -> Any:
    if not isinstance(leaf, np.ndarray | np.generic) or leaf.dtype.kind not in "fc":
        return leaf
    r: Any = ETA * rng.uniform(-1, 1, leaf.shape)
    return leaf * (1 + r) if size is None else leaf + r * size


def _init(case: Case) -> Arrays:
    eps = float(np.finfo(case.dtype).eps)
    found = {name: np.asarray(off / eps) for name, (_, off) in expected(case.options).items()}
    block = case.options["ssm_size"] // case.options["blocks"]
    return found | {"Lambda": np.asarray(float(block) ** 2)}  # normwise: ‖S‖ is about 0.64 n²/2


BOUNDS: dict[str, Callable[[Case], Arrays]] = {
    "discretize": _discretize,
    "scan": _scan,
    "ssm": _composite,
    "layer": _composite,
    "model": _composite,
    "step": _composite,
    "init": _init,
    "update": update_bound,
}
