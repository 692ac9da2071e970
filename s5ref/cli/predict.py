"""``s5ref predict``: what a run says of series whose answer is not known."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s5ref.cli import options
from s5ref.cli.options import Parser, choice, flag, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import score
from s5ref.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from s5ref.arrays import Array
    from s5ref.series import Table

FIELDS = ("inputs", "lengths", "intervals", "resets")
REMEDY = "Write it by np.savez(file, inputs=…), with lengths=…, intervals=…, resets=… where there are some."
EXAMPLES = """\
  s5ref predict runs/gestures-1 new.csv                        of `s5ref fit`: one prediction a line
  s5ref predict runs/gestures-1 new.csv --out said.csv         with ids and probabilities
  sensor | s5ref predict runs/gestures-1 - --follow            a step a line in, a prediction a line out
  s5ref predict runs/mine new.npz                    one class a line
  s5ref predict runs/mine new.npz --out said.npz     predictions, and outputs (log-probabilities)
"""


def parser() -> Parser:
    p = Parser("predict", __doc__ or "", "RUN FILE [options]", EXAMPLES)
    option(p, "run", "RUN", "a run folder")
    of_fit = "of a run of `s5ref fit` series in any format that it reads, - for .csv from stdin"
    option(
        p,
        "file",
        "FILE",
        f"{of_fit}; else .npz with inputs and, where there are some, lengths, intervals and resets",
    )
    option(
        p, "--out", "OUT", "write predictions with ids and probabilities to .csv; else with outputs to .npz"
    )
    steps = "stdin has the channels of one step a line, and an empty line where a new series begins"
    flag(p, "--follow", f"with - for FILE: a prediction after every step; {steps}")
    choice(p, "--checkpoint", ("best", "last"), "default: best, last before the first epoch's end")
    options.add_engine(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.train.runs import is_fit

    if args.follow:
        return _follow(args, out)
    if is_fit(args.run):
        return _of_estimator(args, out)
    return _of_model(args, out)


def _of_estimator(args: argparse.Namespace, out: Output) -> int:
    """A run of `s5ref fit`."""
    from s5ref.estimators import folder
    from s5ref.files import write_atomically

    if args.out and Path(args.out).suffix != ".csv":
        raise ConfigError(f"--out of a run of `s5ref fit` must end in .csv; got {args.out}.", "Call it so.")
    estimator, facts = folder.read(args.run)
    table = _unknown(args.file, facts["read"], out)
    predictions = estimator.predict(table.series)
    rows = {"id": table.ids or range(len(predictions)), "prediction": predictions.tolist()}
    if hasattr(estimator, "predict_proba"):
        p = estimator.predict_proba(table.series)
        rows |= {f"p({name})": column.tolist() for name, column in zip(estimator.classes_, p.T, strict=True)}
    if args.out:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
        write_atomically(args.out, buffer.getvalue().encode())
        out.say(f"{len(predictions):,} series: {args.out}")
    else:
        for prediction in predictions:
            out.say(str(prediction))
    scored = None if table.y is None else float(estimator.score(table.series, table.y))
    if scored is not None:
        out.note(
            f"{score(scored, facts['task'] == 'classes')} on the {len(predictions):,} targets of {args.file}"
        )
    out.result({"run": args.run, "series": len(predictions), "out": args.out, "score": scored,
                "predictions": predictions.tolist()})  # fmt: skip
    return DONE


def _unknown(file: str, how: dict[str, Any], out: Output) -> Table:
    """Series as those of training; their targets where the file has some."""
    text = sys.stdin.read() if file == "-" else ""
    how = how | {"format": "csv"} if file == "-" else how

    def read(target: Any) -> Table:
        source = io.StringIO(text) if file == "-" else file
        return options.read_series(source, how | {"target": target}, out)

    try:
        return read(how["target"])
    except ConfigError:  # without that column, or wrong for another reason: then this says so
        return read(None)


def _follow(args: argparse.Namespace, out: Output) -> int:
    """For each line of stdin, the channels of a step, a line of what the run says of the series so far."""
    if args.file != "-":
        raise ConfigError(f"--follow reads stdin; got the file {args.file}.", "Say - instead of it.")
    begin, advance = _stepper(args)
    state, steps = begin(), 0
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            state = begin()
            continue
        try:
            u = np.array([float(field) for field in line.replace(",", " ").replace(";", " ").split()])
        except ValueError as error:
            raise DataError(
                f"stdin: line {number} must be numbers; {error}.", "Give a step a line."
            ) from error
        state, said = advance(state, u)
        out.say(said)
        sys.stdout.flush()
        steps += 1
    out.result({"run": args.run, "steps": steps})
    return DONE


def _stepper(args: argparse.Namespace) -> tuple[Callable[[], Any], Callable[[Any, Array], tuple[Any, str]]]:
    """The state before a series; and state and step → state and what is said."""
    from s5ref.model.streaming import streaming
    from s5ref.train import runs

    if runs.is_fit(args.run):
        from s5ref.estimators import folder

        estimator, _ = folder.read(args.run)

        def advance(state: Any, u: Array) -> tuple[Any, str]:
            state, values = estimator.update(state, u)
            return state, _told(values, getattr(estimator, "classes_", None))

        return estimator.initial_state, advance
    loaded = runs.load(args.run, args.checkpoint)
    stream = streaming(loaded.model, loaded.params, loaded.statistics)

    def step(state: Any, u: Array) -> tuple[Any, str]:
        state, output = stream.step(state, u[None].astype(loaded.config.train.dtype))
        if loaded.model.head.classifies:
            return state, _told(np.exp(output[0]), range(output.shape[1]))
        return state, _told(output[0], None)

    return lambda: stream.initial_state(1), step


def _told(values: Array, classes: Any) -> str:
    """The most probable class and its probability; of a regression the values."""
    if classes is None:
        return " ".join(f"{value:.6g}" for value in values)
    return f"{classes[values.argmax()]} {values.max():.4f}"


def _of_model(args: argparse.Namespace, out: Output) -> int:
    """A run of `s5ref train`."""
    from s5ref.files import write_atomically
    from s5ref.train import runs

    given = _read(Path(args.file))
    if args.out and Path(args.out).suffix != ".npz":
        raise ConfigError(f"--out must end in .npz; got {args.out}.", "Call it so.")
    loaded = runs.load(args.run, args.checkpoint)
    for warning in loaded.warnings:
        out.note(warning)
    engine = options.engine(options.engine_name(args))
    classes = loaded.model.head.classifies
    if not classes and not args.out:
        raise ConfigError("The values of a regression go into a file; got no --out.", "Add --out OUT.npz.")
    outputs = loaded.outputs(**given, engine=engine)
    predictions = np.argmax(outputs, axis=1) if classes else outputs
    if args.out:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, predictions=predictions, outputs=outputs)
        write_atomically(args.out, buffer.getvalue())
        out.say(f"{len(outputs):,} sequences, {loaded.checkpoint} checkpoint of {args.run}: {args.out}")
    else:
        for label in predictions:
            out.say(str(label))
    out.result({
        "run": args.run, "checkpoint": loaded.checkpoint, "step": loaded.step, "engine": engine.name,
        "examples": len(outputs), "out": args.out, "predictions": predictions.tolist() if classes else None,
    })  # fmt: skip
    return DONE


def _read(path: Path) -> dict[str, Array]:
    from s5ref import npz
    from s5ref.files import read_bytes

    given = npz.loads(read_bytes(path), str(path), REMEDY, deflated=True)
    unknown = sorted(given.keys() - FIELDS)
    if unknown or "inputs" not in given:
        wrong = f"got {unknown[0]} too" if unknown else "inputs are missing"
        may = ", ".join(FIELDS[1:])
        raise DataError(f"{path} must hold inputs, and may hold {may}; {wrong}.", REMEDY)
    return given
