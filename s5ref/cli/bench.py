"""``s5ref bench``: seconds, memory and growth on this machine, beside other implementations.

Exit code 0: everything was measured. 1: something is missing, and its row says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli import options
from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, NO, Output, live, plain
from s5ref.cli.units import duration, memory, number
from s5ref.errors import ConfigError
from s5ref.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable

    from s5ref.bench.growth import Growth
    from s5ref.bench.measure import Row
    from s5ref.bench.run import Results

    Report = Callable[[str], None]

EXAMPLES = """\
  s5ref bench cpu --quick                       every case in small, under a minute
  s5ref bench cpu --peers jax,s5-pytorch        beside other implementations, in turn
  s5ref bench cpu --case listops --json         one recipe, as one JSON object
  s5ref bench cpu --case growth --out bench     cost over L, H, P and B, with a plot
  s5ref bench gpu --peers jax --tf32            on a GPU, products in TF32, beside JAX there
"""


def parser() -> Parser:
    p = Parser(
        "bench",
        __doc__ or "",
        "cpu|gpu [--peers NAME,…] [--case NAME] [--tf32] [--quick] [--out FOLDER] [--json]",
        EXAMPLES,
    )
    p.add_choice("device", ("cpu", "gpu"), "where to compute")
    peers = "jax, s5-pytorch (cpu alone): measured in turn with ours"
    p.add_argument("--peers", metavar="NAME,…", default="", help=peers)
    p.add_argument(
        "--case", metavar="NAME",
        help="a recipe, 'smnist layer' or growth (default: smnist, listops, pathx and growth); on a GPU a "
        "recipe (default: smnist, listops, image and pathx)",
    )  # fmt: skip
    p.add_argument("--tf32", action="store_true", help="on a GPU: float32 products in TF32, also the peer's")
    p.add_argument("--quick", action="store_true", help="smaller and fewer: a check, not a measurement")
    p.add_argument("--out", metavar="FOLDER", help="write bench.json and the plot of the growth there")
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    if args.tf32 and args.device == "cpu":
        raise ConfigError("--tf32 is a mode of the GPU; got bench cpu.", "Leave it out, or: s5ref bench gpu.")
    folder = Path(args.out) if args.out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    peers = [name for name in args.peers.split(",") if name]
    report = out.note if live(sys.stderr) else lambda words: None
    return (_gpu if args.device == "gpu" else _cpu)(args, peers, folder, report, out)


def _cpu(args: argparse.Namespace, peers: list[str], folder: Path | None, report: Report, out: Output) -> int:
    from s5ref.bench.run import bench

    results = bench(args.case, peers, args.quick, report)
    out.result(plain(results))
    _show(results, out)
    if folder is not None:
        from s5ref.bench.plot import draw

        _write(results, folder)
        left_out = draw(results.growth, folder) if results.growth else None
        if left_out:
            out.note(left_out)
        out.note(f"written to {folder}")
    return DONE if results.complete else NO


def _gpu(args: argparse.Namespace, peers: list[str], folder: Path | None, report: Report, out: Output) -> int:
    """What is measured is written row by row: an interruption loses none of it."""
    from s5ref.bench.gpu.run import bench
    from s5ref.cli.bench_gpu import show

    def keep(results: object) -> None:
        if folder is not None:
            _write(results, folder)

    results = bench(args.case, peers, args.tf32, args.quick, report, keep)
    out.result(plain(results))
    show(results, out)
    if folder is not None:
        out.note(f"written to {folder}")
    return DONE if results.complete else NO


def _write(results: object, folder: Path) -> None:
    text = json.dumps(plain(results), indent=1, allow_nan=False)
    write_atomically(folder / "bench.json", text.encode())


def _show(results: Results, out: Output) -> None:
    machine = results.machine
    out.say(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads")
    if results.rows:
        peers = any(row.peer for row in results.rows)
        beside = ["peer", "its time", "ratio"] if peers else []
        sizes = ["memory", "its memory"] if peers else ["memory"]
        head = ["case", "what", "ours", *beside, *sizes, "GF/s", "of peak", ""]
        out.say()
        out.table(head, [_cells(row, peers) for row in results.rows], right=head[2:-1])
        if results.peak_gflops:
            out.say(f"peak: {results.peak_gflops:.0f} GF/s, a float32 matrix product of NumPy on all threads")
    for growth in results.growth:
        base = " ".join(f"{name}={size}" for name, size in growth.base.items())
        out.say()
        out.say(f"train step over {growth.axis}, {base}: {_slope(growth)}")
        out.table(
            [growth.axis, "seconds", "memory", ""],
            [[str(p.value), duration(p.seconds), memory(p.bytes), p.error or ""] for p in growth.points],
            right=[growth.axis, "seconds", "memory"],
        )


def _cells(row: Row, peers: bool) -> list[str]:
    cells = [row.case, row.what, duration(row.ours_s)]
    cells += [row.peer or "–", duration(row.peer_s), number(row.ratio, "", 2)] if peers else []
    cells += [memory(row.ours_bytes), *([memory(row.peer_bytes)] if peers else [])]
    return [*cells, number(row.gflops, ""), number(row.percent_of_peak, " %"), row.error or ""]


def _slope(growth: Growth) -> str:
    if growth.exponent is None:
        return "too few points for an exponent"
    words = f"∝ {growth.axis}^{growth.exponent:.2f}"
    if growth.exponent_all is not None and growth.fitted_from != growth.points[0].value:
        words += f" from {growth.fitted_from} on ({growth.exponent_all:.2f} over all)"
    return words
