"""The budget of every output and cotangent of a case, in units of eps: the same for both precisions.

discretize and scan have a-priori bounds element by element; the composites (ssm, layer, model, step) the
largest deviation that roundings of every input, kernel output, discretised number and variance bring about,
times COMPOSITE · √terms, as in `s5ref.verification.rounding.budget`; a variance may be E[x²] − E[x]², as
upstream's is, and then has the rounding of E[x²]; update an a-priori bound; init six standard
deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.optim.adamw import B1, B2, EPS
from s5ref.random import generator
from s5ref.ssm import ssm as text
from s5ref.ssm.discretize import Rule
from s5ref.tree import map_leaves
from s5ref.verification.conformance.stages.audit import eigenvalues, expected
from s5ref.verification.conformance.stages.reference import Update, computed, updated
from s5ref.verification.conformance.stages.stage import Arrays, Case
from s5ref.verification.rounding import bounds, discretization_bounds, operation_bounds
from s5ref.verification.rounding.budget import COMPOSITE, UNIT, Perturber, is_float

SEEDS = range(6)
ETA = 2.0**-30  # the perturbation in the place of eps: far above float64's roundings, which do not show
DIGITS = 3  # bits that are kept of a bound, rounded up: the same on every machine


def bounds_of(case: Case, engine: Engine = SEQUENTIAL) -> Arrays:
    """How far off the outputs and cotangents of a case may be.

    Parameters
    ----------
    case : Case
    engine : Engine
        Computes the composites.

    Returns
    -------
    dict
        Of each output (``y``) and cotangent (``dparams.B``) an array of its shape, or one number for all of
        it, in units of the eps of the case's dtype.
    """
    wide = case.cast(np.float64)
    sizes = _composite(wide, engine) if case.stage in COMPOSITES else BOUNDS[case.stage](wide)
    return {name: _rounded_up(np.asarray(leaf, dtype=np.float64)) for name, leaf in sizes.items()}


def _rounded_up(x: Array) -> Array:
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.ceil(mantissa * 2**DIGITS) / 2**DIGITS, exponent))


def _discretize(case: Case) -> Arrays:
    d = {name: case.cotangent.get(name, np.zeros(())) for name in ("Lambda_bar", "gain")}
    sizes = operation_bounds.discretize(
        case.inputs["Lambda"], case.inputs["Delta"], case.options["method"], d
    )
    return {name.replace("d.", "d"): leaf for name, leaf in sizes.items()}


def _scan(case: Case) -> Arrays:
    i, d = case.inputs, case.cotangent
    x0 = i.get("x0")
    if "resets" in i:
        start = np.zeros_like(i["Bu"][:, 0]) if x0 is None else x0
        given = i["Lambda_bar"], i["Bu"], start, case.options["reverse"], i["resets"], i.get("reset_state")
        sizes = operation_bounds.scan_episodes(*given, d)
        names = {"x": "x", "x_last": "x_last"} | {
            f"d{name}": f"d.{name}" for name in ("Lambda_bar", "Bu", "x0")
        }
    else:
        d_scan = d.get("x"), d.get("x_last")
        sizes = bounds.scan(i["Lambda_bar"], i["Bu"], x0, case.options["reverse"], d_scan)
        names = {"x": "y.0", "x_last": "y.1", "dLambda_bar": "d.0", "dBu": "d.1", "dx0": "d.2"}
    return {name: sizes[path] for name, path in names.items() if name != "dx0" or x0 is not None}


def _composite(case: Case, engine: Engine) -> Arrays:
    want = computed(case, engine)
    deviation = dict.fromkeys(want, 0.0)
    for seed in SEEDS:
        rng = generator("stages", case.seed, seed)
        moved = replace(case, inputs=_moved(case.inputs, rng), cotangent=_moved(case.cotangent, rng))
        with _rounding(case, seed, engine) as rounding:
            # Cotangents come from a forward pass of their own: a draw is keyed by the number of the call.
            values = computed(replace(moved, cotangent={}), rounding)
            for name, leaf in (computed(moved, rounding) | values).items():
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
def _rounding(case: Case, seed: int, engine: Engine) -> Iterator[Engine]:
    """The engine with every result off by up to ETA, and discretisations off by their bounds."""
    off = Perturber(_off, "stages", case.seed, seed)

    def discretized(name: str, rule: Rule) -> Rule:
        def result(rng: np.random.Generator, value: Any, args: Any) -> Any:
            sizes = discretization_bounds.RULES[name](*args)
            moved = tuple(_off(leaf, rng, sizes[str(i)]) for i, leaf in enumerate(value[0]))
            return moved, value[1]

        pair = Pair(off.of(f"{name}.v", rule.pair.value, result), off.of(f"{name}.d", rule.pair.vjp))
        return rule._replace(pair=pair)

    before = dict(text.DISCRETIZATIONS)
    try:
        text.DISCRETIZATIONS.update({name: discretized(name, rule) for name, rule in before.items()})
        layer_norm = off.of("layer_norm.variance", engine.layer_norm.value, _layer_norm)
        batch_norm = off.of("batch_norm.variance", engine.batch_norm.value, _batch_norm)
        engine = replace(
            engine,
            layer_norm=engine.layer_norm._replace(value=layer_norm),
            batch_norm=engine.batch_norm._replace(value=batch_norm),
        )
        yield off.engine(engine, ("v", "d"))
    finally:
        text.DISCRETIZATIONS.update(before)


def _layer_norm(rng: np.random.Generator, value: Any, args: Any) -> Any:
    """What `s5ref.nn.norm.layer_norm` returns with variances that are off."""
    (_, residuals), (x, scale, bias) = value, args
    factor = _factor(rng, np.mean(x * x, axis=-1, keepdims=True), residuals.rstd)
    xhat = factor * residuals.xhat
    return scale * xhat + bias, residuals._replace(xhat=xhat, rstd=factor * residuals.rstd)


def _batch_norm(rng: np.random.Generator, value: Any, args: Any) -> Any:
    """What `s5ref.nn.norm.batch_norm` returns with variances that are off; running ones are given."""
    ((_, running), residuals), (x, scale, bias, _, momentum, training, _) = value, args
    if not training:
        return value
    factor = _factor(rng, np.mean(x * x, axis=(0, 1)), residuals.rstd)
    rstd = factor * residuals.rstd
    var = running.var + (1 - momentum) * (rstd**-2 - residuals.rstd**-2)
    return (scale * ((x - residuals.mean) * rstd) + bias, running._replace(var=var)), residuals._replace(
        rstd=rstd
    )


def _factor(rng: np.random.Generator, square: Array, rstd: Array) -> Array:
    """Of 1/σ, where σ² is off by a rounding of E[x²]."""
    return np.asarray(1 - ETA * rng.uniform(-1, 1, square.shape) * square * rstd**2 / 2)


def _off(leaf: Any, rng: np.random.Generator, size: Any = None) -> Any:
    if not is_float(leaf):
        return leaf
    r: Any = ETA * rng.uniform(-1, 1, leaf.shape)
    return leaf * (1 + r) if size is None else leaf + r * size


def _init(case: Case) -> Arrays:
    eps = float(np.finfo(case.dtype).eps)
    sizes = {name: np.asarray(off / eps) for name, (_, off) in expected(case.options).items()}
    block = case.options["ssm_size"] // case.options["blocks"]
    of_Lambda = np.asarray(float(block) ** 2)  # normwise: ‖S‖ is about 0.64 n²/2
    return sizes | dict.fromkeys(eigenvalues(case.options), of_Lambda)


def _update(case: Case) -> Arrays:
    """m and v are sums of two rounded products, of coefficients that may be rounded as well; 1 − bᵗ may be
    computed in the working precision, which costs (t + 1) u bᵗ/(1 − bᵗ). The decay may be a factor
    (1 − rate λ) of the parameter: three roundings of its size."""
    p, g, (first, second), t, groups, rates = Update.of(case.inputs, case.options)
    e_correct = [UNIT * (t + 1) * (1 + b**t / (1 - b**t)) for b in (B1, B2)]
    e_params, e_first, e_second = (dict[str, Array]() for _ in range(3))
    for name, leaf in p.items():
        m_size = B1 * np.abs(first[name]) + (1 - B1) * np.abs(g[name])
        v = B2 * second[name] + (1 - B2) * g[name] ** 2
        e_first[name], e_second[name] = 5 * UNIT * m_size, 6 * UNIT * v
        root = np.sqrt(v / (1 - B2**t)) + EPS
        step = m_size / (1 - B1**t) / root
        e_step = step * (5 * UNIT + e_correct[0] + (6 * UNIT + e_correct[1]) / 2 + 5 * UNIT)
        decayed = groups[name].weight_decay * np.abs(leaf)
        rate = rates[groups[name].rate]
        e = rate * (e_step + 3 * UNIT * decayed + 3 * UNIT * (step + decayed))
        e_params[name] = e + 3 * UNIT * (np.abs(leaf) + rate * (step + decayed))
    errors = updated(e_params, e_first, e_second)
    return {name: np.abs(z.real) + np.abs(z.imag) for name, z in errors.items()}


COMPOSITES = ("ssm", "layer", "model", "step")
BOUNDS: dict[str, Callable[[Case], Arrays]] = {
    "discretize": _discretize, "scan": _scan, "init": _init, "update": _update,
}  # fmt: skip
