"""``s5ref fit``: a model of the series in a file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.options import Parser, choice, flag, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import clock, score

if TYPE_CHECKING:
    from s5ref.series import Table

TRAINED = 5000  # series: auto trains more than that by gradient
EXAMPLES = """\
  s5ref fit gestures.csv --target label                       a row a series, its columns the steps
  s5ref fit gestures.csv --target label --test more.csv       and the score on series that it has not seen
  s5ref fit sensors.csv --id patient --time hour --target outcome      a row a step
  s5ref fit GunPoint_TRAIN.ts --test GunPoint_TEST.ts --method gradient
"""


def parser() -> Parser:
    p = Parser("fit", __doc__ or "", "FILE [options]", EXAMPLES)
    option(p, "file", "FILE", "series: .csv, .tsv, .npz, .npy, .parquet, .ts or .arff")
    options.add_columns(p)
    option(p, "--test", "FILE", "series to test the model on")
    methods = (
        "random S5 features and a ridge, in seconds; an S5 trained by gradient, in minutes; auto chooses"
    )
    choice(p, "--method", ("auto", "features", "gradient"), methods, default="auto")
    flag(p, "--online", "features: a model that `s5ref predict --follow` can take step by step")
    option(p, "--seed", "N", "of what is drawn at random (default: 0)", type=int, default=0)
    option(p, "--out", "RUN", "the run folder (default: the next free runs/FILE-N)", type=options.folder)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.cli.plan import free_folder
    from s5ref.estimators import folder
    from s5ref.interop.weights import check_free

    if args.out is not None:
        check_free(args.out)
    how = options.columns(args)
    table = options.read_series(args.file, how, out)
    series, y = table.training()
    how |= {"task": table.target.task if table.target else "auto"}  # of every file from now on
    if table.tokens:
        how["tokens"] = list(series.channels or ())
    test = options.read_series(args.test, how, out) if args.test else None
    started = time.perf_counter()
    estimator, method = _estimator(args, table)
    out.note(f"fitting {method}")
    estimator.fit(series, y)
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {
        "file": args.file, "description": table.description, "method": method, "seconds": seconds,
        "read": how,
        "left_out": getattr(estimator, "left_out_score_", None),
        "test": None if test is None or test.y is None else float(estimator.score(test.series, test.y)),
        "test_file": args.test,
    }  # fmt: skip
    place = Path(args.out) if args.out is not None else free_folder(Path(args.file).stem)
    place.mkdir(parents=True, exist_ok=True)
    folder.write(place, estimator, facts)
    classes = how["task"] == "classes"
    if facts["left_out"] is not None:
        out.say(
            f"{score(facts['left_out'], classes)} on the series of {args.file}, each by a model of the others"
        )
    if test is not None and facts["test"] is not None:
        out.say(f"{score(facts['test'], classes)} on the {len(test.series):,} series of {args.test}")
    out.say(f"  fitted in {clock(seconds)}: {place}")
    out.say(f"  next      s5ref predict {place} NEW{Path(args.file).suffix}")
    out.result(facts | {"run": str(place)})
    return DONE


def _estimator(args: argparse.Namespace, table: Table) -> tuple[Any, str]:
    """The estimator that fits the target, the method and the number of series; and what it is."""
    import s5ref

    assert table.target is not None
    classes = table.target.task == "classes"
    gradient = args.method == "gradient" or (
        args.method == "auto" and len(table.series) > TRAINED and not args.online
    )
    kind: Any
    if gradient:
        kind = s5ref.S5Classifier if classes else s5ref.S5Regressor
        return kind(random_state=args.seed), "an S5 by gradient, beside a ridge on random S5 features"
    kind = s5ref.S5FeatureClassifier if classes else s5ref.S5FeatureRegressor
    return kind(online=args.online, random_state=args.seed), "random S5 features and a ridge"
