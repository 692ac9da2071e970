"""S5 in jax as lindermanlab/S5 writes it: `jax.lax.associative_scan` under `jax.vmap`, sequence by sequence.

Plain functions of a flat dict of parameters in our leaf names, in which Lambda, B and C (or C1, C2) are
complex and the running statistics of BatchNorm (``norm.mean``, ``norm.var``) stand among them. Nothing of
s5ref's maths is used. It differs from upstream where upstream is known to lose digits: (eᶻ − 1)/Λ is a series
near 0, and the variance is that of centred values. `s5ref check jax` checks it, `s5ref bench --peers jax`
times it.

Letters: N sequences, L steps, H features, P kept states, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from s5ref.errors import ConfigError
from s5ref.tree import prefixed, subtree

Leaves = Mapping[str, Any]
Masks = tuple[Any, Any]
TERMS = 20  # of φ₁'s series; |z| ≤ 1


class Options(NamedTuple):
    """What the parameters do not show; the names are those of `s5ref.model.config.ModelConfig`."""

    activation: str = "half_glu1"
    prenorm: bool = True
    bn_momentum: float = 0.95
    gelu: str = "tanh"
    bidirectional: bool = False
    discretization: str = "zoh"
    conj_sym: bool = True
    clip_eigs: bool = False
    step_rescale: float = 1.0
    head: str = "classifier"
    pooling: str = "mean"
    scan: str = "associative"  # "sequential": `batched_ssm`


def options_in(named: Mapping[str, Any]) -> Options:
    """The options among named values; the others are left out."""
    return Options(**{name: named[name] for name in Options._fields if name in named})


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


def bilinear(Lambda: Any, Delta: Any) -> tuple[Any, Any]:
    """Λ̄ = (1 + z/2)/(1 − z/2) and Δ/(1 − z/2), z = ΛΔ."""
    z = Lambda * Delta
    inverse = 1 / (1 - z / 2)
    return (1 + z / 2) * inverse, Delta * inverse


def dirac(Lambda: Any, Delta: Any) -> tuple[Any, Any]:
    """Λ̄ = eᶻ and 1."""
    Lambda_bar = jnp.exp(Lambda * Delta)
    return Lambda_bar, jnp.ones_like(Lambda_bar)


DISCRETIZATIONS = {"zoh": zoh, "bilinear": bilinear, "dirac": dirac}


def discretize(Lambda: Any, Delta: Any, method: str) -> tuple[Any, Any]:
    """(Λ̄, gain) by one of `DISCRETIZATIONS`; ConfigError for a rule that upstream has not."""
    if method not in DISCRETIZATIONS:
        raise ConfigError(
            f"jax: upstream discretises by {', '.join(DISCRETIZATIONS)}; got {method!r}.",
            "Use a model of one of these, or an engine of s5ref.",
        )
    return DISCRETIZATIONS[method](Lambda, Delta)


@partial(jax.jit, static_argnames="reverse")  # compiled also where the caller is not
def scan_one(Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> tuple[Any, Any]:
    """One sequence: Λ̄ (P,) or (L, P), Bu (L, P), x0 (P,) or None → x (L, P) and the last state."""
    Lambdas = jnp.broadcast_to(Lambda_bar, Bu.shape)
    first, last = (-1, 0) if reverse else (0, -1)
    if x0 is not None:
        Bu = Bu.at[first].add(Lambdas[first] * x0)
    _, x = jax.lax.associative_scan(_combine, (Lambdas, Bu), reverse=reverse)
    return x, x[last]


def _combine(i: tuple[Any, Any], j: tuple[Any, Any]) -> tuple[Any, Any]:
    return j[0] * i[0], j[0] * i[1] + j[1]


def ssm(params: Leaves, u: Any, options: Options, x0: Any = None, intervals: Any = None) -> Any:
    """y (N, L, H) from u (N, L, H), x0 (N, P) and intervals (N, L): upstream's apply_ssm under `jax.vmap`.

    With ``options.scan = "sequential"`` it is `batched_ssm`, for regular sampling from state zero.
    """
    if options.scan == "sequential":
        return batched_ssm(params, u, options)
    return ssm_and_state(params, u, options, x0, intervals)[0]


def ssm_and_state(
    params: Leaves, u: Any, options: Options, x0: Any = None, intervals: Any = None
) -> tuple[Any, Any]:
    """y as of `ssm`, and the forward state after the last step (N, P)."""
    y, last = jax.vmap(partial(_ssm_of_one, params, options))(u, x0, intervals)
    return y, last


def _ssm_of_one(params: Leaves, options: Options, u: Any, x0: Any, intervals: Any) -> tuple[Any, Any]:
    Lambda, B, D = params["Lambda"], params["B"], params["D"]
    if options.clip_eigs:
        Lambda = jnp.minimum(Lambda.real, -1e-4) + 1j * Lambda.imag
    C = jnp.concatenate([params["C1"], params["C2"]], 1) if "C1" in params else params["C"]
    Delta = options.step_rescale * jnp.exp(params["log_step"])
    if intervals is None:
        Lambda_bar, gain = discretize(Lambda, Delta, options.discretization)
        B_bar = gain[:, None] * B
        elements = [(Lambda_bar, jax.vmap(lambda v: B_bar @ v)(u))] * 2
    else:  # the second direction meets the interval after a step before the step
        Bu, elements = jax.vmap(lambda v: B @ v)(u), []
        for gaps in (intervals, jnp.concatenate([intervals[1:], jnp.ones_like(intervals[:1])])):
            Lambda_bar, gain = discretize(Lambda, Delta * gaps[:, None], options.discretization)
            elements.append((Lambda_bar, gain * Bu))
    directions = [False, True] if options.bidirectional else [False]
    states = [scan_one(*elements[reverse], x0, reverse)[0] for reverse in directions]
    x = states[0] if len(states) == 1 else jnp.concatenate(states, axis=-1)
    factor = 2 if options.conj_sym else 1
    return jax.vmap(lambda v: factor * (C @ v).real)(x) + jax.vmap(lambda v: D * v)(u), states[0][-1]


def batched_ssm(params: Leaves, u: Any, options: Options) -> Any:
    """`ssm` another way: every product is one real product over all steps of all sequences, and the
    recurrence is `jax.lax.scan`, a loop over time whose body takes all sequences.
    """
    Lambda, (N, L, H) = params["Lambda"], u.shape
    if options.clip_eigs:
        Lambda = jnp.minimum(Lambda.real, -1e-4) + 1j * Lambda.imag
    Delta = options.step_rescale * jnp.exp(params["log_step"])
    Lambda_bar, gain = discretize(Lambda, Delta, options.discretization)
    B_bar, rows = (gain[:, None] * params["B"]).T, u.swapaxes(0, 1).reshape(L * N, H)
    Bu = (rows @ B_bar.real + 1j * (rows @ B_bar.imag)).reshape(L, N, -1)

    def advance(x: Any, Bu_k: Any) -> tuple[Any, Any]:
        x = Lambda_bar * x + Bu_k
        return x, x

    C = jnp.concatenate([params["C1"], params["C2"]], 1) if "C1" in params else params["C"]
    zero, directions = jnp.zeros_like(Bu[0]), [False, True] if options.bidirectional else [False]
    states = [jax.lax.scan(advance, zero, Bu, reverse=reverse)[1] for reverse in directions]
    x = (states[0] if len(states) == 1 else jnp.concatenate(states, axis=-1)).reshape(L * N, -1)
    y = (2 if options.conj_sym else 1) * (x.real @ C.real.T - x.imag @ C.imag.T) + params["D"] * rows
    return y.reshape(L, N, H).swapaxes(0, 1)


def step(params: Leaves, state: Any, u_k: Any, options: Options) -> tuple[Any, Any]:
    """One time step: state (N, P), u (N, H) → the next state, y (N, H)."""
    Delta = options.step_rescale * jnp.exp(params["log_step"])
    Lambda_bar, gain = discretize(params["Lambda"], Delta, options.discretization)
    state = Lambda_bar * state + gain * (u_k @ params["B"].T)
    return state, (2 if options.conj_sym else 1) * (state @ params["C"].T).real + params["D"] * u_k


def layer(
    params: Leaves, x: Any, options: Options, train: bool = False, masks: Masks = (None, None),
    intervals: Any = None,
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """y (N, L, H) and the new running statistics; masks: of dropout after GELU and after the gate."""
    statistics: dict[str, Any] = {}

    def norm(x: Any) -> Any:
        scale, bias = params["norm.scale"], params["norm.bias"]
        if "norm.mean" not in params:
            return layer_norm(x, scale, bias)
        mean, var = params["norm.mean"], params["norm.var"]
        statistics.update({"norm.mean": mean, "norm.var": var})
        if train:
            running, (mean, var) = (mean, var), (jnp.mean(x, (0, 1)), jnp.var(x, (0, 1)))
            for name, old, new in zip(statistics, running, (mean, var), strict=True):
                statistics[name] = options.bn_momentum * old + (1 - options.bn_momentum) * new
        return scale * (x - mean) / jnp.sqrt(var + 1e-5) + bias

    y = ssm(subtree(params, "seq"), norm(x) if options.prenorm else x, options, None, intervals)
    y = x + _mix(params, y, masks, options)
    return (y if options.prenorm else norm(y)), statistics


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return scale * centred / jnp.sqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-6) + bias


def dense(params: Leaves, x: Any) -> Any:
    return x @ params["kernel"] + params["bias"]


def _mix(params: Leaves, y: Any, masks: Masks, options: Options) -> Any:
    """GELU, gate, dropout."""

    def drop(x: Any, mask: Any) -> Any:
        return x if mask is None else x * mask

    g = drop(_gelu(y, options), masks[0])
    if options.activation == "gelu":
        return g
    gate = jax.nn.sigmoid(dense(subtree(params, "out2"), g))
    if options.activation == "full_glu":
        return drop(dense(subtree(params, "out1"), g) * gate, masks[1])
    return drop((g if options.activation == "half_glu1" else y) * gate, masks[1])


def _gelu(x: Any, options: Options) -> Any:
    return jax.nn.gelu(x, approximate=options.gelu == "tanh")


def model(
    params: Leaves, x: Any, options: Options, train: bool = False, masks: list[Masks] | None = None,
    lengths: Any = None, intervals: Any = None,
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Log-probabilities (N, K), or values (N, L, K) of regression, (N, K) of pooled_regression, and the new
    running statistics.

    x: tokens (N, L) or reals (N, L, in_dim), retrieval two documents (N, 2, …); masks: a pair for each layer.
    """
    encoder, decoder = subtree(params, "encoder"), subtree(params, "decoder")
    if options.head == "retrieval":  # all first documents, then all second ones
        x = jnp.concatenate([x[:, 0], x[:, 1]])
        lengths = None if lengths is None else jnp.concatenate([lengths[:, 0], lengths[:, 1]])
    tokens = jnp.issubdtype(x.dtype, jnp.integer)
    x = encoder["kernel"][x] + encoder["bias"] if tokens else dense(encoder, x)
    layers = {name.split(".")[0] for name in params if name.startswith("layers_")}
    statistics: dict[str, Any] = {}
    masks = masks or [(None, None)] * len(layers)
    for i, pair in zip(range(len(layers)), masks, strict=True):
        x, new = layer(subtree(params, f"layers_{i}"), x, options, train, pair, intervals)
        statistics |= prefixed(f"layers_{i}", new)
    if options.head == "regression":
        return dense(decoder, x), statistics
    pooled = _pooled(x, lengths, options.pooling)
    if options.head == "pooled_regression":
        return dense(decoder, pooled), statistics
    if options.head == "retrieval":
        a, b = jnp.split(pooled, 2)
        h = dense(subtree(decoder, "layer1"), jnp.concatenate([a, b, a - b, a * b], axis=1))
        pooled, decoder = _gelu(h, options), subtree(decoder, "layer2")
    return jax.nn.log_softmax(dense(decoder, pooled)), statistics


def _pooled(x: Any, lengths: Any, pooling: str) -> Any:
    """Over the steps of each sequence: the mean, the last, the largest, or mean + largest."""
    if pooling == "mean+max":
        return _pooled(x, lengths, "mean") + _pooled(x, lengths, "max")
    steps, ends = jnp.arange(x.shape[1])[None, :, None], jnp.full(len(x), x.shape[1])
    ends = (ends if lengths is None else lengths)[:, None, None]
    inside = steps == ends - 1 if pooling == "last" else steps < ends
    if pooling == "max":  # the first of equal ones has the cotangent; jnp.max shares it among them
        at = jnp.argmax(jnp.where(inside, x, -jnp.inf), axis=1, keepdims=True)
        return jnp.take_along_axis(x, at, axis=1)[:, 0]
    total = jnp.sum(jnp.where(inside, x, 0), axis=1)
    return total / ends[:, 0].astype(x.dtype) if pooling == "mean" else total
