"""From features to output: classifier, two-document retrieval, regression per time step.

Each pair is value(params, features, lengths, pool, call) -> (output, saved) and vjp(saved, doutput, call) ->
(dparams, dfeatures). ``params`` are the leaves below ``decoder``. Derivation: docs/derivations/heads.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5ref import random
from s5ref.arrays import Array
from s5ref.call import Call, Pair
from s5ref.nn.activation import GeluTanh
from s5ref.nn.loss import cross_entropy, cross_entropy_vjp, log_softmax, log_softmax_vjp, mse, mse_vjp
from s5ref.nn.pool import Pool, pool_vjp
from s5ref.tree import prefixed

PoolFn = Callable[[Array, Array | None], tuple[Array, Pool]]


class Classifier(NamedTuple):
    """Saved by `classifier`."""

    pool: Pool
    decoder: Any
    log_probabilities: Array


def classifier(
    params: Mapping[str, Array], x: Array, lengths: Array | None, pool: PoolFn, call: Call
) -> tuple[Array, Classifier]:
    """log softmax(pool(x) W + b): (N, L, H) → (N, K)."""
    pooled, saved_pool = pool(x, lengths)
    z, saved_decoder = call.kernels.linear.value(pooled, params["kernel"], params["bias"])
    y, saved_softmax = log_softmax(z)
    return y, Classifier(saved_pool, saved_decoder, saved_softmax)


def classifier_vjp(saved: Classifier, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    dz = log_softmax_vjp(saved.log_probabilities, dy)
    dpooled, dkernel, dbias = call.kernels.linear.vjp(saved.decoder, dz)
    return {"kernel": dkernel, "bias": dbias}, pool_vjp(saved.pool, dpooled)


class Retrieval(NamedTuple):
    """Saved by `retrieval`; first and second are the pooled documents."""

    pool: Pool
    first: Array
    second: Array
    layer1: Any
    gelu: GeluTanh
    layer2: Any
    log_probabilities: Array


def retrieval(
    params: Mapping[str, Array], x: Array, lengths: Array | None, pool: PoolFn, call: Call
) -> tuple[Array, Retrieval]:
    """log softmax(gelu([a, b, a − b, a ∘ b] W₁ + b₁) W₂ + b₂), a and b the pooled documents.

    x (2N, L, H): the N first documents, then the N second ones; lengths (2N,). Returns (N, 2).
    """
    pooled, saved_pool = pool(x, lengths)
    n = pooled.shape[0] // 2
    a, b = pooled[:n], pooled[n:]
    features = np.concatenate([a, b, a - b, a * b], axis=1)
    h, saved1 = call.kernels.linear.value(features, params["layer1.kernel"], params["layer1.bias"])
    g, saved_gelu = call.kernels.gelu_tanh.value(h)
    z, saved2 = call.kernels.linear.value(g, params["layer2.kernel"], params["layer2.bias"])
    y, saved_softmax = log_softmax(z)
    return y, Retrieval(saved_pool, a, b, saved1, saved_gelu, saved2, saved_softmax)


def retrieval_vjp(saved: Retrieval, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    a, b = saved.first, saved.second
    dz = log_softmax_vjp(saved.log_probabilities, dy)
    dg, dkernel2, dbias2 = call.kernels.linear.vjp(saved.layer2, dz)
    dh = call.kernels.gelu_tanh.vjp(saved.gelu, dg)
    dfeatures, dkernel1, dbias1 = call.kernels.linear.vjp(saved.layer1, dh)
    H = a.shape[1]
    d1, d2, ddifference, dproduct = (dfeatures[:, i * H : (i + 1) * H] for i in range(4))
    dpooled = np.concatenate([d1 + ddifference + b * dproduct, d2 - ddifference + a * dproduct], axis=0)
    dparams = {
        "layer1.kernel": dkernel1,
        "layer1.bias": dbias1,
        "layer2.kernel": dkernel2,
        "layer2.bias": dbias2,
    }
    return dparams, pool_vjp(saved.pool, dpooled)


def regression(
    params: Mapping[str, Array], x: Array, lengths: Array | None, pool: PoolFn, call: Call
) -> tuple[Array, Any]:
    """x W + b at every step: (N, L, H) → (N, L, K). Nothing is pooled."""
    y, saved = call.kernels.linear.value(x, params["kernel"], params["bias"])
    return y, saved


def regression_vjp(saved: Any, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    dx, dkernel, dbias = call.kernels.linear.vjp(saved, dy)
    return {"kernel": dkernel, "bias": dbias}, dx


def init_dense(seed: int, name: str, inputs: int, outputs: int) -> dict[str, Array]:
    """kernel (inputs, outputs) lecun_normal, bias 0."""
    rng = random.generator(seed, "init", name, "kernel")
    return {"kernel": random.lecun_normal(rng, (inputs, outputs), fan_in=inputs), "bias": np.zeros(outputs)}


def init_dense_head(seed: int, features: int, outputs: int) -> dict[str, Array]:
    return init_dense(seed, "decoder", features, outputs)


def init_retrieval(seed: int, features: int, outputs: int) -> dict[str, Array]:
    return prefixed("layer1", init_dense(seed, "decoder.layer1", 4 * features, features)) | prefixed(
        "layer2", init_dense(seed, "decoder.layer2", features, outputs)
    )


class Head(NamedTuple):
    """A head: its pair, its loss, its initial parameters, the documents per example, and whether the loss is
    taken at every step (and then needs to know which steps are valid).
    """

    apply: Pair
    loss: Pair
    init: Callable[[int, int, int], dict[str, Array]]
    documents: int
    stepwise: bool


HEADS = {
    "classifier": Head(
        Pair(classifier, classifier_vjp), Pair(cross_entropy, cross_entropy_vjp), init_dense_head, 1, False
    ),
    "retrieval": Head(
        Pair(retrieval, retrieval_vjp), Pair(cross_entropy, cross_entropy_vjp), init_retrieval, 2, False
    ),
    "regression": Head(Pair(regression, regression_vjp), Pair(mse, mse_vjp), init_dense_head, 1, True),
}
