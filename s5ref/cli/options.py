"""The parser of a command and the options that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import math
import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

from s5ref.engine import DEFAULT
from s5ref.errors import ConfigError, suggest

if TYPE_CHECKING:
    from s5ref.cli.output import Output
    from s5ref.engine import Engine
    from s5ref.ranks import Ranks
    from s5ref.series import Table

ENGINES = ("sequential", "numpy", "numba")
T = TypeVar("T")
Arguments = argparse._ActionsContainer  # a parser, or a group of one


class Parser(argparse.ArgumentParser):
    """argparse that raises `ConfigError`, accepts no abbreviated options, and suggests the nearest one.

    Every command has ``--json``; one that adds its own replaces this.
    """

    def __init__(self, command: str, description: str, usage: str, examples: str) -> None:
        super().__init__(
            prog=f"s5ref {command}", usage=f"s5ref {command} {usage}",
            description=description.replace("`", ""),
            allow_abbrev=False, conflict_handler="resolve",
            epilog=f"examples:\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        flag(self, "--json", "print one JSON object as the last line of stdout")

    def error(self, message: str) -> NoReturn:
        end = "" if message[-1:] in ".?" else "."
        raise ConfigError(f"{message[:1].upper()}{message[1:]}{end}", f"See `{self.prog} --help`.")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments; ConfigError on one that is wrong, missing or too much."""
        args, extra = self.parse_known_args(argv)
        if extra:
            options = [option for action in self._actions for option in action.option_strings]
            name = extra[0].partition("=")[0]
            what = "option" if name.startswith("-") else "argument"
            hint = suggest(name, options) if what == "option" else ""
            raise ConfigError(
                f"Unknown {what} {name!r} of `{self.prog}`.", f"{hint}See `{self.prog} --help`."
            )
        return args


def option(to: Arguments, name: str, metavar: str, help: str, **more: Any) -> None:
    """An argument with a value; ``more`` is argparse's."""
    to.add_argument(name, metavar=metavar, help=help, **more)


def flag(to: Arguments, name: str, help: str) -> None:
    """An option without a value."""
    to.add_argument(name, action="store_true", help=help)


def choice(to: Arguments, name: str, words: Sequence[str], help: str, **more: Any) -> None:
    """An argument that is one of ``words``."""

    def one(text: str) -> str:
        if text in words:
            return text
        hint = suggest(text, words)
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(words)}; got {text!r}. {hint}".rstrip())

    option(to, name, "|".join(words), help, type=one, **more)


def checked(parse: Callable[[str], T], holds: Callable[[T], bool], words: str) -> Callable[[str], T]:
    """The type of an argument: what ``parse`` makes of its text; ``words`` say what ``holds`` for it."""

    def value(text: str) -> T:
        with contextlib.suppress(ValueError):
            if holds(parsed := parse(text)):
                return parsed
        raise argparse.ArgumentTypeError(f"must be {words}; got {text!r}")

    return value


count = checked(int, lambda n: n >= 1, "an integer of at least 1")
folder = checked(str, lambda text: text.strip() != "", "the name of a folder")
positive = checked(float, lambda x: 0 < x < math.inf, "a finite number above 0")
seeds = checked(
    lambda text: [int(part) for part in text.split(",")],
    lambda values: min(values) >= 0 and len(set(values)) == len(values),
    "different integers ≥ 0, like 0,1,2",
)


def add_data(parser: Parser) -> None:
    words = "where the data is (default: S5REF_DATA, then the cache); FILE.npz: one's own arrays"
    option(parser, "--data", "DIR|FILE.npz", words)


def add_columns(parser: Parser) -> None:
    """How a file of series is to be read; see `columns`."""
    either = "by name or by position, -1 is the last"
    option(parser, "--target", "COLUMN", f"what is to be predicted: a column, {either}; of .npz an array")
    option(parser, "--id", "COLUMN", "the series that a row belongs to, where a row is a step")
    option(parser, "--time", "COLUMN", "when a step was sampled: numbers, or dates as 2026-01-31T12:00")
    choice(
        parser, "--task", ("auto", "classes", "real"), "what the targets are (default: auto)", default="auto"
    )
    flag(parser, "--tokens", "the column of values holds symbols, as integers (of tables)")
    choice(
        parser, "--channels", ("auto", "first", "last"), "of .npz and .npy (default: auto)", default="auto"
    )


def columns(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `s5ref.series.read`."""
    return {name: getattr(args, name) for name in ("target", "id", "time", "task", "channels", "tokens")}


def read_series(file: str | TextIO, how: dict[str, Any], out: Output) -> Table:
    """The series of a file; what was understood is said, and what was completed or left out."""
    import warnings

    from s5ref.series import read

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read(file, **how)
    name = file if isinstance(file, str) else "stdin"
    out.note(f"{name}: {table.description}")
    for warning in caught:
        out.note(f"{name}: {warning.message}")
    return table


def add_settings(parser: Parser, example: str) -> None:
    words = f"change the configuration, e.g. {example}"
    option(parser, "--set", "KEY=VALUE", words, nargs="+", action="extend", default=[], dest="settings")


def add_engine(parser: Parser) -> None:
    choice(parser, "--device", ("cpu", "cuda"), "where to compute (default: cpu)")
    same = "all give the same numbers, at different speeds"
    choice(parser, "--engine", ENGINES, f"the CPU engine (default: numba; {same})")
    tf32 = "with --device cuda: matrix products in TF32, faster and with 11 bits of precision"
    flag(parser, "--tf32", tf32)


def engine_name(args: argparse.Namespace, own: str = DEFAULT) -> str:
    """The engine that --device, --engine and --tf32 name together; ``own`` if none does."""
    if args.device == "cuda":
        if args.engine is not None:
            raise ConfigError(
                f"--device cuda is an engine of its own; got --engine {args.engine} too.",
                "Give one of the two.",
            )
        return "cuda-tf32" if args.tf32 else "cuda"
    if args.tf32:
        raise ConfigError("--tf32 is a mode of the GPU; got no --device cuda.", "Add --device cuda.")
    return args.engine or (own if args.device is None else "numba")


def share_of_cores(ranks: Ranks) -> int | None:
    """Threads for one of several ranks: of the cores that it may run on its share; None where it is alone."""
    if ranks.size == 1:
        return None
    from s5ref.machine import cores

    mine = platform.node(), sorted(cores())
    return max(1, len(mine[1]) // ranks.share(mine).count(mine))


def engine(name: str, threads: int | None = None, graphs: bool = True) -> Engine:
    """The engine called ``name``, on ``threads`` threads (None: as many as it likes)."""
    from s5ref.engine import as_engine

    if name.startswith("cuda"):
        from s5ref import gpu

        cuda: Engine = gpu.cuda(name, graphs=graphs)
        return cuda
    if threads is not None:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=threads, user_api="blas")
        if name == "numba":
            from s5ref.cpu import set_threads

            set_threads(threads)
    return as_engine(name)
