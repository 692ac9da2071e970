"""The parser of a command and the options that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from s5ref.errors import ConfigError, suggest

if TYPE_CHECKING:
    from s5ref.engine import Engine

ENGINES = ("sequential", "numpy", "numba")


class Parser(argparse.ArgumentParser):
    """argparse that raises `ConfigError`, accepts no abbreviated options, and suggests the nearest one."""

    def __init__(self, command: str, description: str, usage: str, examples: str) -> None:
        super().__init__(
            prog=f"s5ref {command}", usage=f"s5ref {command} {usage}",
            description=description.replace("`", ""),
            allow_abbrev=False,
            epilog=f"examples:\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        end = "" if message[-1:] in ".?" else "."
        raise ConfigError(f"{message[:1].upper()}{message[1:]}{end}", f"See `{self.prog} --help`.")

    def add_choice(
        self, name: str, words: Sequence[str], help: str, default: str | None = None, dest: str | None = None
    ) -> None:
        """An argument that is one of ``words``."""
        more: Any = {} if dest is None else {"dest": dest}
        self.add_argument(
            name, metavar="|".join(words), type=one_of(*words), default=default, help=help, **more
        )

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


def one_of(*words: str) -> Callable[[str], str]:
    """An argument that is one of ``words``."""

    def parse(text: str) -> str:
        if text in words:
            return text
        hint = suggest(text, words)
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(words)}; got {text!r}. {hint}".rstrip())

    return parse


def count(text: str) -> int:
    """An integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1; got {text!r}")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number above 0; got {text!r}")
    return value


def seeds(text: str) -> list[int]:
    """``0,1,2``: different integers of at least 0."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 0 or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"must be different integers ≥ 0, like 0,1,2; got {text!r}")
    return values


def add_data(parser: Parser) -> None:
    parser.add_argument(
        "--data", metavar="DIR", help="where the data is (default: S5REF_DATA, then the cache)"
    )


def add_settings(parser: Parser, example: str) -> None:
    parser.add_argument(
        "--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], dest="settings",
        help=f"change the configuration, e.g. {example}",
    )  # fmt: skip


def add_json(parser: Parser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def add_engine(parser: Parser) -> None:
    parser.add_choice("--device", ("cpu", "cuda"), "where to compute (default: cpu)")
    same = "all give the same numbers, at different speeds"
    parser.add_choice("--engine", ENGINES, f"the CPU engine (default: numba; {same})")
    parser.add_argument(
        "--tf32", action="store_true",
        help="with --device cuda: matrix products in TF32, faster and with 11 bits of precision",
    )  # fmt: skip


def engine_name(args: argparse.Namespace) -> str | None:
    """The engine that --device, --engine and --tf32 name together; None if none does."""
    if args.device == "cuda":
        if args.engine is not None:
            raise ConfigError(
                f"--device cuda is an engine of its own; got --engine {args.engine} too.",
                "Give one of the two.",
            )
        return "cuda-tf32" if args.tf32 else "cuda"
    if args.tf32:
        raise ConfigError("--tf32 is a mode of the GPU; got no --device cuda.", "Add --device cuda.")
    name: str | None = args.engine or ("numba" if args.device == "cpu" else None)
    return name


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
