"""The built-in target ``jax``: S5 on `jax.lax.associative_scan`, in the layout of lindermanlab/S5.

One sequence at a time under `jax.vmap`, parameters in upstream's leaf names, complex where they are complex.
It differs from upstream where upstream is known to lose digits: (eᶻ − 1)/Λ is a series near 0, and the
variance is that of centred values.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, ClassVar

# Compiling is what takes time at these sizes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import jax.numpy as jnp

Leaves = dict[str, Any]
TERMS = 20  # of φ₁'s series; |z| ≤ 1


def zoh(Lambda: Any, Delta: Any) -> tuple[Any, Any]:
    """Λ̄ = eᶻ and (eᶻ − 1)/Λ, z = ΛΔ; for |z| ≤ 1 as Δ φ₁(z) by its series, where the difference would cancel.

    Neither branch meets the other's arguments, so that both can be differentiated.
    """
    z = Lambda * Delta
    near = jnp.abs(z) <= 1
    small, total = jnp.where(near, z, 0), jnp.ones_like(z)
    for k in range(TERMS, 1, -1):
        total = 1 + small / k * total
    Lambda_bar = jnp.exp(z)
    return Lambda_bar, jnp.where(near, Delta * total, (Lambda_bar - 1) / jnp.where(near, 1, Lambda))


def discretize(Lambda: Any, Delta: Any, method: str) -> tuple[Any, Any]:
    """(Λ̄, gain) by zero-order hold or bilinear."""
    if method == "zoh":
        return zoh(Lambda, Delta)
    z = Lambda * Delta
    inverse = 1 / (1 - z / 2)
    return (1 + z / 2) * inverse, Delta * inverse


def _combine(i: tuple[Any, Any], j: tuple[Any, Any]) -> tuple[Any, Any]:
    return j[0] * i[0], j[0] * i[1] + j[1]


def scan_one(Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> tuple[Any, Any]:
    """One sequence: Λ̄ (P,) or (L, P), Bu (L, P), x0 (P,) or None → x (L, P) and the last state."""
    Lambdas = jnp.broadcast_to(Lambda_bar, Bu.shape)
    first, last = (-1, 0) if reverse else (0, -1)
    if x0 is not None:
        Bu = Bu.at[first].add(Lambdas[first] * x0)
    _, x = jax.lax.associative_scan(_combine, (Lambdas, Bu), reverse=reverse)
    return x, x[last]


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return scale * centred / jnp.sqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-6) + bias


def below(params: Leaves, prefix: str) -> Leaves:
    return {name[len(prefix) + 1 :]: x for name, x in params.items() if name.startswith(f"{prefix}.")}


def dense(params: Leaves, x: Any) -> Any:
    return x @ params["kernel"] + params["bias"]


compiled = partial(jax.jit, static_argnums=(0, 4))  # its shapes recur in all stages; the rest is not worth it


class S5Jax:
    """The stages for the kit; N sequences by vmap."""

    framework = "jax"
    options: ClassVar = {"model": {"padding": "upstream"}}

    def discretize(self, Lambda: Any, Delta: Any, method: str = "zoh") -> tuple[Any, Any]:
        return discretize(Lambda, Delta, method)

    @compiled
    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any = None, reverse: bool = False) -> tuple[Any, Any]:
        axes = (0 if jnp.ndim(Lambda_bar) == 3 else None, 0, None if x0 is None else 0)
        x, last = jax.vmap(lambda a, b, s: scan_one(a, b, s, reverse), axes)(Lambda_bar, Bu, x0)
        return x, last

    def ssm(
        self, params: Leaves, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        intervals: Any = None, discretization: str = "zoh", conj_sym: bool = True, clip_eigs: bool = False,
    ) -> Any:  # fmt: skip
        Lambda, B, D = params["Lambda"], params["B"], params["D"]
        if clip_eigs:
            Lambda = jnp.minimum(Lambda.real, -1e-4) + 1j * Lambda.imag
        Cs = [params["C1"], params["C2"]] if "C1" in params else jnp.split(params["C"], 1 + bidirectional, 1)
        step = step_rescale * jnp.exp(params["log_step"])
        gaps = [None, None]
        if intervals is not None:
            after = jnp.concatenate([intervals[:, 1:], jnp.ones_like(intervals[:, :1])], axis=1)
            gaps = [intervals, after]
        y = D * u
        for C, gap, reverse in zip(Cs, gaps, (False, True), strict=False):
            Delta = step if gap is None else step * gap[:, :, None]
            Lambda_bar, gain = discretize(Lambda, Delta, discretization)
            x, _ = self.scan(Lambda_bar, gain * (u @ B.T), x0, reverse)
            y = y + (2 if conj_sym else 1) * (x @ C.T).real
        return y

    def step(
        self, params: Leaves, state: Any, u_k: Any, step_rescale: float = 1.0, discretization: str = "zoh",
        conj_sym: bool = True,
    ) -> tuple[Any, Any]:  # fmt: skip
        step = step_rescale * jnp.exp(params["log_step"])
        Lambda_bar, gain = discretize(params["Lambda"], step, discretization)
        state = Lambda_bar * state + gain * (u_k @ params["B"].T)
        return state, (2 if conj_sym else 1) * (state @ params["C"].T).real + params["D"] * u_k

    def layer(
        self, params: Leaves, x: Any, train: bool = False, masks: Any = None, intervals: Any = None,
        activation: str = "half_glu1", prenorm: bool = True, bn_momentum: float = 0.95,
        gelu: str = "tanh", bidirectional: bool = False, step_rescale: float = 1.0, **further: Any,
    ) -> tuple[Any, Leaves]:  # fmt: skip
        """``further``: options of the SSM, and words that the parameters themselves show."""
        ssm = {name: further[name] for name in ("discretization", "conj_sym", "clip_eigs") if name in further}
        statistics: Leaves = {}

        def norm(x: Any) -> Any:
            scale, bias = params["norm.scale"], params["norm.bias"]
            if "norm.mean" not in params:
                return layer_norm(x, scale, bias)
            mean, var = params["norm.mean"], params["norm.var"]
            statistics.update({"norm.mean": mean, "norm.var": var})
            if train:
                running, (mean, var) = (mean, var), (jnp.mean(x, (0, 1)), jnp.var(x, (0, 1)))
                for name, old, new in zip(statistics, running, (mean, var), strict=True):
                    statistics[name] = bn_momentum * old + (1 - bn_momentum) * new
            return scale * (x - mean) / jnp.sqrt(var + 1e-5) + bias

        y = norm(x) if prenorm else x
        y = self.ssm(below(params, "seq"), y, None, bidirectional, step_rescale, intervals, **ssm)
        y = x + self.mix(params, y, masks or (None, None), activation, gelu)
        return (y if prenorm else norm(y)), statistics

    def mix(self, params: Leaves, y: Any, masks: Any, activation: str, gelu: str) -> Any:
        def drop(x: Any, mask: Any) -> Any:
            return x if mask is None else x * mask

        g = drop(self.gelu(y, gelu == "tanh"), masks[0])
        if activation == "gelu":
            return g
        gate = jax.nn.sigmoid(dense(below(params, "out2"), g))
        value = {"half_glu1": lambda: g, "half_glu2": lambda: y}.get(
            activation, lambda: dense(below(params, "out1"), g)
        )()
        return drop(value * gate, masks[1])

    def gelu(self, x: Any, tanh: bool = True) -> Any:
        return jax.nn.gelu(x, approximate=tanh)

    def model(
        self, params: Leaves, x: Any, lengths: Any = None, intervals: Any = None, pooling: str = "mean",
        padding: str = "upstream", head: str = "classifier", **options: Any,
    ) -> Any:  # fmt: skip
        encoder, decoder = below(params, "encoder"), below(params, "decoder")
        if head == "retrieval":  # all first documents, then all second ones
            x = jnp.concatenate([x[:, 0], x[:, 1]])
            lengths = None if lengths is None else jnp.concatenate([lengths[:, 0], lengths[:, 1]])
        x = encoder["kernel"][x] + encoder["bias"] if x.ndim == 2 else dense(encoder, x)
        layers = {name.split(".")[0] for name in params if name.startswith("layers_")}
        for name in sorted(layers, key=lambda name: int(name.removeprefix("layers_"))):
            x, _ = self.layer(below(params, name), x, intervals=intervals, **options)
        if head == "regression":
            return dense(decoder, x)
        ends = jnp.full(len(x), x.shape[1]) if lengths is None else lengths
        steps = jnp.arange(x.shape[1])[None, :]
        inside = steps < ends[:, None] if pooling == "mean" else steps == ends[:, None] - 1
        pooled = jnp.sum(jnp.where(inside[:, :, None], x, 0), axis=1)
        if pooling == "mean":
            pooled = pooled / ends[:, None].astype(x.dtype)
        if head == "retrieval":
            a, b = jnp.split(pooled, 2)
            h = dense(below(decoder, "layer1"), jnp.concatenate([a, b, a - b, a * b], axis=1))
            return jax.nn.log_softmax(dense(below(decoder, "layer2"), self.gelu(h)))
        return jax.nn.log_softmax(dense(decoder, pooled))
