"""``s5ref export``: a run as a file that needs no s5ref: ONNX, or one file of C.

By the extension of OUT. .onnx takes whole sequences, or with --step one time step and a state; .c is C99
without dependencies, for one time step. The file is compared with the model on a random example where
onnxruntime, or a compiler called cc, is here. docs/export.md says what inputs and outputs are.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from s5ref.cli.options import Parser, choice, flag, option
from s5ref.cli.output import DONE, NO, Output
from s5ref.errors import ConfigError, MissingDependency

if TYPE_CHECKING:
    from collections.abc import Callable

    from s5ref.arrays import Array
    from s5ref.engine import Engine
    from s5ref.model.config import ModelConfig

STEPS = 16  # of the example that a file is compared on
EXAMPLES = """\
  s5ref export runs/digits-1 digits.onnx                 whole sequences, any batch and length
  s5ref export runs/listops-1 listops.onnx --lengths     padded sequences of tokens
  s5ref export runs/digits-1 step.onnx --step            state and one step in, new state and output out
  s5ref export runs/digits-1 digits.c --name digits      digits_init, digits_step: for a microcontroller
  s5ref export runs/gestures-1 gestures.onnx             of `s5ref fit --method gradient`
"""


class Exported(NamedTuple):
    """A file, lines that describe it, what it says of an example, and what the model says by an engine."""

    data: bytes
    lines: dict[str, str]
    by: str
    said: Callable[[], Array]
    model: Callable[[Engine], Array]


def parser() -> Parser:
    p = Parser("export", __doc__ or "", "RUN OUT [options]", EXAMPLES)
    option(p, "run", "RUN", "a run folder")
    option(p, "out", "OUT", "a new file, .onnx or .c; an existing one is refused")
    flag(p, "--step", ".onnx: one time step instead of whole sequences")
    flag(p, "--tokens", "inputs are tokens (known of the tasks that s5ref has)")
    flag(p, "--lengths", ".onnx: an input for the valid steps of each sequence (given if padding is masked)")
    flag(p, "--intervals", ".onnx: an input for the intervals of irregular sampling")
    option(p, "--name", "PREFIX", ".c: what all names begin with (default: s5)")
    choice(p, "--checkpoint", ("best", "last"), "default: best, last before the first epoch's end")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.files import write_atomically
    from s5ref.interop.weights import check_free
    from s5ref.train.runs import is_fit

    target = check_free(Path(args.out).expanduser())
    _check(args, target.suffix)
    exported = _of_estimator(args) if is_fit(args.run) else _of_model(args, out, target.suffix)
    write_atomically(target, exported.data)
    out.say(f"{args.run} → {target}: {len(exported.data):,} bytes")
    for name, words in exported.lines.items():
        out.say(f"  {name:<9} {words}")
    ratio, words = _compared(exported)
    out.say(f"  {'checked' if ratio is not None else 'unchecked':<9} {words}")
    out.result({"run": args.run, "out": str(target), "bytes": len(exported.data), **exported.lines,
                "checked_by": exported.by if ratio is not None else None, "ratio": ratio})  # fmt: skip
    return DONE if ratio is None or ratio <= 1 else NO


def _check(args: argparse.Namespace, suffix: str) -> None:
    """Refuse options that do not go together."""
    if suffix not in (".onnx", ".c"):
        raise ConfigError(f"OUT must end in .onnx or .c; got {args.out}.", "Call it model.onnx or model.c.")
    stepwise = args.step or suffix == ".c"
    for name, given, fits, why in (
        ("--step", args.step, suffix == ".onnx", "a .c file is one time step already"),
        ("--name", args.name, suffix == ".c", "an .onnx file has no prefix"),
        ("--lengths", args.lengths, not stepwise, "one time step has no length"),
        ("--intervals", args.intervals, not stepwise, "one time step is a regular one"),
    ):
        if given and not fits:
            raise ConfigError(f"{name} does not go with the file {args.out}: {why}.", "Leave it out.")


def _of_model(args: argparse.Namespace, out: Output, suffix: str) -> Exported:
    """A run of `s5ref train`."""
    from s5ref.data.tasks import TASKS
    from s5ref.interop import c, exported, onnx
    from s5ref.model.batch import Batch
    from s5ref.train import runs
    from s5ref.verification.rounding.budget import cast

    loaded = runs.load(args.run, args.checkpoint)
    for warning in loaded.warnings:
        out.note(warning)
    given, model = (loaded.model, loaded.params, loaded.statistics), loaded.model
    task, whole = TASKS.get(loaded.config.task), not args.step and suffix == ".onnx"
    tokens = args.tokens or (task is not None and task.kind == "tokens")
    lengths = args.lengths or (whole and model.config.padding == "masked")
    lines = {"model": f"{loaded.checkpoint} checkpoint, step {loaded.step:,}"}
    name = args.name or "s5"
    text, proto = "", None
    if suffix == ".c":
        text = c.to_c(*given, tokens=tokens, name=name)
        lines["functions"] = f"{name}_init, {name}_step; the comment at the head has a program"
    elif args.step:
        proto = onnx.to_onnx_step(*given, tokens=tokens)
    else:
        proto = onnx.to_onnx(*given, tokens=tokens, lengths=lengths, intervals=args.intervals)
    batch = _example(loaded.model.config, tokens, lengths, args.intervals)
    params, statistics = cast((loaded.params, loaded.statistics), "float32")

    def said() -> Array:
        if whole:
            return exported.onnx_output(proto, batch)
        inputs = batch["inputs"]
        outputs = (
            exported.onnx_outputs(proto, inputs) if args.step else exported.c_outputs(text, inputs, name)
        )
        return outputs if model.head.stepwise else outputs[:, -1]

    def by_model(engine: Engine) -> Array:
        given: dict[str, Any] = dict(batch)
        return model.forward(params, statistics, Batch(**given), engine=engine).output

    if proto is None:
        return Exported(text.encode(), lines, "cc", said, by_model)
    return Exported(proto.SerializeToString(), lines | _signature(proto), "onnxruntime", said, by_model)


def _example(config: ModelConfig, tokens: bool, lengths: bool, intervals: bool) -> dict[str, Array]:
    """Two random sequences, by the names of a Batch."""
    rng, axes = np.random.default_rng(0), (2, 2) if config.head == "retrieval" else (2,)
    reals = rng.standard_normal((*axes, STEPS, config.in_dim)).astype(np.float32)
    batch = {"inputs": rng.integers(0, config.in_dim, (*axes, STEPS)) if tokens else reals}
    if lengths:
        batch["lengths"] = rng.integers(1, STEPS + 1, axes)
    if intervals:
        batch["intervals"] = rng.uniform(0.5, 2, (*axes, STEPS)).astype(np.float32)
    return batch


def _of_estimator(args: argparse.Namespace) -> Exported:
    """A run of `s5ref fit`."""
    from s5ref.estimators import S5Classifier, S5Regressor, folder
    from s5ref.interop import exported, onnx_estimator

    estimator, read = folder.read(args.run)
    if not isinstance(estimator, S5Classifier | S5Regressor):
        raise ConfigError(
            f"{args.run} holds {type(estimator).__name__}, random features, which are not exported.",
            "Fit with --method gradient.",
        )
    if args.step or args.tokens or args.intervals or Path(args.out).suffix == ".c":
        raise ConfigError(
            f"{args.run} is a run of `s5ref fit`, which is exported as whole sequences of regular steps: its "
            "model scans in both directions.",
            "Give OUT.onnx without --step, --tokens and --intervals.",
        )
    if read["read"].get("time"):
        raise ConfigError(
            f"{args.run} was fitted to series with times of their own, and its file would have none.",
            "Fit without --time, or use it from Python: s5ref.estimators.load.",
        )
    proto, frame, by = onnx_estimator.to_onnx(estimator), estimator.frame_, estimator.standard_
    lengths = np.array([STEPS * frame, 1 + frame])
    X = by.mean + by.deviation * np.random.default_rng(0).standard_normal((2, lengths[0], len(by.mean)))
    feed = {"inputs": X, "lengths": lengths}

    def by_model(engine: Engine) -> Array:
        own = copy.copy(estimator)
        own.engine, own.channels, own.ridge_ = engine, "last", None
        series = [x[:n] for x, n in zip(X, lengths, strict=True)]
        said = own.predict_proba(series) if hasattr(own, "predict_proba") else own.predict(series)
        return np.asarray(said).reshape(len(X), -1)

    lines = {"model": f"{type(estimator).__name__}, {estimator.n_estimators} models"} | _signature(proto)
    if estimator.ridge_ is not None:
        lines["without"] = "the ridge on random features beside them, which `s5ref predict` averages with"
    return Exported(
        proto.SerializeToString(), lines, "onnxruntime", lambda: exported.onnx_output(proto, feed), by_model
    )


def _signature(proto: Any) -> dict[str, str]:
    """The inputs and outputs of a ModelProto, in words."""

    def shape(value: Any) -> str:
        return ", ".join(d.dim_param or str(d.dim_value) for d in value.type.tensor_type.shape.dim)

    def words(values: Any) -> str:
        return ", ".join(f"{value.name} ({shape(value)})" for value in values)

    return {"inputs": words(proto.graph.input), "outputs": words(proto.graph.output)}


def _compared(exported: Exported) -> tuple[float | None, str]:
    """The difference from the model over what rounding may do, or None: not checked; and that in words."""
    from s5ref.engines import SEQUENTIAL
    from s5ref.verification.rounding.budget import composite_budget, ratio

    try:
        got = exported.said()
    except MissingDependency as error:
        return None, f"{error.message} {error.remedy}"
    want, budget = composite_budget(
        lambda engine: {"output": exported.model(engine)}, SEQUENTIAL, range(4), STEPS
    )
    found = ratio(got, want["output"], budget["output"], 1.0)
    equal = "equal up to rounding" if found <= 1 else "NOT what the model computes"
    return found, f"by {exported.by} on 2 sequences: {equal}, {found:.2g} of the budget"
