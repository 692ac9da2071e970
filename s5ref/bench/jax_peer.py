"""The peers ``jax`` and ``jax-scan``: `s5ref.interop.jax_model`, compiled by XLA. The first is S5 as
lindermanlab/S5 writes it; the second has batched products and `jax.lax.scan` in place of the associative
scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5ref.arrays import Array, to_complex
from s5ref.bench.benchmark import KEY, Benchmark
from s5ref.bench.case import Case
from s5ref.engine import Call
from s5ref.engines import NUMPY
from s5ref.interop.jax_model import model, options_in
from s5ref.model.heads import HEADS
from s5ref.model.model import Model
from s5ref.model.stack import draw_masks
from s5ref.optim.adamw import B1, B2, EPS, Group, group_table
from s5ref.tree import prefixed

Leaves = Mapping[str, Any]
finished: Any = jax.block_until_ready


def build(case: Case, what: str, scan: str = "associative") -> Benchmark:
    """``what``: train_step, forward. Platform and precision of products are those of the environment."""
    benchmark = {"train_step": _train_step, "forward": _forward}[what](case, scan)
    return benchmark if jax.default_backend() == "cpu" else benchmark._replace(bytes=device_bytes)


def build_scan(case: Case, what: str) -> Benchmark:
    """`build` with the recurrence as a loop over time."""
    return build(case, what, "sequential")


def device_bytes() -> int | None:
    """The peak of what XLA had in use of the device's memory, compilation included."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("peak_bytes_in_use")


def network(case: Case, scan: str) -> Callable[..., Any]:
    """f(params, statistics, inputs, masks, train) → (output, new statistics), masks one pair a layer."""
    options = options_in(vars(case.model))._replace(scan=scan)
    return lambda params, statistics, inputs, masks, train: model(
        complex_leaves(params) | statistics, inputs, options, train, masks
    )


def complex_leaves(params: Leaves) -> dict[str, Any]:
    """The leaves, complex where S5 is, from the real ones that are trained."""
    leaves = {}
    for name, value in params.items():
        layer, _, leaf = name.rpartition(".")
        if leaf == "Lambda_re":
            leaves[f"{layer}.Lambda"] = value + 1j * params[f"{layer}.Lambda_im"]
        elif leaf in ("B", "C", "C1", "C2"):
            leaves[name] = to_complex(value)
        elif leaf != "Lambda_im":
            leaves[name] = value
    return leaves


def loss_of(case: Case, scan: str) -> Callable[..., Any]:
    """(params, statistics, inputs, targets, masks) → (loss, (output, new statistics))."""
    apply = network(case, scan)

    def loss(params: Leaves, statistics: Leaves, inputs: Any, targets: Any, masks: Any) -> Any:
        output, after = apply(params, statistics, inputs, masks, True)
        if not HEADS[case.model.head].classifies:
            return jnp.mean((output - targets) ** 2), (output, after)
        return -jnp.mean(jnp.take_along_axis(output, targets[:, None], axis=1)), (output, after)

    return loss


def adamw(
    params: Leaves, grads: Leaves, first: Leaves, second: Leaves, count: Any,
    groups: Mapping[str, Group], rates: Mapping[str, float],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:  # fmt: skip
    """`s5ref.optim.adamw.adamw`, in jax's operations."""
    new, ms, vs = {}, {}, {}
    for name, p in params.items():
        group, g = groups[name], grads[name]
        ms[name] = B1 * first[name] + (1 - B1) * g
        vs[name] = B2 * second[name] + (1 - B2) * g * g
        step = ms[name] / (1 - B1**count) / (jnp.sqrt(vs[name] / (1 - B2**count)) + EPS)
        new[name] = p - rates[group.rate] * (step + group.weight_decay * p)
    return new, ms, vs


def _train_step(case: Case, scan: str) -> Benchmark:
    """One jitted function: masks, value_and_grad, AdamW; parameters, moments and statistics are donated."""
    loss, optim, rate = loss_of(case, scan), case.config.optim, case.model.dropout
    params, statistics = Model(case.model).init(0, case.config.train.dtype)
    groups, rates = group_table(params, optim), {"ssm_lr": optim.ssm_lr, "lr": optim.lr}
    batch, s = case.data(), case.sizes

    def masks(key: Any) -> list[tuple[Any, Any]]:
        if rate == 0:
            return [(None, None)] * s.layers
        drawn = jax.random.bernoulli(key, 1 - rate, (s.layers, 2, s.sequences, 1, s.H)) / (1 - rate)
        return [(pair[0], pair[1]) for pair in drawn]

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, inputs: Any, targets: Any) -> Any:
        params, statistics, first, second, count = state
        drawn = masks(jax.random.fold_in(jax.random.key(0), count))
        grad = jax.value_and_grad(loss, has_aux=True)
        (value, (_, statistics)), grads = grad(params, statistics, inputs, targets, drawn)
        params, first, second = adamw(params, grads, first, second, count + 1.0, groups, rates)
        return (params, statistics, first, second, count + 1), value

    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    state = jax.device_put((params, statistics, zeros, dict(zeros), 0))
    inputs, targets = jax.device_put((batch.inputs, batch.targets))

    def once() -> None:
        nonlocal state
        state, value = step(state, inputs, targets)
        finished((state, value))

    return Benchmark(once, lambda: _gradients(case, scan))


def _gradients(case: Case, scan: str) -> dict[str, Array]:
    params, statistics = Model(case.model).init(0, case.config.train.dtype)
    batch, s = case.data(), case.sizes
    call = Call(NUMPY, training=True, key=KEY)
    drawn = draw_masks(s.layers, s.sequences, s.H, case.model.dropout, call, params["encoder.kernel"])
    grad = jax.jit(jax.value_and_grad(loss_of(case, scan), has_aux=True))
    (_, (output, after)), grads = grad(params, statistics, batch.inputs, batch.targets, drawn)
    values = {"output": output} | prefixed("grad", grads) | prefixed("new", after)
    return {name: np.asarray(value) for name, value in values.items()}


def _forward(case: Case, scan: str) -> Benchmark:
    apply, none = network(case, scan), [(None, None)] * case.model.n_layers
    run = jax.jit(lambda params, statistics, x: apply(params, statistics, x, none, False)[0])
    given = jax.device_put((*Model(case.model).init(0, case.config.train.dtype), case.data().inputs))

    def output() -> Any:
        return finished(run(*given))

    return Benchmark(output, lambda: {"output": np.asarray(output())})
