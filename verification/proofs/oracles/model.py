"""One layer and whole models in exact formulas, for balls and duals. Written from upstream's definitions, not
from `s5ref.model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from s5ref.tree import prefixed, subtree
from s5ref.verification.proofs.oracles import nn
from s5ref.verification.proofs.oracles.balls import Balls
from s5ref.verification.proofs.oracles.elementary import constant
from s5ref.verification.proofs.oracles.ssm import SSMOptions, ssm

Leaves = Mapping[str, Balls]


class LayerOptions(NamedTuple):
    """What kind of layer the parameters describe; defaults as upstream's."""

    activation: str = "half_glu1"
    gelu: str = "tanh"
    norm: str = "batch"
    prenorm: bool = True
    bn_momentum: float = 0.95
    bidirectional: bool = False
    conj_sym: bool = True
    clip_eigs: bool = False
    discretization: str = "zoh"
    step_rescale: float = 1.0
    learn_initial_state: bool = False


class Given(NamedTuple):
    """Training or evaluation, the running statistics before, the dropout masks."""

    train: bool = False
    statistics: Mapping[str, Balls] = {}
    masks: Any = (None, None)


class Layered(NamedTuple):
    """y (N, L, H), the final state, the running statistics."""

    y: Balls
    state: Balls
    statistics: dict[str, Balls]


def layer(
    params: Leaves,
    x: Balls,
    options: LayerOptions,
    x0: Balls | None = None,
    intervals: Balls | None = None,
    lengths: Any = None,
    resets: Any = None,
    **given: Any,
) -> Layered:
    """prenorm: x + mix(ssm(norm(x))); postnorm: norm(x + mix(ssm(x))). ``given`` is a `Given`.

    With ``lengths`` what pads is masked.
    """
    train, before, masks = Given(**given)
    statistics, affine = dict(before), (params["norm.scale"], params["norm.bias"])

    def norm(z: Balls) -> Balls:
        if options.norm == "layer":
            return nn.layer_norm(z, *affine)
        running = statistics["norm.mean"], statistics["norm.var"]
        y, statistics["norm.mean"], statistics["norm.var"] = nn.batch_norm(
            z, *affine, *running, options.bn_momentum, train, lengths
        )
        return y

    of_ssm = {name: getattr(options, name) for name in SSMOptions._fields}
    u = norm(x) if options.prenorm else x
    y, state = ssm(subtree(params, "seq"), u, x0, intervals, lengths, resets, **of_ssm)
    y = x + nn.mix(y, options.activation, options.gelu, params, masks)
    return Layered(y if options.prenorm else norm(y), state, statistics)


class ModelOptions(NamedTuple):
    """What kind of model."""

    layer: LayerOptions
    n_layers: int
    head: str = "classifier"
    pooling: str = "mean"
    padding: str = "upstream"
    event_stride: int = 1
    event_every: int = 1
    event_pooling: str = "mean"
    encoder: str = "linear"
    use_of_intervals: str = "used"  # of the configuration: intervals


class Outcome(NamedTuple):
    """output: log-probabilities, or a regression's values; loss None without targets."""

    output: Balls
    loss: Balls | None
    states: list[Balls]
    statistics: dict[str, Balls]


