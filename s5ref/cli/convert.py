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
from s5ref.cli.options import Parser
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
    p.add_argument("source", metavar="IN", help="a file of weights, or a run folder")
    p.add_argument("out", metavar="OUT", help="a new file or run folder; an existing one is refused")
    p.add_choice("--from", NAMES, "names in IN (default: recognised)", dest="from_names")
    p.add_choice("--to", NAMES, "names in OUT (default: by extension)", dest="to_names")
    base = "what weights do not show; keys that it leaves out are read off their shapes"
    p.add_argument("--config", metavar="RECIPE|FILE.toml", help=base)
    options.add_settings(p, "model.conj_sym=false")
    p.add_choice("--checkpoint", ("best", "last"), "of a run folder IN (default: best)", "best")
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.interop import facts, folder, weights

    source, target = Path(args.source).expanduser(), Path(args.out).expanduser()
    to_folder = target.suffix not in weights.READERS
    if to_folder:
        if target.suffix[1:].isalpha():
            known = ", ".join(weights.WRITERS)
            raise ConfigError(
                f"{target}: weights are written to {known} or a run folder.",
                "Name OUT so, a folder without a dot.",
            )
        if args.to_names:
            raise ConfigError(f"--to names the leaves of a file; {target} is a run folder.", "Leave it out.")
        weights.check_free(target)
        under = "run"
    else:
        under = weights.check_writable(target, args.to_names)
    found, own = _read(args, source)
    base = _base(args, source, own)
    found = _in_stated_form(found, base, args.settings)
    shape = facts.facts(found.params, found.statistics, found.conj_sym)
    resolved: Resolved | None = None
    if to_folder:
        if base is None:
            seen = ", ".join(f"{key} = {value}" for key, value in shape.model.items())
            raise ConfigError(
                f"A run folder needs a configuration; the weights show only {seen}, kept = {shape.kept}.",
                f"Name one: --config RECIPE or FILE.toml. {facts.suggestion(shape)}",
            )
        resolved = facts.resolve(shape, *base, args.settings)
        found = found.in_form(resolved.config.model.conj_sym)
        folder.write(target, found, resolved.config, source)
    else:
        weights.write(target, found, under)
    _report(args, out, found, resolved, under)
    return DONE


def _read(args: argparse.Namespace, source: Path) -> tuple[Weights, str | None]:
    """The weights of IN, and the text of its configuration where it is a run folder."""
    from s5ref.interop import folder, weights

    if not source.is_dir():
        return weights.read(source, args.from_names), None
    if args.from_names:
        raise ConfigError(f"--from names the leaves of a file; {source} is a folder.", "Leave it out.")
    found, config = folder.read(source, args.checkpoint)
    return found, config.to_toml()


def _base(args: argparse.Namespace, source: Path, own: str | None) -> tuple[str, str] | None:
    """(TOML text, its name) of --config, or of the run folder IN."""
    if args.config is None:
        return None if own is None else (own, f"{source}/config.toml")
    return plan.source(args.config)


def _in_stated_form(found: Weights, base: tuple[str, str] | None, settings: list[str]) -> Weights:
    """With the states that the configuration asks for: all of them, or half of each pair. Where it says
    nothing, all
    states become half where that loses nothing."""
    from s5ref.interop import facts

    wanted = facts.stated_conj_sym(*(base or ("", "")), settings)
    if wanted is None and found.conj_sym is False:
        wanted = found.foldable()
    return found if wanted is None else found.in_form(wanted)


def _report(
    args: argparse.Namespace, out: Output, found: Weights, resolved: Resolved | None, under: str
) -> None:
    from s5ref.interop import facts

    doubts = facts.doubts(found.params, found.conj_sym)
    numbers = sum(value.size for value in found.params.values())
    dtype = next(iter(found.params.values())).dtype.name
    out.result({
        "in": args.source, "out": args.out, "from": found.names, "to": under, "parameters": numbers,
        "leaves": len(found.params), "statistics": len(found.statistics), "dtype": dtype,
        "conj_sym": found.conj_sym, "left_aside": list(found.aside), "warnings": doubts,
        "recipe": resolved.config.task if resolved else None,
        "derived": resolved.derived if resolved else [], "assumed": resolved.assumed if resolved else [],
    })  # fmt: skip
    out.say(
        f"{args.source} ({found.names}) → {args.out} ({under}): {numbers:,} parameters in "
        f"{len(found.params)} leaves, {len(found.statistics)} statistics, {dtype}"
    )
    if found.aside:
        out.say(
            f"  left aside: {len(found.aside)} entries that are no weights ({', '.join(found.aside[:3])} …)"
        )
    if resolved and resolved.derived:
        out.say(f"  read off the weights: {', '.join(resolved.derived)}")
    if resolved and resolved.assumed:
        out.say(f"  not said, at their defaults: {', '.join(resolved.assumed)}")
    for doubt in doubts:
        out.note(f"s5ref: {doubt}")
