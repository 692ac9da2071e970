"""``s5ref train``: train a recipe or a configuration; look at it (--dry-run); try one batch (--overfit)."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.options import Parser, flag, option
from s5ref.cli.output import DONE, NO, Output
from s5ref.cli.units import clock, figure, percent

if TYPE_CHECKING:
    from s5ref.cli.plan import Plan
    from s5ref.ranks import Ranks
    from s5ref.train.display import Display
    from s5ref.train.results import FitResult, Progress, SeedsResult

EXAMPLES = """\
  s5ref train digits                                 data comes with s5ref
  s5ref train smnist --data ~/data --steps 1080      one epoch's updates; the schedule stays
  s5ref train listops --dry-run                      parameters, groups, memory, time; needs no data
  s5ref train digits --set model.n_layers=4 optim.lr=0.004 --seeds 0,1,2 --out runs/deep
  s5ref train --resume --out runs/deep               continue it, bit for bit
  s5ref train runs/mine/config.toml --data mine.npz --resume       a run of Python's train, on its arrays
  s5ref train mine.toml --overfit                    can it learn one batch at all?
  mpirun -n 4 s5ref train smnist                     four processes; pip install "s5ref[mpi,mpich]"
"""


def parser() -> Parser:
    p = Parser("train", __doc__ or "", "RECIPE|FILE.toml [options]", EXAMPLES)
    option(p, "recipe", "RECIPE|FILE.toml", "a name from `s5ref recipes`, or a TOML file", nargs="?")
    options.add_engine(p)
    option(p, "--threads", "N", "threads to compute with (default: all cores)", type=options.count)
    words = "under mpirun: how many ranks share each sequence (default: 1, they share examples)"
    option(p, "--sequence-ranks", "N", words, type=options.count)
    flag(p, "--no-graph", "with --device cuda: launch every step instead of replaying one")
    options.add_data(p)
    words = "the run folder (default: the next free runs/RECIPE-N)"
    option(p, "--out", "RUN", words, type=options.folder)
    option(p, "--seeds", "0,1,2", "one run per seed, in RUN/seed-S (default: 0)", type=options.seeds)
    length = p.add_mutually_exclusive_group()
    option(length, "--epochs", "N", "--set train.epochs=N: the schedule follows", type=options.count)
    stop = "stop after N updates counted from the start of the run; the schedule stays"
    option(length, "--steps", "N", stop, type=options.count)
    options.add_settings(p, "model.n_layers=2 (keys: `s5ref recipes digits`)")
    mode = p.add_mutually_exclusive_group()
    flag(mode, "--resume", "continue RUN; only --steps, --data, --threads and the engine may differ")
    flag(mode, "--dry-run", "say what the run would be; needs no data")
    flag(mode, "--overfit", "train on one real batch until it is learned")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    if args.recipe is None and args.settings and "=" not in args.settings[-1]:
        args.recipe = args.settings.pop()  # `train --set key=value RECIPE`
    from s5ref import mpi
    from s5ref.train.together import together

    ranks = mpi.world()
    out.silent = ranks.rank > 0
    if args.dry_run or args.overfit:
        from s5ref.cli import dry_run

        return DONE if out.silent else (dry_run.dry_run if args.dry_run else dry_run.overfit)(args, out)
    with together(ranks):
        return _run(args, out, ranks)


def _run(args: argparse.Namespace, out: Output, ranks: Ranks) -> int:
    from s5ref.cli import plan
    from s5ref.train.results import FitResult, NonFinite

    planned = None
    if ranks.rank == 0:
        planned = plan.resumed(args) if args.resume else plan.fresh(args)
    planned = ranks.share(planned)[0]
    for warning in planned.warnings:
        out.note(warning)
    try:
        result = _train(args, planned, out, ranks)
    except NonFinite as error:
        out.error(error)
        return NO
    runs = [result] if isinstance(result, FitResult) else result.seeds
    for warning in dict.fromkeys(warning for one in runs for warning in one.warnings):
        if warning not in planned.warnings:
            out.note(f"note: {warning}")
    out.result(result.facts() if isinstance(result, FitResult) else _several(result))
    _summary(args, result, runs, out)
    return DONE if result.interrupted is None else 128 + result.interrupted


def _train(args: argparse.Namespace, planned: Plan, out: Output, ranks: Ranks) -> FitResult | SeedsResult:
    from s5ref.cli import plan
    from s5ref.ranks import Grid
    from s5ref.train.display import Display
    from s5ref.train.loop import fit
    from s5ref.train.seeds import fit_seeds

    config = planned.config
    dataset = plan.dataset(config, args.data)
    grid = Grid.of(ranks, args.sequence_ranks or 1)
    threads = args.threads or options.share_of_cores(ranks)
    engine = options.engine(planned.engine, threads, graphs=not args.no_graph)
    folder = ranks.share(planned.claim() if ranks.rank == 0 else None)[0]
    sizes = " + ".join(f"{len(split)} {name}" for name, split in dataset.splits().items())
    out.note(f"{config.task}: {sizes} examples ({dataset.source}); engine {engine.name}; run folder {folder}")
    if ranks.size > 1:
        out.note("ranks: " + ", ".join(ranks.names()))
    same: dict[str, Any] = {"engine": engine, "resume": args.resume, "stop_after": args.steps, "grid": grid}
    try:
        with Display(out.note) if ranks.rank == 0 else contextlib.nullcontext() as display:
            if not planned.several:
                return fit(config, dataset, folder, seed=planned.seeds[0], report=display, **same)
            return fit_seeds(
                config, dataset, folder, planned.seeds,
                report=lambda seed, progress: _show(display, seed, progress), **same,
            )  # fmt: skip
    except BaseException:
        if (
            planned.out is None and ranks.rank == 0
        ):  # refused before anything was written: leave no empty folder
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _show(display: Display | None, seed: int, progress: Progress) -> None:
    if display is not None:
        display(progress, f"seed {seed}  ")


def _several(result: SeedsResult) -> dict[str, Any]:
    """The JSON of several seeds: the keys of one run, means where there is one value per seed."""
    shared = ("parameters", "selected", "selected_on", "source")
    return vars(result) | {key: getattr(result.seeds[0], key) for key in shared} | {
        "seeds": [one.facts() for one in result.seeds],
        "steps": max(one.steps for one in result.seeds), "learned": all(one.learned for one in result.seeds)
    }  # fmt: skip


def _summary(args: argparse.Namespace, result: Any, runs: list[FitResult], out: Output) -> None:
    first, folder = runs[0], shlex.quote(str(result.run))
    data = f" --data {shlex.quote(args.data)}" if args.data else ""
    if result.interrupted is not None:
        name = signal.Signals(result.interrupted).name
        out.say(
            f"{first.recipe}: stopped by {name} after step {runs[-1].steps}; the state is saved in {folder}"
        )
        steps = f" --steps {args.steps}" if args.steps else ""
        out.say(f"  continue: s5ref train --resume --out {folder}{data}{steps}")
        return
    tested = [figure(one.test_accuracy, one.test_mse) for one in runs]
    best = [figure(one.best_val_accuracy, one.best_val_mse) for one in runs]
    if len(runs) > 1:
        out.table([{
            ">seed": str(one.seed), ">test": test, ">best validation": validation,
            "learned": _learned(one), "run": one.run,
        } for one, test, validation in zip(runs, tested, best, strict=True)])  # fmt: skip
        if result.test_mse is None:
            mean = f"accuracy {percent(result.test_accuracy)} ± {percent(result.std)}"
        else:
            mean = f"MSE {result.test_mse:.4g} ± {result.std:.2g}"
        out.say(f"{first.recipe}: test {mean} over {len(runs)} seeds; {result.not_learned} did not learn")
    else:
        epoch = "" if first.best_epoch is None else f" (epoch {first.best_epoch})"
        test = "" if first.test_loss is None else f"test {tested[0]}, "
        out.say(f"{first.recipe}: {test}best validation {best[0]}{epoch}")
        out.say(f"  learned   {_learned(first)}")
    if first.selected_on == "test":
        out.say("  selected  on the test set (this task has no validation set), as the published results are")
    last = " --checkpoint last" if first.selected == "last" else ""
    if last:
        out.say("  tested    the last checkpoint: no epoch ended, so there is no best one")
    out.say(f"  trained   {first.parameters:,} parameters, {first.steps:,} steps, {clock(result.seconds)}")
    curves = Path(first.run) / "curves.svg"
    out.say(f"  run       {result.run}" + (f"   plot {curves}" if curves.exists() else ""))
    split = " --split validation" if first.test_loss is None else ""
    out.say(f"  next      s5ref eval {shlex.quote(str(first.run))}{last}{data}{split}")


def _learned(result: FitResult) -> str:
    if result.learned is None:
        return "unknown: nothing was evaluated"
    return "yes" if result.learned else "no: the best validation result is not clearly above guessing"
