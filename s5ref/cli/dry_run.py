"""``s5ref train --dry-run`` (what would the run be?) and ``--overfit`` (can it learn one batch?)."""

from __future__ import annotations

import argparse

from s5ref.cli import options, plan
from s5ref.cli.output import DONE, NO, Output
from s5ref.cli.units import clock, percent, size
from s5ref.errors import ConfigError
from s5ref.model.heads import HEADS
from s5ref.model.model import Model


def dry_run(args: argparse.Namespace, out: Output) -> int:
    """Parameters, groups, memory, time and the loss at initialisation, without the data of a task."""
    from s5ref.data import TASKS
    from s5ref.train.estimate import estimate

    config = plan.configuration(args)
    engine = options.engine(options.engine_name(args), args.threads)
    own = plan.dataset(config, args.data) if config.task not in TASKS else None
    estimated = estimate(config, engine, own)
    layers = str(Model(config.model).plan(engine, config.train.dtype)).splitlines()
    steps = estimated.steps if args.steps is None else min(args.steps, estimated.steps)
    memory = estimated.parameter_bytes + estimated.moment_bytes + estimated.activation_bytes
    total = estimated.step_seconds * steps
    of_run = {"steps": steps, "total_seconds": total, "memory_bytes": memory, "plan": layers}
    out.result({"recipe": config.task} | vars(estimated) | of_run)
    out.say(f"{config.task}: {estimated.parameters:,} parameters")
    out.table([{
        "group": row.group, ">lr": f"{row.lr:g} ({row.rate})", ">decay": f"{row.decay:g}",
        ">parameters": f"{row.parameters:,}", "leaves": ", ".join(row.leaves),
    } for row in estimated.groups])  # fmt: skip
    out.say(
        f"  memory   {size(memory)} "
        f"(parameters {size(estimated.parameter_bytes)}, moments {size(estimated.moment_bytes)}, "
        f"activations {size(estimated.activation_bytes)})"
    )
    out.say(f"  time     {clock(total)} for {steps:,} steps of {estimated.step_seconds:.3g} s")
    out.say(f"           {estimated.note}")
    for line in layers:
        out.say(f"  layers   {line}")
    guessing = (
        f"; log K = {estimated.log_k:.4f}" if HEADS[config.model.head].classifies else ", on random targets"
    )
    out.say(f"  loss     {estimated.init_loss:.4f} at initialisation{guessing}")
    return DONE


def overfit(args: argparse.Namespace, out: Output) -> int:
    """Train on one real batch until it is learned; 1 if it was not."""
    from s5ref.train import overfit as train
    from s5ref.train.display import Display

    if args.out or (args.seeds and len(args.seeds) > 1):
        what = "--out: it writes nothing" if args.out else "several --seeds"
        raise ConfigError(f"--overfit does not go with {what}.", "Leave it out.")
    config = plan.configuration(args)
    dataset = plan.dataset(config, args.data)
    engine = options.engine(options.engine_name(args), args.threads)
    limit = {} if args.steps is None else {"max_steps": args.steps}
    seed = args.seeds[0] if args.seeds else 0
    with Display(out.note) as display:
        result = train.overfit(config, dataset, engine=engine, seed=seed, report=display, **limit)
    out.result({"recipe": config.task} | vars(result))
    accuracy = "" if result.accuracy is None else f", accuracy {percent(result.accuracy)}"
    stopped = "stopped before it was learned, after" if result.interrupted is not None else "NOT learned in"
    verdict = "learned in" if result.learned else stopped
    out.say(
        f"{config.task}: one batch of {result.examples} examples {verdict} {result.steps} steps "
        f"(loss {result.loss:.4f}{accuracy}, {clock(result.seconds)})"
    )
    if result.interrupted is not None:
        return 128 + result.interrupted
    if not result.learned:
        out.say("  next      try --steps N for longer, --set optim.lr=… optim.ssm_lr=… for another rate")
    return DONE if result.learned else NO
