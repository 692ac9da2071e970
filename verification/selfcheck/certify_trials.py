"""Small inputs and cotangents of every single operation, in float64, keyed by the operation and the name of
the trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator


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
        _phi1,
        _discretize,
        _timescale,
        _scan,
        _linear,
        _embed,
        _layer_norm,
        _batch_norm,
        _elementwise,
        _pool,
        _losses,
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


def _phi1() -> Iterator[Trial]:
    angles = np.exp(1j * np.linspace(-np.pi, np.pi, 7))
    radii = np.array([1e-30, 1e-9, 1e-4, 0.3, 0.99, 1.01, 2.0, 7.0, 30.0])
    near_zeros = np.array([2j * np.pi, -6j * np.pi, -2.0888 + 7.4615j])
    z = np.concatenate(
        [[0], np.outer(radii, angles).ravel(), near_zeros, (near_zeros[:, None] + 1e-3 * angles).ravel()]
    )
    yield Trial("phi1", "plane", {"z": z}, {"y": np.ones_like(z)})


def _discretize() -> Iterator[Trial]:
    for method in ("zoh", "bilinear"):
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


def _timescale() -> Iterator[Trial]:
    n = _Draw("timescale")
    for intervals in (None, np.exp(n(2, 3))):
        name = "regular" if intervals is None else "irregular"
        inputs = {"log_step": 2 * n(4) - 3, "rescale": 2.0, "intervals": intervals}
        yield Trial("timescale", name, inputs, {"Delta": n(4) if intervals is None else n(2, 3, 4)})
    yield Trial(
        "clip_eigs", "both sides", {"Lambda_re": np.array([-3.0, -2e-4, -1e-5, 0.0, 0.4])}, {"y": n(5)}
    )


def _scan() -> Iterator[Trial]:
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


def _linear() -> Iterator[Trial]:
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


def _embed() -> Iterator[Trial]:
    n = _Draw("embed")
    tokens = n.rng.integers(0, 4, (2, 7))
    yield Trial("embed", "2×7 tokens", {"tokens": tokens, "kernel": n(4, 3), "bias": n(3)}, {"y": n(2, 7, 3)})


def _layer_norm() -> Iterator[Trial]:
    for H, mean in ((1, 0.0), (2, 3.0), (7, 0.0), (7, 1000.0)):
        n = _Draw("layer_norm", H, int(mean))
        inputs = {"x": n(2, 3, H) + mean, "scale": n(H), "bias": n(H)}
        yield Trial("layer_norm", f"H={H}, mean {mean:g}", inputs, {"y": n(2, 3, H)})


def _batch_norm() -> Iterator[Trial]:
    for N, L, mean in ((1, 1, 0.0), (2, 5, 0.0), (2, 5, 100.0)):
        for how in ("training", "training, masked", "evaluation"):
            n = _Draw("batch_norm", N, L, int(mean), how)
            inputs = {
                "x": n(N, L, 3) + mean,
                "scale": n(3),
                "bias": n(3),
                "mean": n(3),
                "var": n(3) ** 2 + 0.1,
                "momentum": 0.95,
                "training": how != "evaluation",
                "lengths": np.array([L, 2, 1][:N]) if "masked" in how else None,
            }
            yield Trial("batch_norm", f"{N}×{L}×3, mean {mean:g}, {how}", inputs, {"y": n(N, L, 3)})


def _elementwise() -> Iterator[Trial]:
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


def _pool() -> Iterator[Trial]:
    for stage in ("pool_mean", "pool_last"):
        for padded in (False, True):
            n = _Draw(stage, padded)
            inputs = {"x": n(3, 7, 2), "lengths": n.lengths(3, 7) if padded else None}
            yield Trial(stage, "padded" if padded else "whole", inputs, {"y": n(3, 2)})


def _losses() -> Iterator[Trial]:
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
