"""``s5ref eval``: loss and accuracy of a trained run on a split of its data."""

from __future__ import annotations

import argparse

from s5ref.cli import options
from s5ref.cli.options import Parser, choice, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import figure
from s5ref.errors import ConfigError

EXAMPLES = """\
  s5ref eval runs/digits-1
  s5ref eval runs/digits-1 --checkpoint last --split validation
  s5ref eval runs/mine --data mine.npz                 one's own arrays, of s5ref.data.save_arrays
  s5ref eval runs/speech35-1 --every 2 --step-rescale 2    at 8 kHz what was trained at 16 kHz: Δ doubled
"""


def parser() -> Parser:
    p = Parser("eval", __doc__ or "", "RUN [options]", EXAMPLES)
    option(p, "run", "RUN", "a run folder of `s5ref train`")
    best = "best on the selecting split, or last (default: best, last before the first epoch's end)"
    choice(p, "--checkpoint", ("best", "last"), best)
    choice(p, "--split", ("train", "validation", "test"), "default: test", default="test")
    option(
        p, "--every", "K", "take every K-th step of the inputs (default: 1)", type=options.count, default=1
    )
    option(p, "--step-rescale", "X", "multiply Δ by X (default: 1)", type=options.positive, default=1.0)
    options.add_data(p)
    options.add_engine(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.cli import plan
    from s5ref.cli.progress import fractions
    from s5ref.train import runs
    from s5ref.train.evaluate import evaluate

    loaded = runs.load(args.run, args.checkpoint)
    for warning in loaded.warnings:
        out.note(warning)
    config = loaded.config
    dataset = plan.dataset(config, args.data, training=False)
    split = dataset.splits().get(args.split)
    if split is None:
        raise ConfigError(
            f"{config.task} has no {args.split} split.",
            f"Say --split {' or '.join(dataset.splits())}.",
        )
    split = split if args.every == 1 else split.every(args.every)
    engine = options.engine(options.engine_name(args))
    with fractions(out, f"{config.task} {args.split}") as report:
        scored = evaluate(
            loaded.model, loaded.params, loaded.statistics, split, engine, config.train.batch or 100,
            step_rescale=args.step_rescale, chunk=config.train.chunk, on_batch=report,
        )  # fmt: skip
    out.result({
        "run": args.run, "recipe": config.task, "checkpoint": loaded.checkpoint, "step": loaded.step,
        "split": args.split, "accuracy": scored.accuracy, "mse": scored.mse, "loss": scored.loss,
        "examples": scored.examples, "every": args.every, "step_rescale": args.step_rescale,
        "engine": engine.name, "source": dataset.source,
    })  # fmt: skip
    score = figure(scored.accuracy, scored.mse)
    loss = "" if scored.loss == scored.mse else f", loss {scored.loss:.4f}"
    out.say(f"{config.task}: {args.split} {score}{loss} on {scored.examples:,} examples ({dataset.source})")
    rescaled = "" if args.every == 1 else f", every {args.every} steps"
    rescaled += "" if args.step_rescale == 1.0 else f", Δ × {args.step_rescale:g}"
    out.say(
        f"  {loaded.checkpoint} checkpoint of {args.run}, step {loaded.step:,}{rescaled}, "
        f"engine {engine.name}"
    )
    return DONE
