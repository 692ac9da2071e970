"""``s5ref show``: what a run has learned, on one screen or as a page of HTML."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.class_table import class_table
from s5ref.cli.options import Parser, choice, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import bars, clock, number, percent
from s5ref.errors import ConfigError

if TYPE_CHECKING:
    from s5ref.show.page import View

EXAMPLES = """\
  s5ref show runs/digits-1
  s5ref show runs/digits-1 --html digits.html          confusions, eigenvalues, what answers rest on
  s5ref show runs/smnist-1 --data ~/data --split validation
  s5ref show runs/gestures-1 --html gestures.html      of `s5ref fit`: which filters and time scales matter
"""
OF_TRAIN = ("checkpoint", "split", "device", "engine", "tf32")  # options


def parser() -> Parser:
    p = Parser("show", __doc__ or "", "RUN [options]", EXAMPLES)
    option(p, "run", "RUN", "a run folder of `s5ref train` or `s5ref fit`")
    option(p, "--html", "FILE", "write a page that needs nothing else, no network and no script")
    best = "best on the selecting split, or last (default: best, or last where no epoch ended)"
    choice(p, "--checkpoint", ("best", "last"), best)
    choice(p, "--split", ("train", "validation", "test"), "default: test")
    words = (
        "where the data is (default: S5REF_DATA, then the cache); FILE.npz: one's own arrays; of `s5ref fit` "
    )
    option(p, "--data", "DIR|FILE", f"{words}a file of series with targets (default: its test file)")
    options.add_engine(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.cli import plan
    from s5ref.cli.progress import fractions
    from s5ref.show.page import page, view
    from s5ref.train.runs import is_fit

    if is_fit(args.run):
        from s5ref.cli import show_fit

        if given := [name for name in OF_TRAIN if getattr(args, name)]:
            raise ConfigError(
                f"--{given[0]} is of runs of `s5ref train`; {args.run} is one of `s5ref fit`.",
                "Leave it out.",
            )
        return show_fit.show(args.run, args.data, args.html, out)
    split = args.split or "test"
    engine = options.engine(options.engine_name(args))
    with fractions(out, f"asking the model about the {split} set") as report:
        shown = view(
            args.run, which=args.checkpoint, split=split, engine=engine, on_batch=report,
            dataset=lambda config: plan.dataset(config, args.data, training=False),
        )  # fmt: skip
    out.result(_facts(shown) | {"html": args.html})
    _screen(shown, out)
    out.page(args.html, lambda: page(shown), f"s5ref show {args.run} --html FILE")
    return DONE


def _facts(view: View) -> dict[str, Any]:
    from s5ref.show.answers import per_class

    record, answers = view.record, view.answers
    facts: dict[str, Any] = {
        "run": str(view.run), "recipe": record.config.task, "checkpoint": record.loaded.checkpoint,
        "step": record.loaded.step, "seed": record.facts["seed"], "parameters": record.parameters,
        "seconds": record.seconds, "epochs": record.facts["epochs"], "best": record.best,
        "changed": {key: here for key, (here, _) in record.changed().items()},
        "seeds": [{"seed": one.facts["seed"], "best": one.best} for one in view.records],
        "time_constants": [of.steps.tolist() for of in view.after()], "missing": view.missing,
    }  # fmt: skip
    if answers is not None:
        facts |= {"split": answers.name, "source": answers.source, **answers.scored._asdict()}
        if answers.classifies:
            matrix = answers.confusion()
            facts |= {
                "confusion": matrix.tolist(),
                "classes": [row._asdict() for row in per_class(matrix)],
            }
    return facts


def _screen(view: View, out: Output) -> None:
    from s5ref.show.page import headline, remarks

    record, config = view.record, view.record.config
    m = config.model
    out.say(headline(view))
    shape = f"{m.n_layers} layers, d_model {m.d_model}, ssm_size {m.ssm_size}, {m.activation}, {m.head}"
    out.say(f"  model     {shape}; {record.parameters:,} parameters")
    spent = f"{record.facts['step']:,} updates, {clock(record.seconds)}"
    epochs = f"{record.facts['epochs']} of {config.train.epochs} epochs"
    out.say(
        f"  trained   {epochs}, {spent}; {record.loaded.checkpoint} checkpoint, seed {record.facts['seed']}"
    )
    if changed := record.changed():
        said = [f"{key} {here} ({there})" for key, (here, there) in changed.items()]
        more = f" and {len(said) - 3} more" if len(said) > 3 else ""
        out.say(f"  changed   {', '.join(said[:3])}{more}; in brackets the recipe's")
    if len(record.epochs) > 1:
        out.say(f"  loss      {bars([line['train_loss'] for line in record.epochs])}  by epoch, training")
        out.say(f"            {bars([line['val_loss'] for line in record.epochs])}  validation")
    for remark in remarks(view):
        out.say(f"  note      {remark}")
    if view.missing:
        out.say(f"  data      {view.missing}")
    if len(view.records) > 1:
        out.table([{
            ">seed": str(one.facts["seed"]), ">best validation": _best(one.best), ">epoch": _epoch(one.best),
            ">updates": str(one.facts["step"]), ">time": clock(one.seconds),
        } for one in view.records])  # fmt: skip
        out.say(f"  below     seed {record.facts['seed']}, the median of them")
    _layers(view, out)
    if view.answers is not None and view.answers.classifies:
        counts = view.answers.confusion()
        class_table(counts, [str(k) for k in range(len(counts))], out)


def _layers(view: View, out: Output) -> None:
    from s5ref.show.sections import scale_rows

    titles = (">Δ, median", ">τ, shortest", ">τ, median", ">τ, longest", ">do not decay")
    rows = scale_rows(view.before(), view.after())
    out.table([{">layer": str(i), **dict(zip(titles, row, strict=True))} for i, row in enumerate(rows)])
    arrow = "; before → after training" if view.record.initial else ""
    out.say(f"  τ: steps until a state has decayed to 1/e; a sequence has {view.length:,}{arrow}")


def _best(best: dict[str, Any] | None) -> str:
    if best is None:
        return "–"
    return number(best["mse"]) if best["accuracy"] is None else percent(best["accuracy"])


def _epoch(best: dict[str, Any] | None) -> str:
    return "–" if best is None else str(best["epoch"])
