"""A trained model as ONNX, in float32: whole sequences of any batch and length, or one time step.

The graph is the text of the layer in real arithmetic: a complex (…, P') is (…, 2P') real, [Re | Im]. The
recurrence is the operator Scan. Λ and Δ are discretised here, in the precision of the parameters, and in the
graph where there are intervals.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, to_complex
from s5ref.engine import Call, as_engine
from s5ref.errors import ConfigError
from s5ref.interop.exportable import Layer, check_exportable, layers, single, steppers
from s5ref.interop.graph import Graph, Value
from s5ref.model.config import ModelConfig
from s5ref.model.leaves import GATES
from s5ref.model.model import Model
from s5ref.nn.activation import GELU_CUBIC, GELU_SLOPE
from s5ref.nn.norm import LAYER_NORM_EPS
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions, discretised, eigenvalues, output_matrices
from s5ref.tree import subtree

END = 2**63 - 1  # of a slice


class Pair(NamedTuple):
    """A complex factor a (…, P') as ``times`` takes it: [Re a | Re a] and [−Im a | Im a]."""

    same: Value
    crossed: Value


def to_onnx(
    model: Model,
    params: Leaves,
    statistics: Leaves,
    *,
    tokens: bool = False,
    lengths: bool = False,
    intervals: bool = False,
) -> Any:
    """The model of whole sequences.

    Parameters
    ----------
    model, params, statistics
        As of `Model.forward`; written in float32.
    tokens : bool
        Whether inputs are tokens (N, L) int64, or reals (N, L, in_dim).
    lengths : bool
        Whether there is an input ``lengths`` (N,) int64; without it all L steps are valid.
    intervals : bool
        Whether there is an input ``intervals`` (N, L), for irregular sampling.

    Returns
    -------
    onnx.ModelProto
        Inputs ``inputs``, ``lengths``, ``intervals``; output ``output``, as of `Model.forward`. Of retrieval
        all inputs have an axis 2 behind N.

    Raises
    ------
    MissingDependency
        Without the package onnx.
    S5Error
        On a model that cannot be exported, see `s5ref.interop.exportable`; on lengths that it does not read.
    """
    check_exportable(model, params, statistics)
    if lengths and not reads_lengths(model.config):
        raise ConfigError(
            "export: a regression at every step reads lengths where padding is masked alone; got "
            f"padding = {model.config.padding!r}.",
            "Leave lengths out.",
        )
    g, config = Graph(), model.config
    axes: list[int | str] = ["N", 2] if model.head.documents == 2 else ["N"]
    channels = [] if tokens else [config.in_dim]
    inputs = [g.info("inputs", "INT64" if tokens else "FLOAT", [*axes, "L", *channels])]
    if lengths:
        inputs.append(g.info("lengths", "INT64", axes))
    if intervals:
        inputs.append(g.info("intervals", "FLOAT", [*axes, "L"]))
    given = ("lengths" if lengths else None, "intervals" if intervals else None)
    g.node("Identity", [forward(g, model, params, statistics, "inputs", tokens, *given)], ["output"])
    shape: list[int | str] = ["N", "L", config.n_classes] if model.head.stepwise else ["N", config.n_classes]
    outputs, words = [g.info("output", "FLOAT", shape)], _words(config)
    return g.model(inputs, outputs, f"Whole sequences. {words}", facts(config))


def to_onnx_step(model: Model, params: Leaves, statistics: Leaves, *, tokens: bool = False) -> Any:
    """The model one time step at a time.

    Parameters
    ----------
    model, params, statistics, tokens
        As of `to_onnx`.

    Returns
    -------
    onnx.ModelProto
        Inputs ``inputs``, (N,) int64 tokens or (N, in_dim) reals, and ``state`` (N, S), zero where a sequence
        begins. Outputs ``output`` (N, K), of the sequence so far or of this step, and ``new_state``.

    Raises
    ------
    MissingDependency
        Without the package onnx.
    S5Error
        On a model that cannot be exported or has no step: bidirectional, or retrieval.

    Notes
    -----
    A row of the state is [Re x | Im x] of each layer, then what the pooling needs of: steps so far, Σ of the
    features, their maximum. The steps are counted in float32, exactly up to 2²⁴.
    """
    check_exportable(model, params, statistics)
    g, config = Graph(), model.config
    discrete, H = steppers(model, params, statistics), config.d_model
    pooled = [] if model.head.stepwise or config.pooling == "last" else config.pooling.split("+")
    widths = [2 * config.kept] * config.n_layers + [1] * bool(pooled) + [H] * len(pooled)
    parts = [g.name("state") for _ in widths]
    g.node("Split", ["state", g.value(widths)], parts, axis=1)
    rest, new = parts[config.n_layers :], []
    x = _encode(g, params, "inputs", tokens)
    for layer, one, state in zip(layers(model, params, statistics), discrete, parts, strict=False):
        u = _normalise(g, layer, x) if config.prenorm else x
        Bu = g("MatMul", u, _stacked(one.B_bar.T))
        new.append(g("Add", times(g, _pair(one.Lambda_bar), state), Bu))
        y = g("Add", g("MatMul", new[-1], _readout(one.C)), g("Mul", u, single(one.D)))
        x = g("Add", x, _mix(g, layer, y, config))
        x = x if config.prenorm else _normalise(g, layer, x)
    if rest:
        before, count = rest[0], g("Add", rest[0], 1.0)
        new.append(count)
        values = []
        for kind, part in zip(pooled, rest[1:], strict=True):
            if kind == "mean":
                new.append(g("Add", part, x))
                values.append(g("Div", new[-1], count))
            else:
                new.append(g("Where", g("Equal", before, 0.0), x, g("Max", part, x)))
                values.append(new[-1])
        x = values[0] if len(values) == 1 else g("Add", *values)
    g.node("Identity", [_head(g, model, params, x)], ["output"])
    g.node("Concat", new, ["new_state"], axis=1)
    steps = ("INT64", ["N"]) if tokens else ("FLOAT", ["N", config.in_dim])
    inputs = [g.info("inputs", *steps), g.info("state", "FLOAT", ["N", sum(widths)])]
    outputs = [g.info("output", "FLOAT", ["N", config.n_classes])]
    outputs.append(g.info("new_state", "FLOAT", ["N", sum(widths)]))
    words = f"One time step: state is zero at first, then new_state of the step before. {_words(config)}"
    return g.model(inputs, outputs, words, facts(config))


def reads_lengths(config: ModelConfig) -> bool:
    """Whether the output depends on lengths."""
    return config.padding == "masked" or config.head != "regression"


def facts(config: ModelConfig) -> dict[str, str]:
    """The metadata of a file."""
    return {"config": json.dumps(dataclasses.asdict(config))}


def _words(config: ModelConfig) -> str:
    classes = config.head in ("classifier", "retrieval")
    return f"S5; output: {'log-probabilities of classes' if classes else 'values'}."


def forward(
    g: Graph, model: Model, params: Leaves, statistics: Leaves,
    inputs: str, tokens: bool, lengths: str | None, intervals: str | None,
) -> str:  # fmt: skip
    """The output for inputs (N, L) or (N, L, in_dim), lengths (N,) and intervals (N, L); of retrieval all
    with an axis 2 behind N.
    """
    config, documents = model.config, model.head.documents
    length = g("Shape", inputs, start=documents, end=documents + 1)
    masked = config.padding == "masked" and lengths is not None
    if lengths is None:
        lengths = g("Expand", length, g("Shape", inputs, start=0, end=documents))
    if documents == 2:  # all the first, then all the second
        inputs = _documents(g, inputs, tokens)
        lengths = g("Reshape", g("Transpose", lengths, perm=[1, 0]), [-1])
        intervals = intervals and _documents(g, intervals, True)
    steps = g("Range", np.array(0), g("Squeeze", length, [0]), np.array(1))
    valid = g("Unsqueeze", g("Less", steps, g("Unsqueeze", lengths, [1])), [2])
    x = _encode(g, params, inputs, tokens)
    for layer in layers(model, params, statistics):
        u = _normalise(g, layer, x) if config.prenorm else x
        y = _ssm(g, layer.seq, config.ssm_options(), u, valid if masked else None, intervals)
        x = g("Add", x, _mix(g, layer, y, config))
        x = x if config.prenorm else _normalise(g, layer, x)
    return _head(g, model, params, x if model.head.stepwise else _pool(g, config.pooling, x, lengths, valid))


def times(g: Graph, a: Pair, x: str) -> str:
    """a ∘ x of complex (…, P') as (…, 2P')."""
    return g("Add", g("Mul", a.same, x), g("Mul", a.crossed, g("Concat", *_halves(g, x)[::-1], axis=-1)))


def _halves(g: Graph, x: str) -> list[str]:
    """Re and Im of (…, 2P')."""
    halves = [g.name("half"), g.name("half")]
    g.node("Split", [x], halves, axis=-1, num_outputs=2)
    return halves


def _pair(a: Array) -> Pair:
    """The factor ``a`` (…, P'), known now."""
    re, im = single(a.real), single(a.imag)
    return Pair(np.concatenate([re, re], axis=-1), np.concatenate([-im, im], axis=-1))


def _computed(g: Graph, re: str, im: str) -> Pair:
    """The factor re + i im, computed in the graph."""
    return Pair(g("Concat", re, re, axis=-1), g("Concat", g("Neg", im), im, axis=-1))


def _stacked(W: Array) -> Array:
    """(H, P') complex → (H, 2P'): u W as [Re | Im] of a real u."""
    return np.concatenate([single(W.real), single(W.imag)], axis=1)


def _readout(C: Array) -> Array:
    """(H, P') complex → (2P', H): Re(C x) of x as [Re | Im]."""
    return np.concatenate([single(C.real), single(-C.imag)], axis=1).T


def _documents(g: Graph, x: str, flat: bool) -> str:
    """(N, 2, L) if flat, else (N, 2, L, I) → (2N, L) or (2N, L, I)."""
    swapped = g("Transpose", x, perm=[1, 0, 2] if flat else [1, 0, 2, 3])
    return g("Reshape", swapped, g("Concat", [-1], g("Shape", x, start=2), axis=0))


def _encode(g: Graph, params: Leaves, inputs: str, tokens: bool) -> str:
    kernel, bias = single(params["encoder.kernel"]), single(params["encoder.bias"])
    return g("Gather", kernel + bias, inputs) if tokens else g("Add", g("MatMul", inputs, kernel), bias)


def _dense(g: Graph, leaves: Leaves, name: str, x: str) -> str:
    return g("Add", g("MatMul", x, single(leaves[f"{name}.kernel"])), single(leaves[f"{name}.bias"]))


def _normalise(g: Graph, layer: Layer, x: str) -> str:
    if layer.mean is not None and layer.rstd is not None:
        normal = g("Mul", g("Sub", x, layer.mean), layer.rstd)
    else:
        centred = g("Sub", x, g("ReduceMean", x, [-1]))
        var = g("ReduceMean", g("Mul", centred, centred), [-1])
        normal = g("Div", centred, g("Sqrt", g("Add", var, LAYER_NORM_EPS)))
    return g("Add", g("Mul", normal, layer.leaves["norm.scale"]), layer.leaves["norm.bias"])


def _gelu(g: Graph, x: str, kind: str) -> str:
    if kind == "erf":
        return g("Mul", g("Mul", x, 0.5), g("Add", g("Erf", g("Mul", x, 0.5**0.5)), 1.0))
    cubic = g("Mul", g("Mul", g("Mul", x, x), x), GELU_CUBIC)
    return g("Mul", x, g("Sigmoid", g("Mul", g("Add", x, cubic), GELU_SLOPE)))


def _mix(g: Graph, layer: Layer, y: str, config: ModelConfig) -> str:
    """What is added to the layer's input: GELU and gate of y."""
    gelu, gates = _gelu(g, y, config.gelu), GATES[config.activation]
    if not gates:
        return gelu
    gated = {"half_glu1": gelu, "half_glu2": y}.get(config.activation) or _dense(
        g, layer.leaves, "out1", gelu
    )
    return g("Mul", gated, g("Sigmoid", _dense(g, layer.leaves, "out2", gelu)))


def _ssm(g: Graph, seq: Leaves, options: SSMOptions, u: str, valid: str | None, intervals: str | None) -> str:
    """`s5ref.ssm.ssm.ssm` of u (N, L, H)."""
    y, factor = g("Mul", u, single(seq["D"])), 2 if options.conj_sym else 1
    u = u if valid is None else g("Where", valid, u, 0.0)
    a, Bu = _elements(g, seq, options, u, intervals)
    for backward, C in enumerate(output_matrices(seq, options)):
        if backward and intervals is not None:
            a, Bu = _elements(g, seq, options, u, _intervals_after(g, intervals, valid))
        x = _scan(g, a, Bu, bool(backward))
        y = g("Add", y, g("MatMul", x, _readout(factor * C)))
    return y


def _elements(g: Graph, seq: Leaves, options: SSMOptions, u: str, intervals: str | None) -> tuple[Pair, str]:
    """Λ̄, and B̄u (N, L, 2P')."""
    B = to_complex(seq["B"])
    if intervals is None:
        (Lambda_bar, gain), _ = discretised(seq, options, Call(as_engine("numpy")))
        return _pair(Lambda_bar), g("MatMul", u, _stacked((gain[:, None] * B).T))
    raw = g("MatMul", u, _stacked(B.T))
    Delta = g("Mul", g("Unsqueeze", intervals, [2]), single(np.exp(seq["log_step"])))
    decay, varying = _discretise(g, options, eigenvalues(seq, options), Delta)
    return decay, raw if varying is None else times(g, varying, raw)


def _discretise(g: Graph, options: SSMOptions, Lambda: Array, Delta: str) -> tuple[Pair, Pair | None]:
    """Λ̄ and the gain for Δ (N, L, P'); None: the gain is 1.

    Notes
    -----
    Zero-order hold: the gain is (e^z − 1)/Λ, z = ΔΛ = x + iy, and Δ where Λ = 0. Re(e^z − 1) is
    expm1(x) cos y − 2 sin²(y/2), expm1(x) = tanh(x/2)(eˣ + 1): as z → 0 nothing cancels.
    """
    rule = options.discretization
    x, y = g("Mul", Delta, single(Lambda.real)), g("Mul", Delta, single(Lambda.imag))
    if rule is DISCRETIZATIONS["bilinear"]:
        half_x, half_y = g("Mul", x, 0.5), g("Mul", y, 0.5)
        down = g("Sub", 1.0, half_x)
        squared = g("Add", g("Mul", down, down), g("Mul", half_y, half_y))
        re, im = g("Div", down, squared), g("Div", half_y, squared)  # of 1/(1 − z/2)
        up = g("Add", half_x, 1.0)
        bar_re = g("Sub", g("Mul", up, re), g("Mul", half_y, im))
        bar_im = g("Add", g("Mul", up, im), g("Mul", half_y, re))
        return _computed(g, bar_re, bar_im), _computed(g, g("Mul", Delta, re), g("Mul", Delta, im))
    e, cos, sin = g("Exp", x), g("Cos", y), g("Sin", y)
    bar_re, bar_im = g("Mul", e, cos), g("Mul", e, sin)
    Lambda_bar = _computed(g, bar_re, bar_im)
    if rule is DISCRETIZATIONS["dirac"]:
        return Lambda_bar, None
    expm1 = g("Mul", g("Tanh", g("Mul", x, 0.5)), g("Add", e, 1.0))
    half = g("Sin", g("Mul", y, 0.5))
    re = g("Sub", g("Mul", expm1, cos), g("Mul", g("Mul", half, half), 2.0))
    zero = Lambda == 0
    inverse = single(np.where(zero, 0, 1 / np.where(zero, 1, Lambda)).view(Lambda.real.dtype)).reshape(-1, 2)
    inv_re, inv_im = inverse[:, 0], inverse[:, 1]
    gain_re = g("Sub", g("Mul", re, inv_re), g("Mul", bar_im, inv_im))
    gain_im = g("Add", g("Mul", re, inv_im), g("Mul", bar_im, inv_re))
    if zero.any():
        gain_re = g("Add", gain_re, g("Mul", Delta, single(zero)))
    return Lambda_bar, _computed(g, gain_re, gain_im)


def _intervals_after(g: Graph, intervals: str, valid: str | None) -> str:
    """`s5ref.ssm.ssm.intervals_after`."""
    after = g("Slice", intervals, [1], [END], [1])
    if valid is not None:
        after = g("Where", g("Slice", g("Squeeze", valid, [2]), [1], [END], [1]), after, 1.0)
    one = g("Expand", 1.0, g("Concat", g("Shape", intervals, end=1), [1], axis=0))
    return g("Concat", after, one, axis=1)


def _scan(g: Graph, a: Pair, Bu: str, backward: bool) -> str:
    """x_k = a_k x_{k−1} + Bu_k along the time of (N, L, 2P'), from 0; backward: from the end."""
    body, names = Graph(g), [g.name("element") for _ in range(3)]
    varying = isinstance(a.same, str)
    scanned = [str(a.same), str(a.crossed), Bu] if varying else [Bu]
    elements, state = names[-len(scanned) :], g.name("state")
    here = Pair(*elements[:2]) if varying else a
    new = body("Add", times(body, here, state), elements[-1])
    step = body("Identity", new)
    inside = [body.info(name, "FLOAT", None) for name in (state, *elements)]
    proto = body.proto(inside, [body.info(name, "FLOAT", None) for name in (new, step)], constants=False)
    sizes = g("Concat", g("Shape", Bu, end=1), g("Shape", Bu, start=2), axis=0)
    last, x = g.name("last"), g.name("states")
    g.node(
        "Scan", [g("ConstantOfShape", sizes), *scanned], [last, x], body=proto, num_scan_inputs=len(scanned),
        scan_input_axes=[1] * len(scanned), scan_output_axes=[1],
        scan_input_directions=[int(backward)] * len(scanned), scan_output_directions=[int(backward)],
    )  # fmt: skip
    return x


def _pool(g: Graph, pooling: str, x: str, lengths: str, valid: str) -> str:
    """`s5ref.nn.pool` of x (N, L, H)."""
    if pooling == "last":
        last = g("Unsqueeze", g("Sub", lengths, [1]), [1])
        return g("GatherND", x, last, batch_dims=1)
    parts = []
    if "mean" in pooling:
        total = g("ReduceSum", g("Where", valid, x, 0.0), [1], keepdims=0)
        count = g("Unsqueeze", g("Cast", lengths, to=g.onnx.TensorProto.FLOAT), [1])
        parts.append(g("Div", total, count))
    if "max" in pooling:
        parts.append(g("ReduceMax", g("Where", valid, x, float("-inf")), [1], keepdims=0))
    return parts[0] if len(parts) == 1 else g("Add", *parts)


def _head(g: Graph, model: Model, params: Leaves, x: str) -> str:
    """The output for features, pooled unless the head is stepwise."""
    decoder = subtree(params, "decoder")
    if model.head.documents == 2:
        pair = [g.name("document"), g.name("document")]
        g.node("Split", [x], pair, axis=0, num_outputs=2)
        features = g("Concat", *pair, g("Sub", *pair), g("Mul", *pair), axis=-1)
        hidden = _gelu(g, _dense(g, decoder, "layer1", features), "tanh")
        y = _dense(g, decoder, "layer2", hidden)
    else:
        y = g("Add", g("MatMul", x, single(decoder["kernel"])), single(decoder["bias"]))
    return g("LogSoftmax", y, axis=-1) if model.head.classifies else y
