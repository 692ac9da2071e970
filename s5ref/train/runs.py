"""A run folder: last/ and best/ checkpoints, metrics.jsonl, config.toml, environment.json, result.json,
curves.svg.

A run over several seeds holds one such folder per seed, ``seed-S/``, beside its config.toml and seeds.json.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from s5ref.engine import Engine
from s5ref.errors import ConfigError, DataError
from s5ref.files import parsing, read_bytes, write_atomically
from s5ref.model.model import Model
from s5ref.settings import check
from s5ref.train.checkpoint import load as load_checkpoint
from s5ref.train.config import RunConfig
from s5ref.train.environment import NAME as ENVIRONMENT
from s5ref.train.environment import differences, environment
from s5ref.train.environment import read as read_environment
from s5ref.train.loaded import Loaded
from s5ref.train.state import State, recorded_config
from s5ref.tree import subtree

CHECKPOINTS = ("last", "best")
RESULT = "result.json"


def checkpoint_path(run: str | Path, which: str) -> Path:
    """RUN/last/state.npz or RUN/best/state.npz."""
    return Path(run) / which / "state.npz"


def is_fit(run: str | Path) -> bool:
    """Whether a folder is a run of `s5ref fit`, which `s5ref.estimators` reads; see
    `s5ref.estimators.folder`.
    """
    return (Path(run) / "fit.json").is_file()


def read_config(run: str | Path) -> RunConfig:
    """The configuration in ``run``/config.toml.

    Raises
    ------
    DataError
        If there is none: it is no run folder.
    ConfigError
        If it is no configuration of this version.
    """
    refuse_missing(run)
    return RunConfig.from_toml(Path(run) / "config.toml")


def refuse_missing(run: str | Path) -> None:
    """Refuse a folder that is no run.

    Raises
    ------
    DataError
        If ``run`` holds no config.toml.
    """
    if is_fit(run):
        raise DataError(
            f"{run} is a run of `s5ref fit`, which holds no model to train or evaluate.",
            f"In Python: s5ref.estimators.load('{run}/estimator.npz'). From the shell: s5ref predict.",
        )
    if not (Path(run) / "config.toml").exists():
        raise DataError(
            f"{run} is not a run folder: it holds no config.toml.", "Name the folder given as --out or run=."
        )


def own_config(run: str | Path) -> tuple[RunConfig, list[str]]:
    """The configuration of the run in ``run``: that of its checkpoint, else that of its config.toml.

    Returns
    -------
    config : RunConfig
    warnings : list of str
        One sentence for every key in which config.toml differs from it.

    Raises
    ------
    DataError, ConfigError
        As `read_config`; on a damaged checkpoint.
    """
    run = Path(run)
    file = read_config(run)
    for folder in [run, *(run / f"seed-{seed}" for seed in read_seeds(run) or [])]:
        for which in CHECKPOINTS:
            if (path := checkpoint_path(folder, which)).exists():
                return _which_counts(file, path, load_checkpoint(path)[1])
    return file, []


def _which_counts(file: RunConfig, path: Path, meta: dict[str, Any]) -> tuple[RunConfig, list[str]]:
    """As `own_config`, of the configuration ``file`` and the checkpoint ``path`` with its facts."""
    text = recorded_config(path, meta)
    if not text:
        return file, []
    own = RunConfig.from_toml_text(text, str(path))
    return own, [
        f"config.toml: {key} is {there} in the file and {here} in the checkpoint, which counts."
        for key, (here, there) in own.differences(file).items()
    ]


def read_seeds(run: str | Path) -> list[int] | None:
    """The seeds of a run over several, or None.

    Raises
    ------
    DataError
        If seeds.json does not hold different integers ≥ 0.
    """
    path = Path(run) / "seeds.json"
    if not path.exists():
        return None
    remedy = f"Write into it the seeds of the folders {run}/seed-S, such as [0, 1]."
    with parsing(f"{path} must hold the seeds of the run as JSON", remedy):
        seeds = json.loads(read_bytes(path))
    integers = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not integers or not seeds or len(set(seeds)) < len(seeds):
        raise DataError(f"{path} must hold a list of different integers ≥ 0; got {seeds!r}.", remedy)
    return list(seeds)


def write_result(run: Path, facts: dict[str, Any]) -> None:
    """result.json: the facts of a `FitResult`; numbers that are not finite become null."""
    facts = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in facts.items()}
    write_atomically(run / RESULT, json.dumps(facts, indent=1).encode())


def read_result(run: str | Path, step: int) -> dict[str, Any] | None:
    """What came of the run when it had made ``step`` updates; None where it had not ended then.

    Raises
    ------
    DataError
        If result.json is not what a run writes.
    """
    path = Path(run) / RESULT
    if not path.exists():
        return None
    remedy = f"Delete the file, and evaluate the run again: s5ref train --resume --out {run}"
    with parsing(f"{path} must hold the result of the run as JSON", remedy):
        facts = dict(json.loads(read_bytes(path)))
    kinds: dict[str, Any] = {
        "steps": int, "source": str, "selected_on": str, "learned": bool | None,
        "test_accuracy": int | float | None, "test_mse": int | float | None,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(facts.get(key, ...), kind):
            raise DataError(f"{path} must hold {key!r} of the kind {kind}; got {facts.get(key)!r}.", remedy)
    return facts if facts["steps"] == step else None


def refuse_existing(run: str | Path) -> None:
    """Refuse a folder in which a run cannot start.

    Raises
    ------
    ConfigError
        If ``run`` holds a checkpoint, or is a file.
    """
    run = Path(run)
    if run.exists() and not run.is_dir():
        raise ConfigError(f"The run folder {run} must be a folder; it is a file.", "Choose another --out.")
    seeds = [run, *run.glob("seed-*")]
    if any(checkpoint_path(folder, which).exists() for folder in seeds for which in CHECKPOINTS):
        raise ConfigError(
            f"{run} already holds a checkpoint.", "Continue it with --resume, or choose another --out."
        )


def start(run: Path, config: RunConfig, seed: int, engine: Engine, data: dict[str, Any]) -> None:
    """Make the folder with config.toml and environment.json, each whole or absent.

    Parameters
    ----------
    run, config, seed, engine
        As in `s5ref.train.loop.fit`.
    data : dict
        Facts of the data set, which a resumed run compares.

    Raises
    ------
    ConfigError
        As `refuse_existing`.
    """
    refuse_existing(run)
    facts = {"seed": seed, "data": data} | _facts(config, engine)
    write_atomically(run / "config.toml", config.to_toml().encode())
    write_atomically(run / ENVIRONMENT, json.dumps(facts, indent=1).encode())


def _facts(config: RunConfig, engine: Engine) -> dict[str, Any]:
    """What the run runs on, and which implementation its layers have there."""
    plan = Model(config.model).plan(engine, config.train.dtype)
    return environment(engine.name) | {"plan": [str(plan)]}


def resume(
    run: Path, config: RunConfig, seed: int | None, engine: Engine, data: dict[str, Any]
) -> tuple[int, list[str]]:
    """Continue in the folder ``run``.

    Returns
    -------
    seed : int
        The run's own.
    warnings : list of str
        What may change the bits from here on.

    Raises
    ------
    ConfigError
        If configuration or seed are not the run's own.
    DataError
        If the data are not; on a damaged checkpoint or environment.json.
    """
    own, warnings = own_config(run)
    if changed := own.differences(config):
        raise ConfigError(
            f"A resumed run keeps its configuration; {', '.join(changed)} differs from that of {run}.",
            "Leave it as it is, or begin a new run.",
        )
    now = _facts(config, engine)
    facts = read_environment(run)
    if facts is None:
        facts = {"seed": _begun_with(run, seed), "data": data, **now}
    if seed is not None and seed != facts["seed"]:
        raise ConfigError(
            f"{run} was started with seed {facts['seed']}; got seed {seed}.", "Leave the seed out."
        )
    if facts.get("data") != data:
        raise DataError(
            f"{run} was started with the data {facts.get('data')}; got {data}.", "Give it the same data."
        )
    warnings += differences(facts, now)
    facts["resumed"] = [*facts.get("resumed", []), now]
    write_atomically(run / ENVIRONMENT, json.dumps(facts, indent=1).encode())
    return int(facts["seed"]), warnings


def _begun_with(run: Path, seed: int | None) -> int:
    """The seed of the last checkpoint; before the first one ``seed``."""
    path = checkpoint_path(run, "last")
    return State.load(path).seed if path.exists() else seed or 0


def load(run: str | Path, checkpoint: str | None = None) -> Loaded:
    """The model of a run.

    Parameters
    ----------
    run : path
        A run folder; of several seeds one of its ``seed-S``.
    checkpoint : {"best", "last"} or None
        None: the best one; the last one, with a warning, where no epoch has ended yet.

    Returns
    -------
    Loaded

    Raises
    ------
    ConfigError
        On another checkpoint, or a folder of several seeds.
    DataError
        On a folder that is no run, and a checkpoint that is missing or damaged.
    """
    known = checkpoint in (None, *CHECKPOINTS)
    check("checkpoint", checkpoint, "best or last", known, "Choose one of them, or leave it out.")
    file = read_config(run)
    if seeds := read_seeds(run):
        raise ConfigError(
            f"{run} holds several seeds: {seeds}.", f"Name one of them, for example {run}/seed-{seeds[0]}."
        )
    which = checkpoint or "best"
    if checkpoint is None and not checkpoint_path(run, "best").exists():
        which = "last"
    path = checkpoint_path(run, which)
    if not path.exists():
        remedy = {"best": "Continue it to the end of an epoch, or use the last checkpoint."}
        raise DataError(f"{run} holds no {which} checkpoint.", remedy.get(which, "Train in it first."))
    arrays, meta = load_checkpoint(path)
    config, warnings = _which_counts(file, path, meta)
    if which != (checkpoint or "best"):
        warnings.append(f"{run} holds no best checkpoint, for no epoch has ended: this is the last one.")
    params, statistics = subtree(arrays, "params"), subtree(arrays, "statistics")
    return Loaded(Model(config.model), params, statistics, config, meta["step"], which, tuple(warnings))
