"""From features to output: classifier, two-document retrieval, regression per time step, with or without a
variance, and per sequence.

Each pair is value(params, features, where, pool, call) -> (output, saved) and vjp(saved, doutput, call) ->
(dparams, dfeatures). ``params`` are the leaves below ``decoder``. Derivation: docs/derivations/heads.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from s5ref import random
from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Pair
from s5ref.nn.activation import (
    ExpLinearResiduals,
    GeluTanhResiduals,
    TanhResiduals,
    exp_linear,
    exp_linear_vjp,
    tanh,
    tanh_vjp,
)
from s5ref.nn.loss import (
    GaussianNLLResiduals,
    cross_entropy,
    cross_entropy_vjp,
    gaussian_nll,
    gaussian_nll_vjp,
    log_softmax,
    log_softmax_vjp,
    mse,
    mse_vjp,
)
from s5ref.nn.pool import PoolResiduals, Where, pool_vjp
from s5ref.tree import prefixed, subtree

PoolFn = Callable[[Array, Where], tuple[Array, PoolResiduals]]


class PooledRegressionResiduals(NamedTuple):
    """Residuals of `pooled_regression`."""

    pool: PoolResiduals
    decoder: Any


def pooled_regression(
    params: Leaves, x: Array, where: Where, pool: PoolFn, call: Call
) -> tuple[Array, PooledRegressionResiduals]:
    """pool(x) W + b: (N, L, H) → (N, K)."""
    pooled, pool_residuals = pool(x, where)
    y, decoder_residuals = call.engine.linear.value(pooled, params["kernel"], params["bias"])
    return y, PooledRegressionResiduals(pool_residuals, decoder_residuals)


def pooled_regression_vjp(
    residuals: PooledRegressionResiduals, dy: Array, call: Call
) -> tuple[dict[str, Array], Array]:
    dpooled, dkernel, dbias = call.engine.linear.vjp(residuals.decoder, dy)
    return {"kernel": dkernel, "bias": dbias}, pool_vjp(residuals.pool, dpooled)


class ClassifierResiduals(NamedTuple):
    """Residuals of `classifier`."""

    logits: PooledRegressionResiduals
    log_probabilities: Array


def classifier(
    params: Leaves, x: Array, where: Where, pool: PoolFn, call: Call
) -> tuple[Array, ClassifierResiduals]:
    """log softmax(pool(x) W + b): (N, L, H) → (N, K)."""
    z, residuals = pooled_regression(params, x, where, pool, call)
    y, log_probabilities = log_softmax(z)
    return y, ClassifierResiduals(residuals, log_probabilities)


def classifier_vjp(residuals: ClassifierResiduals, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    dz = log_softmax_vjp(residuals.log_probabilities, dy)
    return pooled_regression_vjp(residuals.logits, dz, call)


class RetrievalResiduals(NamedTuple):
    """Residuals of `retrieval`; first and second are the pooled documents."""

    pool: PoolResiduals
    first: Array
    second: Array
    layer1: Any
    gelu: GeluTanhResiduals
    layer2: Any
    log_probabilities: Array


def retrieval(
    params: Leaves, x: Array, where: Where, pool: PoolFn, call: Call
) -> tuple[Array, RetrievalResiduals]:
    """log softmax(gelu([a, b, a − b, a ∘ b] W₁ + b₁) W₂ + b₂), a and b the pooled documents.

    x (2N, L, H): the N first documents, then the N second ones. Returns (N, 2).
    """
    pooled, pool_residuals = pool(x, where)
    n = pooled.shape[0] // 2
    a, b = pooled[:n], pooled[n:]
    features = np.concatenate([a, b, a - b, a * b], axis=1)
    h, residuals1 = call.engine.linear.value(features, params["layer1.kernel"], params["layer1.bias"])
    g, gelu_residuals = call.engine.gelu_tanh.value(h)
    z, residuals2 = call.engine.linear.value(g, params["layer2.kernel"], params["layer2.bias"])
    y, log_probabilities = log_softmax(z)
    return y, RetrievalResiduals(
        pool_residuals, a, b, residuals1, gelu_residuals, residuals2, log_probabilities
    )


def retrieval_vjp(residuals: RetrievalResiduals, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    a, b = residuals.first, residuals.second
    dz = log_softmax_vjp(residuals.log_probabilities, dy)
    dg, dkernel2, dbias2 = call.engine.linear.vjp(residuals.layer2, dz)
    dh = call.engine.gelu_tanh.vjp(residuals.gelu, dg)
    dfeatures, dkernel1, dbias1 = call.engine.linear.vjp(residuals.layer1, dh)
    H = a.shape[1]
    d1, d2, ddifference, dproduct = (dfeatures[:, i * H : (i + 1) * H] for i in range(4))
    dpooled = np.concatenate([d1 + ddifference + b * dproduct, d2 - ddifference + a * dproduct], axis=0)
    layer1 = {"layer1.kernel": dkernel1, "layer1.bias": dbias1}
    layer2 = {"layer2.kernel": dkernel2, "layer2.bias": dbias2}
    return layer1 | layer2, pool_vjp(residuals.pool, dpooled)


def regression(params: Leaves, x: Array, where: Where, pool: PoolFn, call: Call) -> tuple[Array, Any]:
    """x W + b at every step: (N, L, H) → (N, L, K). Nothing is pooled."""
    y, residuals = call.engine.linear.value(x, params["kernel"], params["bias"])
    return y, residuals


def regression_vjp(residuals: Any, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    dx, dkernel, dbias = call.engine.linear.vjp(residuals, dy)
    return {"kernel": dkernel, "bias": dbias}, dx


class TwoLayersResiduals(NamedTuple):
    """Residuals of `two_layers`."""

    layer1: Any
    tanh: TanhResiduals
    layer2: Any


def two_layers(params: Leaves, x: Array, call: Call) -> tuple[Array, TwoLayersResiduals]:
    """tanh(x W₁ + b₁) W₂ + b₂ at every step: (N, L, H) → (N, L, K)."""
    h, residuals1 = call.engine.linear.value(x, params["layer1.kernel"], params["layer1.bias"])
    t, of_tanh = tanh(h)
    y, residuals2 = call.engine.linear.value(t, params["layer2.kernel"], params["layer2.bias"])
    return y, TwoLayersResiduals(residuals1, of_tanh, residuals2)


def two_layers_vjp(residuals: TwoLayersResiduals, dy: Array, call: Call) -> tuple[dict[str, Array], Array]:
    dt, dkernel2, dbias2 = call.engine.linear.vjp(residuals.layer2, dy)
    dx, dkernel1, dbias1 = call.engine.linear.vjp(residuals.layer1, tanh_vjp(residuals.tanh, dt))
    layer1 = {"layer1.kernel": dkernel1, "layer1.bias": dbias1}
    return layer1 | {"layer2.kernel": dkernel2, "layer2.bias": dbias2}, dx


class GaussianRegressionResiduals(NamedTuple):
    """Residuals of `gaussian_regression`."""

    mean: TwoLayersResiduals
    variance: TwoLayersResiduals
    exp_linear: ExpLinearResiduals


def gaussian_regression(
    params: Leaves, x: Array, where: Where, pool: PoolFn, call: Call
) -> tuple[Array, GaussianRegressionResiduals]:
    """Means and variances at every step, each by two layers of its own: (N, L, H) → (N, L, 2K), the K means
    first. Nothing is pooled.

    Of its output l the network of variances makes eˡ where l < 0, else 1 + l.
    """
    mean, of_mean = two_layers(subtree(params, "mean"), x, call)
    log_variance, of_variance = two_layers(subtree(params, "variance"), x, call)
    variance, residuals = exp_linear(log_variance)
    y = np.concatenate([mean, variance], axis=-1)
    return y, GaussianRegressionResiduals(of_mean, of_variance, residuals)


def gaussian_regression_vjp(
    residuals: GaussianRegressionResiduals, dy: Array, call: Call
) -> tuple[dict[str, Array], Array]:
    dmean, dvariance = _halves(dy)
    mean, dx = two_layers_vjp(residuals.mean, dmean, call)
    dlog_variance = exp_linear_vjp(residuals.exp_linear, dvariance)
    variance, dx_of_variance = two_layers_vjp(residuals.variance, dlog_variance, call)
    return prefixed("mean", mean) | prefixed("variance", variance), dx + dx_of_variance


def _halves(x: Array) -> tuple[Array, Array]:
    """(…, 2K) → the first and the last K."""
    K = x.shape[-1] // 2
    return x[..., :K], x[..., K:]


def normal_likelihood(
    y: Array, target: Array, valid: Array | None = None
) -> tuple[Array, GaussianNLLResiduals]:
    """`gaussian_nll` of the output of `gaussian_regression`. y (N, L, 2K), target (N, L, K), valid (N, L,
    1).
    """
    return gaussian_nll(*_halves(y), target, valid)


def normal_likelihood_vjp(residuals: GaussianNLLResiduals, d: Array) -> Array:
    return np.concatenate(gaussian_nll_vjp(residuals, d), axis=-1)


def init_dense(seed: int, name: str, inputs: int, outputs: int) -> dict[str, Array]:
    """kernel (inputs, outputs) lecun_normal, bias 0."""
    rng = random.generator(seed, "init", name, "kernel")
    return {"kernel": random.lecun_normal(rng, (inputs, outputs), fan_in=inputs), "bias": np.zeros(outputs)}


def init_retrieval(seed: int, name: str, features: int, outputs: int) -> dict[str, Array]:
    """layer1 and layer2 of `retrieval`."""
    return _init_two_layers(seed, name, 4 * features, features, outputs)


def init_gaussian(seed: int, name: str, features: int, outputs: int) -> dict[str, Array]:
    """mean and variance of `gaussian_regression`, whose hidden layers are as wide as the features."""
    mean, variance = (
        prefixed(part, _init_two_layers(seed, f"{name}.{part}", features, features, outputs))
        for part in ("mean", "variance")
    )
    return mean | variance


def _init_two_layers(seed: int, name: str, inputs: int, hidden: int, outputs: int) -> dict[str, Array]:
    layer1 = init_dense(seed, f"{name}.layer1", inputs, hidden)
    layer2 = init_dense(seed, f"{name}.layer2", hidden, outputs)
    return prefixed("layer1", layer1) | prefixed("layer2", layer2)


class Head(NamedTuple):
    """A head: its pair, its loss, its initial parameters, the documents per example, the axes of its
    targets: N for classes; real values have an axis K; and how many numbers the output has for each of these.
    """

    apply: Pair
    loss: Pair
    init: Callable[[int, str, int, int], dict[str, Array]]
    documents: int
    targets: str
    numbers: int = 1

    @property
    def classifies(self) -> bool:
        """Whether targets are classes, and the output log-probabilities."""
        return "K" not in self.targets

    def target_shape(self, **sizes: int) -> tuple[int, ...]:
        """The shape of targets for the sizes N, L and K."""
        return tuple(sizes[axis] for axis in self.targets.split())

    def point(self, output: Array) -> Array:
        """Of an output what stands for the targets: the means of a regression with variances, else all."""
        return output if self.numbers == 1 else output[..., : output.shape[-1] // self.numbers]

    @property
    def stepwise(self) -> bool:
        """Whether the loss is taken at every step (and then needs to know which steps are valid)."""
        return "L" in self.targets


CROSS_ENTROPY, MSE = Pair(cross_entropy, cross_entropy_vjp), Pair(mse, mse_vjp)
LIKELIHOOD = Pair(normal_likelihood, normal_likelihood_vjp)
HEADS = {
    "classifier": Head(Pair(classifier, classifier_vjp), CROSS_ENTROPY, init_dense, 1, "N"),
    "retrieval": Head(Pair(retrieval, retrieval_vjp), CROSS_ENTROPY, init_retrieval, 2, "N"),
    "regression": Head(Pair(regression, regression_vjp), MSE, init_dense, 1, "N L K"),
    "pooled_regression": Head(Pair(pooled_regression, pooled_regression_vjp), MSE, init_dense, 1, "N K"),
    "gaussian_regression": Head(
        Pair(gaussian_regression, gaussian_regression_vjp), LIKELIHOOD, init_gaussian, 1, "N L K", numbers=2
    ),
}
