"""``s5ref predict``: what a trained run says of sequences whose answer is not known."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s5ref.cli import options
from s5ref.cli.options import Parser, choice, option
from s5ref.cli.output import DONE, Output
from s5ref.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s5ref.arrays import Array

FIELDS = ("inputs", "lengths", "intervals")
REMEDY = "Write it by np.savez(file, inputs=…), with lengths=… and intervals=… where there are some."
EXAMPLES = """\
  s5ref predict runs/mine new.npz                    one class a line
  s5ref predict runs/mine new.npz --out said.npz     predictions, and outputs (log-probabilities)
"""


def parser() -> Parser:
    p = Parser("predict", __doc__ or "", "RUN FILE.npz [options]", EXAMPLES)
    option(p, "run", "RUN", "a run folder")
    option(p, "file", "FILE.npz", "inputs as in training and, where there are some, lengths and intervals")
    option(p, "--out", "OUT.npz", "write predictions and outputs here; of a regression both are its values")
    choice(p, "--checkpoint", ("best", "last"), "default: best, last before the first epoch's end")
    options.add_engine(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.files import write_atomically
    from s5ref.train import runs
    from s5ref.train.evaluate import classifies

    given = _read(Path(args.file))
    if args.out and Path(args.out).suffix != ".npz":
        raise ConfigError(f"--out must end in .npz; got {args.out}.", "Call it so.")
    loaded = runs.load(args.run, args.checkpoint)
    for warning in loaded.warnings:
        out.note(warning)
    engine = options.engine(options.engine_name(args))
    classes = classifies(loaded.model)
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
        raise DataError(f"{path} must hold inputs, and may hold lengths and intervals; {wrong}.", REMEDY)
    return given
