"""``s5ref convert``: weights between Flax trees, torch state dicts and run folders.

So that `s5ref eval` runs weights that another framework trained, and the other way round. By extension:
.msgpack and .npz hold Flax variables of lindermanlab/S5, .safetensors and .pt a state dict around the SSM
of s5-pytorch; a name without extension is a run folder. docs/conversion.md has the names and the limits.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli import options, plan
from s5ref.cli.options import Parser, choice, option
from s5ref.cli.output import DONE, Output
from s5ref.errors import ConfigError

if TYPE_CHECKING:
    from s5ref.interop.facts import Resolved
    from s5ref.interop.weights import Weights

EXAMPLES = """\
  s5ref convert smnist.msgpack runs/theirs --config smnist && s5ref eval runs/theirs
  s5ref convert runs/smnist-1 smnist.msgpack             for flax.serialization.from_bytes
  s5ref convert runs/smnist-1 smnist.safetensors         a torch state dict, all P states
  s5ref convert theirs.pt runs/theirs --config mine.toml --set model.conj_sym=false
"""
NAMES = ("flax", "s5-pytorch", "s5ref")


def parser() -> Parser:
    p = Parser("convert", __doc__ or "", "IN OUT [options]", EXAMPLES)
    option(p, "source", "IN", "a file of weights, or a run folder")
    option(p, "out", "OUT", "a new file or run folder; an existing one is refused")
    choice(p, "--from", NAMES, "names in IN (default: recognised)", dest="from_names")
    choice(p, "--to", NAMES, "names in OUT (default: by extension)", dest="to_names")
    base = "what weights do not show; keys that it leaves out are read off their shapes"
    option(p, "--config", "RECIPE|FILE.toml", base)
    options.add_settings(p, "model.conj_sym=false")
    choice(p, "--checkpoint", ("best", "last"), "of a run folder IN (default: best)", default="best")
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.interop import facts, folder, weights

    source, target = Path(args.source).expanduser(), Path(args.out).expanduser()
    to_folder = not target.suffix[1:].isalpha()
    if to_folder and args.to_names:
        raise ConfigError(f"--to names the leaves of a file; {target} is a run folder.", "Leave it out.")
    if to_folder:
        weights.check_free(target)
    under = "run" if to_folder else weights.check_writable(target, args.to_names)
    given, base = _read(args, source)
    given = _in_stated_form(given, base, args.settings)
    shape = facts.facts(given.params, given.statistics, given.conj_sym)
    resolved: Resolved | None = None
    if to_folder:
        if base is None:
            seen = ", ".join(f"{key} = {value}" for key, value in shape.model.items())
            raise ConfigError(
                f"A run folder needs a configuration; the weights show only {seen}, kept = {shape.kept}.",
                f"Name one: --config RECIPE or FILE.toml. {facts.suggestion(shape)}",
            )
        resolved = facts.resolve(shape, *base, args.settings)
        given = given.in_form(resolved.config.model.conj_sym)
        folder.write(target, given, resolved.config, source)
    else:
        facts.check_theirs(under, *(base or ("", "")), args.settings)
        weights.write(target, given, under)
    _report(args, out, given, resolved, under)
    return DONE


def _read(args: argparse.Namespace, source: Path) -> tuple[Weights, tuple[str, str] | None]:
    """The weights of IN, and (TOML text, its name) of --config or of the run folder IN."""
    from s5ref.interop import folder, weights

    base = plan.source(args.config) if args.config is not None else None
    if not source.is_dir():
        return weights.read(source, args.from_names), base
    if args.from_names:
        raise ConfigError(f"--from names the leaves of a file; {source} is a folder.", "Leave it out.")
    given, config = folder.read(source, args.checkpoint)
    return given, base or (config.to_toml(), f"{source}/config.toml")


def _in_stated_form(given: Weights, base: tuple[str, str] | None, settings: list[str]) -> Weights:
    """With the states that the configuration asks for: all of them, or half of each pair.

    Where it says nothing, all states become half where that loses nothing.
    """
    from s5ref.interop import facts

    wanted = facts.stated_conj_sym(*(base or ("", "")), settings)
    if wanted is None and given.conj_sym is False:
        wanted = given.foldable()
    return given if wanted is None else given.in_form(wanted)


def _report(
    args: argparse.Namespace, out: Output, given: Weights, resolved: Resolved | None, under: str
) -> None:
    from s5ref.interop import facts

    doubts = facts.doubts(given.params, given.conj_sym)
    numbers = sum(value.size for value in given.params.values())
    dtype = next(iter(given.params.values())).dtype.name
    derived, assumed = (resolved.derived, resolved.assumed) if resolved else ([], [])
    out.result({
        "in": args.source, "out": args.out, "from": given.names, "to": under, "parameters": numbers,
        "leaves": len(given.params), "statistics": len(given.statistics), "dtype": dtype,
        "conj_sym": given.conj_sym, "left_aside": given.aside, "warnings": doubts,
        "recipe": resolved and resolved.config.task, "derived": derived, "assumed": assumed,
    })  # fmt: skip
    out.say(
        f"{args.source} ({given.names}) → {args.out} ({under}): {numbers:,} parameters in "
        f"{len(given.params)} leaves, {len(given.statistics)} statistics, {dtype}"
    )
    if given.aside:
        some = ", ".join(given.aside[:3])
        out.say(f"  left aside: {len(given.aside)} entries that are no weights ({some} …)")
    if derived:
        out.say(f"  read off the weights: {', '.join(derived)}")
    if assumed:
        out.say(f"  not said, at their defaults: {', '.join(assumed)}")
    for doubt in doubts:
        out.note(f"s5ref: {doubt}")
