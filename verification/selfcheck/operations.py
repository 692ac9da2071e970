"""Every single operation as s5ref computes it, on small inputs, with the bound of every leaf.

What is certified of them is in `s5ref.verification.selfcheck.certify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.nn import activation, dropout, loss, norm, pool
from s5ref.random import generator
from s5ref.ssm import discretize, phi
from s5ref.ssm.ssm import DISCRETIZATIONS
from s5ref.verification.rounding.bounds import BOUNDS
from s5ref.verification.rounding.operation_bounds import limits

Inputs = dict[str, Any]
Found = dict[str, Array]
Run = Callable[[Engine, Inputs, Any], Found]


def _pair(value: Callable[..., Any], vjp: Callable[..., Any], inputs: str, y: str = "y") -> Run:
    """A pair whose arguments are the inputs in order, and whose cotangents are those of the first of them."""

    def run(engine: Engine, i: Inputs, d: Any) -> Found:
        out, residuals = value(*i.values())
        cotangents = vjp(residuals, d[y])
        found = dict(
            zip(inputs.split(), cotangents if isinstance(cotangents, tuple) else (cotangents,), strict=True)
        )
        return {y: out} | {f"d.{name}": leaf for name, leaf in found.items() if leaf is not None}

    return run


def _field(name: str, inputs: str) -> Run:
    """The same for a kernel field. A flat argument is one sequence of one feature: (1, L, 1)."""

    def run(engine: Engine, i: Inputs, d: Any) -> Found:
        pair = getattr(engine, name)
        flat = d["y"].ndim == 1
        i, d = ({k: v[None, :, None] if flat else v for k, v in side.items()} for side in (i, d))
        found = _pair(pair.value, pair.vjp, inputs)(engine, i, d)
        return {k: v[0, :, 0] if flat else v for k, v in found.items()}

    return run


def _phi1(engine: Engine, i: Inputs, d: Any) -> Found:
    return {"y": phi.phi1(i["z"]), "d.z": np.conj(phi.phi1_prime(i["z"]))}


def _discretize(engine: Engine, i: Inputs, d: Any) -> Found:
    value, vjp = DISCRETIZATIONS[i["method"]]
    (Lambda_bar, gain), residuals = value(i["Lambda"], i["Delta"])
    dLambda, dDelta = vjp(residuals, (d["Lambda_bar"], d["gain"]))
    return {"Lambda_bar": Lambda_bar, "gain": gain, "d.Lambda": dLambda, "d.Delta": dDelta}


def _clip_eigs(engine: Engine, i: Inputs, d: Any) -> Found:
    x = i["Lambda_re"]
    return {"y": discretize.clip_eigs(x), "d.Lambda_re": discretize.clip_eigs_vjp(x, d["y"])}


def _scan(engine: Engine, i: Inputs, d: Any) -> Found:
    (x, last), residuals = engine.scan.value(i["Lambda_bar"], i["Bu"], i["x0"], i["reverse"])
    dLambda_bar, dBu, dx0 = engine.scan.vjp(residuals, (d["x"], d["x_last"]))
    return {"x": x, "x_last": last, "d.Lambda_bar": dLambda_bar, "d.Bu": dBu, "d.x0": dx0}


def _valid(i: Inputs) -> Array | None:
    if i["lengths"] is None:
        return None
    return np.asarray((np.arange(i["x"].shape[1])[None, :] < i["lengths"][:, None])[:, :, None])


def _batch_norm_arguments(i: Inputs) -> tuple[Any, ...]:
    return (
        i["x"], i["scale"], i["bias"], norm.Running(i["mean"], i["var"]), i["momentum"], i["training"],
        _valid(i),
    )  # fmt: skip


def _batch_norm(engine: Engine, i: Inputs, d: Any) -> Found:
    (y, running), residuals = engine.batch_norm.value(*_batch_norm_arguments(i))
    dx, dscale, dbias = engine.batch_norm.vjp(residuals, d["y"])
    return {"y": y, "mean": running.mean, "var": running.var, "d.x": dx, "d.scale": dscale, "d.bias": dbias}


def _mse(engine: Engine, i: Inputs, d: Any) -> Found:
    value, residuals = loss.mse(i["y"], i["target"], _valid({"x": i["y"], "lengths": i["lengths"]}))
    return {"loss": value, "d.y": loss.mse_vjp(residuals, d["loss"])}


RUNS: dict[str, Run] = {
    "phi1": _phi1,
    "discretize": _discretize,
    "clip_eigs": _clip_eigs,
    "scan": _scan,
    "batch_norm": _batch_norm,
    "mse": _mse,
    "timescale": _pair(discretize.timescale, discretize.timescale_vjp, "log_step", "Delta"),
    "embed": _field("embed", "kernel bias"),
    "linear": _field("linear", "x W bias"),
    "layer_norm": _field("layer_norm", "x scale bias"),
    "gelu_tanh": _field("gelu_tanh", "x"),
    "gelu_erf": _field("gelu_erf", "x"),
    "glu": _field("glu", "h z"),
    "sigmoid": lambda engine, i, d: {"y": activation.sigmoid(i["x"])},
    "dropout": lambda engine, i, d: {"y": dropout.dropout(**i), "d.x": dropout.dropout(d["y"], i["mask"])},
    "pool_mean": _pair(pool.pool_mean, pool.pool_vjp, "x"),
    "pool_last": _pair(pool.pool_last, pool.pool_vjp, "x"),
    "log_softmax": _pair(loss.log_softmax, loss.log_softmax_vjp, "z"),
    "cross_entropy": _pair(loss.cross_entropy, loss.cross_entropy_vjp, "log_probabilities", "loss"),
    "gaussian_nll": _pair(loss.gaussian_nll, loss.gaussian_nll_vjp, "mean var", "loss"),
}

FIELDS = {  # kernel field: the oracle's name of each leaf that has a bound
    "embed": {"y": "y", "d.0": "d.kernel", "d.1": "d.bias"},
    "linear": {"y": "y", "d.0": "d.x", "d.1": "d.W", "d.2": "d.bias"},
    "scan": {"y.0": "x", "y.1": "x_last", "d.0": "d.Lambda_bar", "d.1": "d.Bu", "d.2": "d.x0"},
    "gelu_tanh": {"y": "y", "d": "d.x"},
    "gelu_erf": {"y": "y", "d": "d.x"},
    "glu": {"y": "y", "d.0": "d.h", "d.1": "d.z"},
    "layer_norm": {"y": "y", "d.0": "d.x", "d.1": "d.scale", "d.2": "d.bias"},
    "batch_norm": {
        "y.0": "y",
        "y.1.mean": "mean",
        "y.1.var": "var",
        "d.0": "d.x",
        "d.1": "d.scale",
        "d.2": "d.bias",
    },
}


def bounds_of(stage: str, i: Inputs, d: Any) -> Found:
    """{leaf of the oracle: bound}, all arguments in float64; a leaf that is not there must be exact."""
    if stage not in FIELDS:
        of_stage: Found = limits(stage, i, d)
        return of_stage
    arguments = _batch_norm_arguments(i) if stage == "batch_norm" else tuple(i.values())
    found: Found = BOUNDS[stage](*arguments, (d["x"], d["x_last"]) if stage == "scan" else d["y"])
    return {name: found[path] for path, name in FIELDS[stage].items() if path in found}


class Trial(NamedTuple):
    """A stage of the oracle, its inputs by name, and cotangents of its outputs (None: the operation has no
    vjp)."""

    stage: str
    name: str
    inputs: dict[str, Any]
    cotangent: dict[str, Array] | None


def trials() -> Iterator[Trial]:
    """All of them."""
    for make in (
        _phi1_trials,
        _discretize_trials,
        _timescale_trials,
        _scan_trials,
        _linear_trials,
        _embed_trials,
        _layer_norm_trials,
        _batch_norm_trials,
        _elementwise_trials,
        _pool_trials,
        _losses_trials,
    ):
        yield from make()


class _Draw:
    """Standard normal arrays, a stream per key."""

    def __init__(self, *key: str | int) -> None:
        self.rng = generator("certify", *key)

    def __call__(self, *shape: int) -> Array:
        return np.asarray(self.rng.standard_normal(shape))

    def complex(self, *shape: int) -> Array:
        return np.asarray(self(*shape) + 1j * self(*shape))

    def lengths(self, n: int, longest: int) -> Array:
        return self.rng.integers(1, longest + 1, n)


def _phi1_trials() -> Iterator[Trial]:
    angles = np.exp(1j * np.linspace(-np.pi, np.pi, 7))
    radii = np.array([1e-30, 1e-9, 1e-4, 0.3, 0.99, 1.01, 2.0, 7.0, 30.0])
    near_zeros = np.array([2j * np.pi, -6j * np.pi, -2.0888 + 7.4615j])
    z = np.concatenate(
        [[0], np.outer(radii, angles).ravel(), near_zeros, (near_zeros[:, None] + 1e-3 * angles).ravel()]
    )
    yield Trial("phi1", "plane", {"z": z}, {"y": np.ones_like(z)})


def _discretize_trials() -> Iterator[Trial]:
    for method in ("zoh", "bilinear", "dirac"):
        for shape in ((), (4,), (2, 3, 4)):
            n = _Draw("discretize", method, len(shape))
            Lambda = -np.exp(2 * n(4)) + 10j * n(4)
            Delta = np.exp(n(*shape) * 1.5 - 2)
            d = {
                "Lambda_bar": n.complex(*np.broadcast_shapes((4,), shape)),
                "gain": n.complex(*np.broadcast_shapes((4,), shape)),
            }
            yield Trial(
                "discretize", f"{method}, Δ {shape}", {"Lambda": Lambda, "Delta": Delta, "method": method}, d
            )


def _timescale_trials() -> Iterator[Trial]:
    n = _Draw("timescale")
    for intervals in (None, np.exp(n(2, 3))):
        name = "regular" if intervals is None else "irregular"
        inputs = {"log_step": 2 * n(4) - 3, "rescale": 2.0, "intervals": intervals}
        yield Trial("timescale", name, inputs, {"Delta": n(4) if intervals is None else n(2, 3, 4)})
    yield Trial(
        "clip_eigs", "both sides", {"Lambda_re": np.array([-3.0, -2e-4, -1e-5, 0.0, 0.4])}, {"y": n(5)}
    )


def _scan_trials() -> Iterator[Trial]:
    for L in (1, 2, 9):
        for reverse in (False, True):
            for varying in (False, True):
                n = _Draw("scan", L, reverse, varying)
                shape = (2, L, 3) if varying else (3,)
                inputs = {
                    "Lambda_bar": np.exp(-np.abs(n(*shape)) * 0.2 + 1j * n(*shape)),
                    "Bu": n.complex(2, L, 3),
                    "x0": n.complex(2, 3),
                    "reverse": reverse,
                }
                name = (
                    f"L={L}, {'reverse' if reverse else 'forward'}, {'varying' if varying else 'constant'} Λ̄"
                )
                yield Trial("scan", name, inputs, {"x": n.complex(2, L, 3), "x_last": n.complex(2, 3)})


def _linear_trials() -> Iterator[Trial]:
    for shape, outputs in (((1, 1, 1), 1), ((2, 3, 5), 4), ((2, 9), 3)):
        for biased in (True, False):
            n = _Draw("linear", *shape, biased)
            inputs = {"x": n(*shape), "W": n(shape[-1], outputs), "bias": n(outputs) if biased else None}
            yield Trial(
                "linear",
                f"{shape}→{outputs}{', bias' if biased else ''}",
                inputs,
                {"y": n(*shape[:-1], outputs)},
            )


def _embed_trials() -> Iterator[Trial]:
    n = _Draw("embed")
    tokens = n.rng.integers(0, 4, (2, 7))
    yield Trial("embed", "2×7 tokens", {"tokens": tokens, "kernel": n(4, 3), "bias": n(3)}, {"y": n(2, 7, 3)})


def _layer_norm_trials() -> Iterator[Trial]:
    for H, mean in ((1, 0.0), (2, 3.0), (7, 0.0), (7, 1000.0)):
        n = _Draw("layer_norm", H, int(mean))
        inputs = {"x": n(2, 3, H) + mean, "scale": n(H), "bias": n(H)}
        yield Trial("layer_norm", f"H={H}, mean {mean:g}", inputs, {"y": n(2, 3, H)})


def _batch_norm_trials() -> Iterator[Trial]:
    for N, L, mean in ((1, 1, 0.0), (2, 5, 0.0), (2, 5, 100.0)):
        for how in ("training", "training, masked", "evaluation"):
            n = _Draw("batch_norm", N, L, int(mean), how)
            inputs = {
                "x": n(N, L, 3) + mean, "scale": n(3), "bias": n(3), "mean": n(3),
                "var": n(3) ** 2 + 0.1, "momentum": 0.95, "training": how != "evaluation",
                "lengths": np.array([L, 2, 1][:N]) if "masked" in how else None,
            }  # fmt: skip
            yield Trial("batch_norm", f"{N}×{L}×3, mean {mean:g}, {how}", inputs, {"y": n(N, L, 3)})


def _elementwise_trials() -> Iterator[Trial]:
    n = _Draw("elementwise")
    tails = np.concatenate(
        [-np.logspace(-30, 0.7, 30), [0.0], np.logspace(-30, 2, 30), -np.linspace(0, 8, 33)]
    )
    for stage in ("gelu_tanh", "gelu_erf", "sigmoid"):
        for name, x in (("N(0, 3²)", 3 * n(40)), ("tails and 0", tails)):
            yield Trial(stage, name, {"x": x}, None if stage == "sigmoid" else {"y": n(x.size)})
    z = np.concatenate([6 * n(40), np.linspace(-80, 80, 41)])
    yield Trial("glu", "z to ±80", {"h": n(z.size), "z": z}, {"y": n(z.size)})
    mask = np.where(n(2, 1, 3) > 0, 1 / 0.7, 0.0)
    yield Trial("dropout", "rate 0.3", {"x": n(2, 4, 3), "mask": mask}, {"y": n(2, 4, 3)})


def _pool_trials() -> Iterator[Trial]:
    for stage in ("pool_mean", "pool_last"):
        for padded in (False, True):
            n = _Draw(stage, padded)
            inputs = {"x": n(3, 7, 2), "lengths": n.lengths(3, 7) if padded else None}
            yield Trial(stage, "padded" if padded else "whole", inputs, {"y": n(3, 2)})


def _losses_trials() -> Iterator[Trial]:
    n = _Draw("losses")
    for size in (1.0, 20.0):
        yield Trial("log_softmax", f"logits of size {size:g}", {"z": size * n(3, 5)}, {"y": n(3, 5)})
    targets = n.rng.integers(0, 5, 3)
    one = {"loss": n(1)[0]}
    yield Trial("cross_entropy", "3 of 5", {"log_probabilities": -np.abs(n(3, 5)), "targets": targets}, one)
    for lengths in (None, np.array([2, 4])):
        name = "whole" if lengths is None else "padded"
        yield Trial("mse", name, {"y": n(2, 4, 3), "target": n(2, 4, 3), "lengths": lengths}, one)
    var = np.abs(n(2, 3, 4)) + 1e-3
    var[0] = 1e-9
    yield Trial(
        "gaussian_nll", "some at the floor", {"mean": n(2, 3, 4), "var": var, "target": n(2, 3, 4)}, one
    )
