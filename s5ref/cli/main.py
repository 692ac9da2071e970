"""The command ``s5ref``: finds the command, runs it, and turns whatever happens into an exit code.

    0    done, and the answer is good          2        refused: an argument, a file or a datum is wrong
    1    ran, and the answer is no             130/143  interrupted by SIGINT/SIGTERM
    70   a defect of s5ref itself              141      nobody reads the output any more

0 is given only on success: a failed self-check, data that are missing or damaged, a batch that could not be
learned, and a loss that stopped being finite are 1. A training run that ended is done, also where it did not
learn: its result says so.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

from s5ref import __version__
from s5ref.cli.output import DEFECT, DONE, REFUSED, UNREAD, Output, silence
from s5ref.errors import ConfigError, DataError, MissingDependency, S5Error
from s5ref.settings import check_known

COMMANDS = {
    "fit": "a model of the series in your file, in seconds",
    "train": "train a recipe, or a configuration of your own",
    "eval": "evaluate a trained run on a split of its data",
    "predict": "say what a run makes of new series",
    "show": "say what a run has learned, on one screen or as a page",
    "compare": "put several runs beside each other",
    "report": "put runs beside the published results of their tasks",
    "recipes": "list the built-in recipes, or show one",
    "data": "say where a recipe's data is, get it, or check it",
    "doctor": "say what this installation can do and what it lacks",
    "verify": "run the self-checks: gradients, and engines against each other",
    "bench": "measure speed and memory, beside other implementations",
    "check": "judge another implementation: rounding or bug, and where",
    "scoreboard": "render what came of checks of other implementations",
    "vectors": "list the stored test vectors, or write them as JSON",
    "export": "write a run as ONNX or C",
    "convert": "exchange weights with Flax, PyTorch and safetensors",
}
OVERVIEW = f"""\
s5ref {__version__}: the S5 state-space layer with hand-derived gradients, the reference for its ports.

usage: s5ref COMMAND …        s5ref COMMAND --help        s5ref --version

commands:
{chr(10).join(f"  {name:<11}{words}" for name, words in COMMANDS.items())}

begin with:
  s5ref fit mine.csv --target label   a classifier or regressor of your series
  s5ref train digits           trains on 1,797 handwritten digits that come with s5ref; a minute or two
  s5ref recipes                what else there is
  s5ref verify --level quick   is this installation right?
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises."""
    argv = list(sys.argv[1:] if argv is None else argv)
    out = Output("--json" in argv)
    with out.guarded(), _terminable():
        try:
            code = _command(argv, out)
        except BaseException as error:
            code = _outcome(error, out)
    return out.finish(code)


def _command(argv: list[str], out: Output) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        out.say(OVERVIEW)
        return DONE
    name, rest = argv[0], argv[1:]
    if name == "--version":
        out.say(f"s5ref {__version__}")
        out.result({"version": __version__})
        return DONE
    if name.startswith("-"):
        raise ConfigError(
            f"The command comes first; got the option {name!r}.", "Example: s5ref train digits --json."
        )
    check_known("command", name, COMMANDS)
    module = importlib.import_module(f"s5ref.cli.{name}")
    code: int = module.run(module.parser().parse(rest), out)
    return code


def _outcome(error: BaseException, out: Output) -> int:
    """Say what happened; the exit code for it."""
    if isinstance(error, SystemExit):  # argparse after --help
        return error.code if isinstance(error.code, int) else DONE
    if isinstance(error, KeyboardInterrupt):
        number = signal.Signals(error.args[0] if error.args else signal.SIGINT)
        out.note(f"s5ref: interrupted by {number.name}.")
        out.result({"interrupted": int(number)})
        return 128 + number
    if isinstance(error, BrokenPipeError):
        silence(sys.stdout)
        silence(sys.stderr)
        return UNREAD
    refusal = error if isinstance(error, S5Error) else _refusal(error)
    if refusal is not None:
        out.error(refusal)
        return REFUSED
    traceback.print_exception(error, file=sys.stderr)
    remedy = "This is a defect of s5ref: please report it with the lines above."
    out.error(S5Error(f"{type(error).__name__}: {error}", remedy))
    return DEFECT


def _refusal(error: BaseException) -> S5Error | None:
    """What the installation or the machine lacks, in our terms; None: the error is a defect."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("s5ref"):
        remedy = "`s5ref doctor` says how to install what is missing."
        return MissingDependency(f"The package {error.name} is not installed.", remedy)
    if isinstance(error, MemoryError):
        return ConfigError(
            f"Not enough memory: {error}".rstrip(": ") + ".", "Lower it by --set train.batch=…"
        )
    if isinstance(error, OSError):
        return DataError(f"{error}.", "Check the path, its permissions and the space left.")
    return None


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt(SIGTERM) (training handles both signals itself)."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
