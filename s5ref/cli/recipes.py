"""``s5ref recipes``: the built-in recipes, their sizes and whether their data is here; or the TOML of one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from s5ref.cli.options import Parser, option
from s5ref.cli.output import DONE, Output
from s5ref.cli.units import number
from s5ref.errors import S5Error

if TYPE_CHECKING:
    from s5ref.data.tasks import Task

EXAMPLES = """\
  s5ref recipes
  s5ref recipes smnist > mine.toml       a configuration to edit: s5ref train mine.toml
"""


def parser() -> Parser:
    p = Parser("recipes", __doc__ or "", "[NAME] [--json]", EXAMPLES)
    option(p, "name", "NAME", "show this one as TOML", nargs="?")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref import recipes
    from s5ref.data import READERS, TASKS
    from s5ref.model.leaves import parameter_count
    from s5ref.train.config import RunConfig

    if args.name is not None:
        text = recipes.text(args.name)
        config = RunConfig.recipe(args.name)
        out.result({"name": args.name, "toml": text, "config": config.to_dict()})
        out.say(text.rstrip("\n"))
        return DONE
    entries, rows = [], []
    for name in recipes.names():
        task = TASKS[name]
        place = data_place(task)
        count = parameter_count(RunConfig.recipe(name).model)
        entries.append({
            "name": name, "title": task.title, "length": task.length, "in_dim": task.in_dim,
            "n_classes": task.n_classes, "parameters": count,
            "examples": task.train_size, "trainable": name in READERS, "here": bool(place), "place": place,
            "lacks": "" if place else command(task), "where": task.where,
        })  # fmt: skip
        rows.append({
            "recipe": name, "task": task.title, ">length": f"{task.length:,}",
            ">parameters": number(count, "{:,}"), ">examples": f"{task.train_size:,}",
            "data": data_words(task),
        })  # fmt: skip
    out.result({"recipes": entries})
    out.table(rows)
    out.say("Show one: s5ref recipes NAME     Train one: s5ref train NAME     Its data: s5ref data NAME")
    return DONE


def data_place(task: Task) -> str:
    """The folder of the data, "" where they are not here. Does not read the files."""
    from s5ref.data.lookup import find

    if not task.file_sets:
        return "s5ref"
    try:
        return str(find(task, None)[0].parent)
    except S5Error:
        return ""


def command(task: Task) -> str:
    """What brings the data of a task here."""
    return f"s5ref data {task.name} --make"


def data_words(task: Task) -> str:
    """The folder of the data, or what stands for it."""
    place = data_place(task)
    if not place:
        return f"not here: {command(task)}"
    return place if task.file_sets else "comes with s5ref"