def model(
    params: Leaves,
    x: Any,
    options: ModelOptions,
    states: Sequence[Balls] | None = None,
    lengths: Any = None,
    intervals: Balls | None = None,
    targets: Any = None,
    resets: Any = None,
    **given: Any,
) -> Outcome:
    """Encoder, layers, head, loss. x (N, L) tokens or (N, L, I); retrieval: a document axis of 2 after N.

    ``given`` is a `Given`, the masks being those of every layer.
    """
    train, statistics, masks = Given(**{"masks": None, **given})
    if options.head == "retrieval":
        x, lengths, intervals, resets = (
            None if z is None else np.concatenate([z[:, 0], z[:, 1]]) for z in (x, lengths, intervals, resets)
        )
    y = encoder(subtree(params, "encoder"), x, options, intervals)
    intervals = intervals if options.use_of_intervals == "used" else None
    masked = lengths if options.padding == "masked" else None
    finals: list[Balls] = []
    running: dict[str, Balls] = {}
    for i, name in enumerate(f"layers_{i}" for i in range(options.n_layers)):
        y, state, updated = layer(
            subtree(params, name), y, options.layer, states[i] if states else None, intervals, masked, resets,
            train=train, statistics=subtree(statistics, name), masks=masks[i] if masks else (None, None),
        )  # fmt: skip
        finals.append(state)
        running |= prefixed(name, updated)
        if options.event_stride > 1 and (i + 1) % options.event_every == 0 and i + 1 < options.n_layers:
            stride = options.event_stride
            intervals = windows_between(intervals, y.shape[:2], stride, lengths)
            y = nn.pool_windows(y, stride, options.event_pooling, lengths)
            lengths = None if lengths is None else -(-np.asarray(lengths) // stride)
            masked = lengths if options.padding == "masked" else None
            resets = None if resets is None else resets[:, ::stride]
    output = head(subtree(params, "decoder"), y, options, lengths)
    loss = None
    if targets is not None and options.head == "regression":
        loss = nn.mse(output, targets, masked)
    elif targets is not None and options.head == "gaussian_regression":
        mean, var = np.split(output, 2, axis=-1)
        loss = nn.gaussian_nll(mean, var, targets, masked)
    elif targets is not None and options.head == "pooled_regression":
        loss = nn.mse(output, targets)
    elif targets is not None:
        loss = nn.cross_entropy(output, targets)
    return Outcome(output, loss, finals, running)


def encoder(params: Leaves, x: Any, options: ModelOptions, intervals: Any) -> Balls:
    """A row for each token, a matrix for reals, a network for images."""
    if options.encoder == "image":
        appended = None
        if options.use_of_intervals == "appended":
            appended = np.full(x.shape[:2], constant(1), dtype=object) if intervals is None else intervals
        return nn.image_encoder(params, x, appended)
    by_kind = nn.embed if x.dtype.kind in "iu" else nn.linear
    return by_kind(x, params["kernel"], params["bias"])


def windows_between(intervals: Any, shape: Any, stride: int, lengths: Any) -> Balls:
    """The time between the last valid steps of neighbouring windows; that of a window of padding is 1."""
    (N, L), one = shape, constant(1)
    between = np.full((N, -(-L // stride)), one, dtype=object)
    for n, j in np.ndindex(*between.shape):
        steps = range(j * stride, min((j + 1) * stride, L if lengths is None else int(lengths[n])))
        if steps:
            between[n, j] = sum((one if intervals is None else intervals[n, k] for k in steps), constant(0))
    return between


def head(params: Leaves, y: Balls, options: ModelOptions, lengths: Any) -> Balls:
    """Classifier: log softmax(pool(y) W + b). Retrieval: of a two-layer network on [a, b, a − b, a ∘ b].
    Regression: y W + b. Pooled regression: pool(y) W + b. Gaussian regression: two networks on y."""
    if options.head == "regression":
        return nn.linear(y, params["kernel"], params["bias"])
    if options.head == "gaussian_regression":
        mean, variance = (nn.two_layers(subtree(params, part), y) for part in ("mean", "variance"))
        return np.concatenate([mean, nn.exp_linear(variance)], axis=-1)
    pooled = nn.POOLS[options.pooling](y, lengths)
    if options.head != "retrieval":
        y = nn.linear(pooled, params["kernel"], params["bias"])
        return y if options.head == "pooled_regression" else nn.log_softmax(y)
    a, b = np.split(pooled, 2)
    features = np.concatenate([a, b, a - b, a * b], axis=1)
    hidden = nn.gelu_tanh(nn.linear(features, params["layer1.kernel"], params["layer1.bias"]))
    return nn.log_softmax(nn.linear(hidden, params["layer2.kernel"], params["layer2.bias"]))
