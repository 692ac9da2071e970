"""``s5ref train``: train a recipe or a configuration; look at it (--dry-run); try one batch (--overfit)."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, NO, Output, clock, percent

if TYPE_CHECKING:
    from s5ref.train.results import FitResult

EXAMPLES = """\
  s5ref train digits                                 data comes with s5ref
  s5ref train smnist --data ~/data --steps 1080      one epoch's updates; the schedule stays
  s5ref train listops --dry-run                      parameters, groups, memory, time; needs no data
  s5ref train digits --set model.n_layers=4 optim.lr=0.004 --seeds 0,1,2 --out runs/deep
  s5ref train --resume --out runs/deep               continue it, bit for bit
  s5ref train mine.toml --overfit                    can it learn one batch at all?
"""


def parser() -> Parser:
    p = Parser("train", __doc__ or "", "RECIPE|FILE.toml [options]", EXAMPLES)
    p.add_argument(
        "recipe", metavar="RECIPE|FILE.toml", nargs="?", help="a name from `s5ref recipes`, or a TOML file"
    )
    options.add_engine(p)
    p.add_argument(
        "--threads", metavar="N", type=options.count, help="threads to compute with (default: all cores)"
    )
    p.add_argument(
        "--no-graph",
        action="store_true",
        help="with --device cuda: launch every step instead of replaying one",
    )
    options.add_data(p)
    p.add_argument("--out", metavar="RUN", help="the run folder (default: the next free runs/RECIPE-N)")
    p.add_argument(
        "--seeds", metavar="0,1,2", type=options.seeds, help="one run per seed, in RUN/seed-S (default: 0)"
    )
    length = p.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs", metavar="N", type=options.count, help="--set train.epochs=N: the schedule follows"
    )
    length.add_argument(
        "--steps", metavar="N", type=options.count,
        help="stop after N updates counted from the start of the run; the schedule stays",
    )  # fmt: skip
    options.add_settings(p, "model.n_layers=2 (keys: `s5ref recipes digits`)")
    mode = p.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume",
        action="store_true",
        help="continue RUN; only --steps, --data, --threads and the engine may differ",
    )
    mode.add_argument("--dry-run", action="store_true", help="say what the run would be; needs no data")
    mode.add_argument("--overfit", action="store_true", help="train on one real batch until it is learned")
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    if args.recipe is None and args.settings and "=" not in args.settings[-1]:
        args.recipe = args.settings.pop()  # `train --set key=value RECIPE`
    if args.dry_run or args.overfit:
        from s5ref.cli import dry_run

        return (dry_run.dry_run if args.dry_run else dry_run.overfit)(args, out)
    from s5ref.cli import plan
    from s5ref.train.results import NonFinite

    planned = plan.resumed(args) if args.resume else plan.fresh(args)
    try:
        return _train(args, planned, out)
    except NonFinite as error:
        out.error(error.message, error.remedy)
        where = {"step": error.step, "layer": error.layer, "leaf": error.leaf, "group": error.group}
        out.result({"error": {"message": error.message, "remedy": error.remedy, **where}})
        return NO


def _train(args: argparse.Namespace, planned: Any, out: Output) -> int:
    from s5ref import data
    from s5ref.cli.progress import Display
    from s5ref.train.loop import fit
    from s5ref.train.results import Progress, SeedsResult
    from s5ref.train.seeds import fit_seeds

    config, seeds = planned.config, planned.seeds
    dataset = data.load(config.task, args.data)
    engine = options.engine(planned.engine, args.threads, graphs=not args.no_graph)
    folder = planned.claim()
    sizes = " + ".join(f"{len(split)} {name}" for name, split in dataset.splits().items())
    out.note(f"{config.task}: {sizes} examples ({dataset.source}); engine {engine.name}; run folder {folder}")
    same: dict[str, Any] = {"engine": engine, "resume": args.resume, "stop_after": args.steps}
    result: FitResult | SeedsResult
    seed = seeds[0] if seeds else None
    try:
        with Display(out) as display:
            if planned.several:

                def show(seed: int, progress: Progress) -> None:
                    display.label = f"seed {seed}  "
                    display(progress)

                result = fit_seeds(
                    config, dataset, folder, None if args.resume else seeds, report=show, **same
                )
            else:
                result = fit(config, dataset, folder, seed=seed, report=display, **same)
    except BaseException:
        if planned.out is None:  # refused before anything was written: leave no empty folder
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    runs = result.seeds if isinstance(result, SeedsResult) else [result]
    for warning in dict.fromkeys(warning for one in runs for warning in one.warnings):
        out.note(f"note: {warning}")
    out.result(_several(result) if planned.several else dataclasses.asdict(result))
    _summary(args, result, runs, out)
    return DONE if result.interrupted is None else 128 + result.interrupted


def _several(result: Any) -> dict[str, Any]:
    """The JSON of several seeds: the keys of one run, means where there is one value per seed."""
    first = result.seeds[0]
    keys = ("seed", "test_accuracy", "best_val_accuracy", "learned", "steps", "seconds", "run")
    return {
        "recipe": result.recipe, "parameters": first.parameters,
        "steps": max(one.steps for one in result.seeds),
        "seconds": result.seconds, "test_accuracy": result.test_accuracy, "std": result.std,
        "best_val_accuracy": result.best_val_accuracy, "run": result.run,
        "learned": all(one.learned for one in result.seeds), "not_learned": result.not_learned,
        "selected": first.selected, "selected_on": first.selected_on, "source": first.source,
        "seeds": [{key: getattr(one, key) for key in keys} for one in result.seeds],
        "interrupted": result.interrupted,
    }  # fmt: skip


def _summary(args: argparse.Namespace, result: Any, runs: list[FitResult], out: Output) -> None:
    first, folder = runs[0], shlex.quote(str(result.run))
    data = f" --data {shlex.quote(args.data)}" if args.data else ""
    if result.interrupted is not None:
        name = signal.Signals(result.interrupted).name
        out.say(
            f"{first.recipe}: stopped by {name} after step {runs[-1].steps}; the state is saved in {folder}"
        )
        out.say(f"  continue: s5ref train --resume --out {folder}{data}")
        return
    if len(runs) > 1:
        rows = [[str(r.seed), _figure(r, "test"), _figure(r, "best_val"), _learned(r), r.run] for r in runs]
        out.table(
            ["seed", "test", "best validation", "learned", "run"],
            rows,
            right=["seed", "test", "best validation"],
        )
        mean = f"{percent(result.test_accuracy)} ± {percent(result.std)}"
        out.say(
            f"{first.recipe}: test accuracy {mean} over {len(runs)} seeds; {result.not_learned} did not learn"
        )
    else:
        epoch = "" if first.best_epoch is None else f" (epoch {first.best_epoch})"
        best = f"best validation {_figure(first, 'best_val')}{epoch}"
        out.say(f"{first.recipe}: test {_figure(first, 'test')}, {best}")
        out.say(f"  learned   {_learned(first)}")
    if first.selected_on == "test":
        out.say("  selected  on the test set (this task has no validation set), as the published results are")
    last = " --checkpoint last" if first.selected == "last" else ""
    if last:
        out.say("  tested    the last checkpoint: no epoch ended, so there is no best one")
    out.say(f"  trained   {first.parameters:,} parameters, {first.steps:,} steps, {clock(result.seconds)}")
    curves = Path(first.run) / "curves.svg"
    out.say(f"  run       {result.run}" + (f"   plot {curves}" if curves.exists() else ""))
    out.say(f"  next      s5ref eval {shlex.quote(str(first.run))}{last}{data}")


def _figure(result: Any, which: str) -> str:
    """The accuracy, or of a regression the mean squared error."""
    accuracy, loss = getattr(result, f"{which}_accuracy"), getattr(result, f"{which}_loss")
    if accuracy is not None:
        return f"accuracy {percent(accuracy)}"
    return "–" if loss is None else f"MSE {loss:.4g}"


def _learned(result: FitResult) -> str:
    if result.learned is None:
        return "unknown: nothing was evaluated"
    return "yes" if result.learned else "no: the best validation result is not clearly above guessing"
