"""Makers of the elementary operations that need more than their arguments in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from op import Args, H, K, L, N, Op, P, complex_normal, normal, op

from s5ref import Engine
from s5ref.engine import Pair
from s5ref.nn import dropout as dropouts
from s5ref.nn import loss
from s5ref.nn import pool as pools
from s5ref.nn.norm import Running
from s5ref.nn.windows import Window, pool_windows, pool_windows_vjp


def _decaying(rng: np.random.Generator, *shape: int) -> Any:
    return -rng.uniform(0.1, 1, shape) + 3j * rng.standard_normal(shape)


def _inside(rng: np.random.Generator, *shape: int) -> Any:
    return np.exp(_decaying(rng, *shape) * 0.3)


def _lengths() -> Any:
    return np.array([L, 4, 1])


def lengths_mask() -> Any:
    return (np.arange(L) < _lengths()[:, None])[:, :, None]


def discretization(name: str, pair: Pair, shape: tuple[int, ...]) -> Op:
    return op(
        f"{name}, Δ {shape}",
        lambda k: pair,
        lambda rng: {"Lambda": _decaying(rng, P), "Delta": np.asarray(rng.uniform(0.05, 0.8, shape))},
        "Lambda Delta",
    )


def scan(varying: bool, start: bool, reverse: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        shape = (N, L, P) if varying else (P,)
        x0 = {"x0": complex_normal(rng, N, P)} if start else {}
        return {"Lambda_bar": _inside(rng, *shape), "Bu": complex_normal(rng, N, L, P), **x0}

    def vjp(engine: Engine, residuals: Any, dy: Any) -> Args:
        dLambda_bar, dBu, dx0 = engine.scan.vjp(residuals, dy)
        return {"Lambda_bar": dLambda_bar, "Bu": dBu, **({"x0": dx0} if start else {})}

    return Op(
        "scan, " + ("varying" if varying else "constant") + ", x0" * start + ", reverse" * reverse,
        make,
        lambda k, a: k.scan.value(a["Lambda_bar"], a["Bu"], a.get("x0"), reverse),
        vjp,
        ("Bu", "x0") if start else ("Bu",),
    )


def batch_norm(training: bool, masked: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        return {"x": normal(rng, N, L, H) + 1, "scale": normal(rng, H), "bias": normal(rng, H)}

    def value(k: Engine, a: Args) -> Any:
        running = Running(np.full_like(a["scale"], 0.25), np.full_like(a["scale"], 2))
        valid = np.asarray(lengths_mask(), like=a["x"]) if masked else None
        (y, _), residuals = k.batch_norm.value(*a.values(), running, 0.75, training, valid)
        return y, residuals

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        return dict(zip(("x", "scale", "bias"), k.batch_norm.vjp(residuals, dy), strict=True))

    name = f"batch_norm, {'training' if training else 'evaluation'}{', masked' if masked else ''}"
    return Op(name, make, value, vjp, ("scale", "bias") if training else ("x", "bias"))


def conv_pool(images: tuple[int, ...], size: tuple[int, int], outputs: int, stride: int, padding: int) -> Op:
    def make(rng: np.random.Generator) -> Args:
        kernel = normal(rng, *size, images[3], outputs)
        return {"x": normal(rng, *images), "kernel": kernel, "bias": normal(rng, outputs)}

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        return dict(zip(("x", "kernel", "bias"), k.conv_pool.vjp(residuals, dy), strict=True))

    return Op(
        f"conv_pool, {images} by {size}, stride {stride}",
        make,
        lambda k, a: k.conv_pool.value(*a.values(), stride, padding),
        vjp,
    )


def pool(name: str, fn: Any, ragged: bool) -> Op:
    def value(k: Engine, a: Args) -> Any:
        return fn(a["x"], np.asarray(_lengths(), like=a["x"]) if ragged else None)

    return Op(
        f"{name}{', ragged' if ragged else ''}",
        lambda rng: {"x": normal(rng, N, L, H)},
        value,
        lambda k, residuals, dy: {"x": pools.pool_vjp(residuals, dy)},
        () if "max" in name else ("x",),
    )


def windows(mode: str, masked: bool) -> Op:
    def value(k: Engine, a: Args) -> Any:
        valid = np.asarray(lengths_mask(), like=a["x"]) if masked else None
        return pool_windows(a["x"], Window(2, mode), valid)

    return Op(
        f"windows, {mode}{', masked' if masked else ''}",
        lambda rng: {"x": normal(rng, N, L, H)},
        value,
        lambda k, residuals, dy: {"x": pool_windows_vjp(residuals, dy)},
        ("x",),
    )


def mse(masked: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        return {"y": normal(rng, N, L, K), "target": normal(rng, N, L, K)}

    def value(k: Engine, a: Args) -> Any:
        return loss.mse(a["y"], a["target"], np.asarray(lengths_mask(), like=a["y"]) if masked else None)

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        return {"y": loss.mse_vjp(residuals, dy)}

    return Op(f"mse{', masked' if masked else ''}", make, value, vjp)


def padded_gaussian_nll() -> Op:
    def make(rng: np.random.Generator) -> Args:
        var = rng.uniform(0.5, 2, (N, L, K))
        return {"mean": normal(rng, N, L, K), "var": var, "target": normal(rng, N, L, K)}

    def value(k: Engine, a: Args) -> Any:
        valid = np.asarray(lengths_mask(), like=a["mean"])
        return loss.gaussian_nll(a["mean"], a["var"], a["target"], valid)

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        return dict(zip(("mean", "var"), loss.gaussian_nll_vjp(residuals, dy), strict=True))

    return Op("gaussian_nll, masked", make, value, vjp)


def dropout() -> Op:
    def value(k: Engine, a: Args) -> Any:
        mask = dropouts.dropout_mask((0, 1), N, H, 0.4, a["x"])
        return dropouts.dropout(a["x"], mask), mask

    return Op(
        "dropout",
        lambda rng: {"x": normal(rng, N, L, H)},
        value,
        lambda k, mask, dy: {"x": dropouts.dropout(dy, mask)},
        ("x",),
    )


def cross_entropy() -> Op:
    def value(k: Engine, a: Args) -> Any:
        return loss.cross_entropy(
            a["log_probabilities"], np.asarray(np.array([2, 0, 1]), like=a["log_probabilities"])
        )

    return Op(
        "cross_entropy",
        lambda rng: {"log_probabilities": normal(rng, N, K)},
        value,
        lambda k, residuals, dy: {"log_probabilities": loss.cross_entropy_vjp(residuals, dy)},
        ("log_probabilities",),
    )


def embed() -> Op:
    tokens = np.array([[0, 3, 1, 1], [4, 4, 0, 2]])

    def value(k: Engine, a: Args) -> Any:
        return k.embed.value(np.asarray(tokens, like=a["kernel"]), a["kernel"], a["bias"])

    return Op(
        "embed",
        lambda rng: {"kernel": normal(rng, 5, H), "bias": normal(rng, H)},
        value,
        lambda k, residuals, dy: dict(zip(("kernel", "bias"), k.embed.vjp(residuals, dy), strict=True)),
        ("kernel", "bias"),
    )
