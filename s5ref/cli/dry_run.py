"""``s5ref train --dry-run`` (what would the run be?) and ``--overfit`` (can it learn one batch?)."""

from __future__ import annotations

import argparse

from s5ref.cli import options, plan
from s5ref.cli.output import DONE, NO, Output
from s5ref.cli.units import clock, percent, size
from s5ref.engine import DEFAULT
from s5ref.errors import ConfigError
from s5ref.model.model import Model


def dry_run(args: argparse.Namespace, out: Output) -> int:
    """Parameters, groups, memory, time and the loss at initialisation against log K, without data."""
    from s5ref.train.estimate import estimate

    config = plan.configuration(args)
    engine = options.engine(options.engine_name(args) or DEFAULT, args.threads)
    found = estimate(config, engine)
    layers = str(Model(config.model).plan(engine, config.train.dtype)).splitlines()
    steps = found.steps if args.steps is None else min(args.steps, found.steps)
    memory = found.parameter_bytes + found.moment_bytes + found.activation_bytes
    total = found.step_seconds * steps
    of_run = {"steps": steps, "total_seconds": total, "memory_bytes": memory, "plan": layers}
    out.result({"recipe": config.task} | vars(found) | of_run)
    out.say(f"{config.task}: {found.parameters:,} parameters")
    out.table([{
        "group": row.group, ">lr": f"{row.lr:g} ({row.rate})", ">decay": f"{row.decay:g}",
        ">parameters": f"{row.parameters:,}", "leaves": ", ".join(row.leaves),
    } for row in found.groups])  # fmt: skip
    out.say(
        f"  memory   {size(memory)} "
        f"(parameters {size(found.parameter_bytes)}, moments {size(found.moment_bytes)}, "
        f"activations {size(found.activation_bytes)})"
    )
    out.say(f"  time     {clock(total)} for {steps:,} steps of {found.step_seconds:.3g} s")
    out.say(f"           {found.note}")
    for line in layers:
        out.say(f"  layers   {line}")
    out.say(f"  loss     {found.init_loss:.4f} at initialisation; log K = {found.log_k:.4f}")
    return DONE


def overfit(args: argparse.Namespace, out: Output) -> int:
    """Train on one real batch until it is learned; 1 if it was not."""
    from s5ref import data
    from s5ref.cli.progress import Display
    from s5ref.train import overfit as train

    if args.out or (args.seeds and len(args.seeds) > 1):
        what = "--out: it writes nothing" if args.out else "several --seeds"
        raise ConfigError(f"--overfit does not go with {what}.", "Leave it out.")
    config = plan.configuration(args)
    dataset = data.load(config.task, args.data)
    engine = options.engine(options.engine_name(args) or DEFAULT, args.threads)
    limit = {} if args.steps is None else {"max_steps": args.steps}
    seed = args.seeds[0] if args.seeds else 0
    with Display(out) as display:
        found = train.overfit(config, dataset, engine=engine, seed=seed, report=display, **limit)
    out.result({"recipe": config.task} | vars(found))
    accuracy = "" if found.accuracy is None else f", accuracy {percent(found.accuracy)}"
    verdict = "learned" if found.learned else "NOT learned"
    out.say(
        f"{config.task}: one batch of {found.examples} examples {verdict} in {found.steps} steps "
        f"(loss {found.loss:.4f}{accuracy}, {clock(found.seconds)})"
    )
    if found.interrupted is not None:
        return 128 + found.interrupted
    if not found.learned:
        out.say("  next      try --steps N for longer, --set optim.lr=… optim.ssm_lr=… for another rate")
    return DONE if found.learned else NO
