"""``s5ref data``: say where a recipe's data is; get it (--make); read it whole and check it (--check).

Exit code 1: the data is not there, or (--check) it is there and wrong.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.cli.options import Parser, flag, option
from s5ref.cli.output import DONE, NO, Output
from s5ref.cli.progress import compiling
from s5ref.cli.units import percent, size
from s5ref.errors import S5Error

if TYPE_CHECKING:
    from s5ref.data.tasks import Task

EXAMPLES = """\
  s5ref data smnist                       is it here, and where from if not?
  s5ref data smnist --make                download it into the cache (needs the extra `data`)
  s5ref data listops --make --data DIR    generate it into DIR/listops
  s5ref data text --make                  download the official archive, held against its checksum
  s5ref data listops --check --data DIR   read all of it and check it
"""


def parser() -> Parser:
    p = Parser("data", __doc__ or "", "RECIPE [--data DIR] [--make|--check] [--json]", EXAMPLES)
    option(p, "recipe", "RECIPE", "a name from `s5ref recipes`")
    options.add_data(p)
    what = p.add_mutually_exclusive_group()
    flag(what, "--make", "download or generate it")
    flag(what, "--check", "read the files and check them")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.data import READERS, get_task

    task = get_task(args.recipe)
    if args.make or args.check:
        with compiling(out) if READERS[task.name].compiled else contextlib.nullcontext():
            return (_make if args.make else _check)(args, out)
    facts = {"recipe": task.name, "available": True, "title": task.title, "length": task.length}
    return _find(task, args.data, facts | {"sizes": task.sizes, "where": task.where}, out)


def _find(task: Task, data: str | None, facts: dict[str, Any], out: Output) -> int:
    """Are the files there? They are not read."""
    from s5ref.data.lookup import find

    sizes = " + ".join(
        f"{n:,} {name}" for n, name in zip(task.sizes, ("train", "validation", "test"), strict=True) if n
    )
    out.say(f"{task.name}: {task.title}, {task.length:,} steps, {task.n_classes} classes, {sizes} examples")
    try:
        files = [str(path) for path in find(task, data)] if task.file_sets else []
    except S5Error as error:
        out.result(facts | {"ok": False, "files": [], "problem": error.message, "remedy": error.remedy})
        out.say(f"  {error.message}\n  where  {task.where}")
        return NO
    out.result(facts | {"ok": True, "files": files})
    for file in files:
        out.say(f"  {file}")
    out.say(f"  check  s5ref data {task.name} --check" if files else "  It comes with s5ref.")
    return DONE


def _check(args: argparse.Namespace, out: Output) -> int:
    from s5ref import data

    checked = data.check(args.recipe, args.data)
    facts = dict(vars(checked))
    out.result({"recipe": facts.pop("name"), "available": True} | facts)
    for file in checked.files:
        digest = f"  SHA-256 {file.sha256}" if file.sha256 else ""
        out.say(f"  {file.path}  {size(file.bytes)}{digest}")
    if not checked.ok:
        out.say(f"{checked.name}: NOT right. {checked.problem}\n  {checked.remedy}")
        return NO
    for split, examples in checked.counts.items():
        most = checked.majority.get(split)
        share = "" if most is None else f"   most frequent class {percent(most)}"
        out.say(f"  {split:<11}{examples:>7,} examples{share}")
    out.say(f"{checked.name}: right ({checked.source})")
    return DONE


def _make(args: argparse.Namespace, out: Output) -> int:
    from s5ref import data

    folder = data.make(args.recipe, args.data, report=out.note)
    out.result({"recipe": args.recipe, "ok": True, "folder": str(folder)})
    there = f" --data {args.data}" if args.data else ""
    out.say(f"{args.recipe}: made in {folder}\n  next   s5ref train {args.recipe}{there}")
    return DONE
