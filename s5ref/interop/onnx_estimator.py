"""`S5Classifier` and `S5Regressor` as ONNX: from the channels of series to probabilities or values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from s5ref.errors import ConfigError
from s5ref.interop.exportable import check_exportable
from s5ref.interop.graph import Graph
from s5ref.interop.onnx import facts, forward

if TYPE_CHECKING:
    from s5ref.estimators.trained import S5Classifier, S5Regressor


def to_onnx(estimator: S5Classifier | S5Regressor) -> Any:
    """A fitted estimator of regular series.

    Parameters
    ----------
    estimator : S5Classifier or S5Regressor

    Returns
    -------
    onnx.ModelProto
        Inputs ``inputs`` (N, L, C) float64, the channels as they were given to `fit`, and ``lengths`` (N,)
        int64; what is behind a length is not read. Output ``output``: probabilities (N, K), in the order of
        the classes in the metadata, or float64 values (N, K), with ``per_step`` (N, L, K).

    Raises
    ------
    MissingDependency
        Without the package onnx.
    ConfigError
        On an estimator that was fitted to series with times of their own.

    Notes
    -----
    The mean of the models alone: the ridge beside them (``ridge_``) has no form in ONNX. With
    ``n_filters=0`` there is none. Standardisation, differences and frames are computed in float64, as by the
    estimator, the models in float32.
    """
    if estimator.unit_ != 1:
        raise ConfigError(
            "export: an estimator must be fitted to regular series; this one was fitted to series with times "
            f"of their own, {estimator.unit_:.6g} apart.",
            "Fit it without times, or use it from Python: s5ref.estimators.load.",
        )
    g, model, C, frame = Graph(), estimator.model, estimator.n_channels_in_, estimator.frame_
    FLOAT, DOUBLE = g.onnx.TensorProto.FLOAT, g.onnx.TensorProto.DOUBLE
    by, each = estimator.standard_, estimator.weights()
    z = g("Div", g("Sub", "inputs", by.mean), by.deviation)
    before = g("Concat", g("Slice", z, [0], [1], [1]), g("Slice", z, [0], [-1], [1]), axis=1)
    z = g("Concat", z, g("Div", g("Sub", z, before), by.changes[0]), axis=-1)
    frames = _frames(g, g("Shape", "inputs", start=1, end=2), frame)
    steps = g("Range", np.array(0), g("Squeeze", g("Mul", frames, [frame]), [0]), np.array(1))
    held = g("Min", steps, g("Unsqueeze", g("Sub", "lengths", [1]), [1]))  # at the end of each series
    z = g("GatherND", g("Cast", z, to=FLOAT), g("Unsqueeze", held, [2]), batch_dims=1)
    batch = g("Shape", "inputs", end=1)
    z = g("Reshape", z, g("Concat", batch, frames, [2 * C * frame], axis=0))
    models = []
    for params, statistics in each:
        check_exportable(model, params, statistics)
        y = forward(g, model, params, statistics, z, False, _frames(g, "lengths", frame), None)
        models.append(g("Exp", y) if model.head.classifies else y)
    mean = g("Div", g("Sum", *models), float(len(models)))
    words, dtype = facts(model.config), "FLOAT"
    axes: list[int | str] = ["N", model.config.n_classes]
    if model.head.classifies:
        output = g("Div", mean, g("ReduceSum", mean, [-1]))
        words["classes"] = json.dumps(estimator.classes_.tolist())
    else:
        K, dtype = len(estimator.target_mean_), "DOUBLE"
        if model.head.stepwise:
            mean = g("Reshape", mean, g("Concat", batch, [-1, K], axis=0))
            mean = g("Slice", mean, [0], g("Shape", "inputs", start=1, end=2), [1])
        axes = ["N", "L", K] if model.head.stepwise else ["N", K]
        scaled = g("Mul", g("Cast", mean, to=DOUBLE), estimator.target_deviation_)
        output = g("Add", scaled, estimator.target_mean_)
    g.node("Identity", [output], ["output"])
    inputs = [g.info("inputs", "DOUBLE", ["N", "L", C]), g.info("lengths", "INT64", ["N"])]
    said = "probabilities of the classes in the metadata" if model.head.classifies else "values"
    outputs = [g.info("output", dtype, axes)]
    return g.model(inputs, outputs, f"Series of regular steps; output: {said}.", words)


def _frames(g: Graph, steps: str, frame: int) -> str:
    """⌈steps / frame⌉."""
    return g("Div", g("Add", steps, [frame - 1]), [frame])
