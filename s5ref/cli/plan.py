"""What ``s5ref train`` is asked to do: configuration, engine, seeds, folder of a run, new or resumed."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s5ref.cli import options
from s5ref.engine import DEFAULT
from s5ref.errors import ConfigError

if TYPE_CHECKING:
    from s5ref.train.config import RunConfig


@dataclass(frozen=True)
class Plan:
    """out None: the next free folder. seeds None: the run's own. several: a folder per seed in ``out``."""

    config: RunConfig
    engine: str
    seeds: list[int] | None
    several: bool
    out: Path | None

    def claim(self) -> Path:
        """The run folder; a default one is made at once, so that nobody else takes it."""
        if self.out is not None:
            return self.out
        for number in range(1, 1_000_000):
            folder = Path("runs") / f"{self.config.task}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return folder
        raise ConfigError(f"Every folder runs/{self.config.task}-N is taken.", "Name a folder with --out.")


def fresh(args: argparse.Namespace) -> Plan:
    """A new run; a folder that holds a checkpoint is refused."""
    from s5ref.train import runs

    config = configuration(args)
    engine = options.engine_name(args) or DEFAULT
    out = Path(args.out).expanduser() if args.out else None
    if out is not None:
        runs.refuse_existing(out)
    seeds = args.seeds or [0]
    return Plan(config, engine, seeds, len(seeds) > 1, out)


def configuration(args: argparse.Namespace) -> RunConfig:
    """The recipe or file, with --set and --epochs applied."""
    if args.recipe is None:
        raise ConfigError(
            "A recipe or a TOML file is missing.",
            "Example: s5ref train digits. `s5ref recipes` lists what there is.",
        )
    return _base(args.recipe).override(_settings(args))


def source(recipe: str) -> tuple[str, str]:
    """(TOML text, its name in errors) of a recipe or a file."""
    from s5ref import recipes
    from s5ref.train.config import read_toml

    path = Path(recipe).expanduser()
    if recipe not in recipes.names() and (path.suffix == ".toml" or path.is_file()):
        return read_toml(path), str(path)
    return recipes.text(recipe), f"recipe {recipe}"


def _base(recipe: str) -> RunConfig:
    from s5ref.train.config import RunConfig

    return RunConfig.from_toml_text(*source(recipe))


def _settings(args: argparse.Namespace) -> list[str]:
    epochs = [] if args.epochs is None else [f"train.epochs={args.epochs}"]
    if epochs and any(setting.partition("=")[0].strip() == "train.epochs" for setting in args.settings):
        raise ConfigError("--epochs is --set train.epochs; got both.", "Give one of the two.")
    return [*args.settings, *epochs]


def resumed(args: argparse.Namespace) -> Plan:
    """The run in --out continued: everything is RUN's own. What is said again must be the same."""
    from s5ref.train import runs

    if not args.out:
        raise ConfigError(
            "--resume needs the run folder.", "Example: s5ref train --resume --out runs/digits-1."
        )
    out = Path(args.out).expanduser()
    if not out.is_dir():
        raise ConfigError(
            f"{out} does not exist, so there is nothing to resume.", "Leave out --resume to begin it."
        )
    own = runs.read_config(out)
    _same_configuration(args, own, out)
    several = runs.read_seeds(out)
    facts = _facts(out if several is None else out / f"seed-{several[0]}")
    engine = options.engine_name(args) or facts.get("engine") or DEFAULT  # checkpoints are of no engine
    if several is not None or (args.seeds and len(args.seeds) > 1):
        _same("seeds", args.seeds, several or [facts.get("seed", 0)], out)
        return Plan(own, engine, None, True, out)
    seed = _same("seed", args.seeds[0] if args.seeds else None, facts.get("seed"), out)
    return Plan(own, engine, None if seed is None else [seed], False, out)


def _same(what: str, given: Any, own: Any, out: Path) -> Any:
    """RUN's own value, or the given one where RUN says nothing; ConfigError if they differ."""
    if given is not None and own is not None and given != own:
        raise ConfigError(
            f"{out} was begun with the {what} {own}; a resumed run keeps it, got {given}.",
            "Leave it out, or begin a new run. Only --steps, --data, --threads and the engine may differ.",
        )
    return own if own is not None else given


def _same_configuration(args: argparse.Namespace, own: RunConfig, out: Path) -> None:
    """A built-in recipe must be RUN's; a file, --set and --epochs must agree with RUN's config.toml."""
    from s5ref import recipes

    changed = _differences(own, own.override(_settings(args)))
    if args.recipe is not None and args.recipe in recipes.names():
        changed += [f"recipe: {own.task} there, {args.recipe} here"] if args.recipe != own.task else []
    elif args.recipe is not None:
        base = _base(args.recipe)
        whole = _differences(own, base.override(_settings(args)))
        changed += whole if _differences(own, base) else []
    if changed:
        raise ConfigError(
            f"A resumed run keeps the configuration of {out}/config.toml; not so: {'; '.join(changed)}.",
            "Leave them out, or begin a new run with another --out.",
        )


def _differences(own: RunConfig, given: RunConfig) -> list[str]:
    """One phrase per key whose values differ."""
    return [f"{key}: {a} there, {b} here" for key, (a, b) in own.differences(given).items()]


def _facts(run: Path) -> dict[str, Any]:
    """environment.json, or nothing: a run that was killed early may lack it."""
    try:
        facts = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
