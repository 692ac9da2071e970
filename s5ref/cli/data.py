"""``s5ref data``: say where a recipe's data is; get it (--make); read it whole and check it (--check).

Exit code 1: the data is not there, or (--check) it is there and wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from typing import Any

from s5ref.cli import options
from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, NO, Output, percent, size
from s5ref.errors import S5Error

EXAMPLES = """\
  s5ref data smnist                       is it here, and where from if not?
  s5ref data smnist --make                download it into the cache (needs the extra `data`)
  s5ref data listops --make --data DIR    generate it into DIR/listops
  s5ref data listops --check --data DIR   read all of it and check it
"""


def parser() -> Parser:
    p = Parser("data", __doc__ or "", "RECIPE [--data DIR] [--make|--check] [--json]", EXAMPLES)
    p.add_argument("recipe", metavar="RECIPE", help="a name from `s5ref recipes`")
    options.add_data(p)
    what = p.add_mutually_exclusive_group()
    what.add_argument("--make", action="store_true", help="download or generate it")
    what.add_argument("--check", action="store_true", help="read the files and check them")
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.data import get_task

    task = get_task(args.recipe)
    if args.make:
        return _make(args, out)
    if not task.available:
        out.result(
            {
                "recipe": task.name,
                "ok": False,
                "available": False,
                "problem": "no reader yet",
                "remedy": task.where,
            }
        )
        out.say(f"{task.name}: this version of s5ref cannot read {task.title} yet.\n  where  {task.where}")
        return NO
    return _check(args, out) if args.check else _find(args, out)


def _find(args: argparse.Namespace, out: Output) -> int:
    """Are the files there? They are not read."""
    from s5ref.data import get_task
    from s5ref.data.lookup import find

    task = get_task(args.recipe)
    sizes = " + ".join(
        f"{n:,} {name}" for n, name in zip(task.sizes, ("train", "validation", "test"), strict=True) if n
    )
    facts: dict[str, Any] = {
        "recipe": task.name, "title": task.title, "length": task.length, "sizes": list(task.sizes),
        "where": task.where,
    }  # fmt: skip
    out.say(f"{task.name}: {task.title}, {task.length:,} steps, {task.n_classes} classes, {sizes} examples")
    try:
        files = [str(path) for path in find(task, args.data)] if task.file_sets else []
    except S5Error as error:
        out.result(
            facts
            | {"ok": False, "available": True, "files": [], "problem": error.message, "remedy": error.remedy}
        )
        out.say(f"  {error.message}\n  where  {task.where}")
        return NO
    out.result(facts | {"ok": True, "available": True, "files": files})
    for file in files:
        out.say(f"  {file}")
    out.say(f"  check  s5ref data {task.name} --check" if files else "  It comes with s5ref.")
    return DONE


def _check(args: argparse.Namespace, out: Output) -> int:
    from s5ref import data

    with _compiling(args.recipe, out):
        found = data.check(args.recipe, args.data)
    values = dataclasses.asdict(found)
    out.result({"recipe": values.pop("name"), "available": True} | values)
    for file in found.files:
        out.say(f"  {file.path}  {size(file.bytes)}  SHA-256 {file.sha256}")
    if not found.ok:
        out.say(f"{found.name}: NOT right. {found.problem}\n  {found.remedy}")
        return NO
    for split, examples in found.counts.items():
        share = f"   most frequent class {percent(found.majority[split])}" if split in found.majority else ""
        out.say(f"  {split:<11}{examples:>7,} examples{share}")
    out.say(f"{found.name}: right ({found.source})")
    return DONE


def _make(args: argparse.Namespace, out: Output) -> int:
    from s5ref import data

    with _compiling(args.recipe, out):
        folder = data.make(args.recipe, args.data, report=out.note)
    out.result({"recipe": args.recipe, "ok": True, "folder": str(folder)})
    option = f" --data {args.data}" if args.data else ""
    out.say(f"{args.recipe}: made in {folder}\n  next   s5ref train {args.recipe}{option}")
    return DONE


def _compiling(recipe: str, out: Output) -> contextlib.AbstractContextManager[None]:
    """ListOps is generated and checked by compiled code."""
    from s5ref.cli.progress import compiling

    return compiling(out) if recipe == "listops" else contextlib.nullcontext()
