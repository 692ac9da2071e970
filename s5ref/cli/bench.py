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
from s5ref.cli.output import DONE, NO, Output, live, plain, size

if TYPE_CHECKING:
    from s5ref.bench.growth import Growth
    from s5ref.bench.measure import Row
    from s5ref.bench.run import Found

EXAMPLES = """\
  s5ref bench cpu --quick                       every case in small, under a minute
  s5ref bench cpu --peers jax,s5-pytorch        beside other implementations, in turn
  s5ref bench cpu --case listops --json         one recipe, as one JSON object
  s5ref bench cpu --case growth --out bench     cost over L, H, P and B, with a plot
"""


def parser() -> Parser:
    p = Parser(
        "bench",
        __doc__ or "",
        "cpu [--peers NAME,…] [--case NAME] [--quick] [--out FOLDER] [--json]",
        EXAMPLES,
    )
    p.add_argument("device", metavar="cpu", type=options.one_of("cpu"), help="where to compute")
    p.add_argument(
        "--peers", metavar="NAME,…", default="", help="jax, s5-pytorch: measured in turn with ours"
    )
    p.add_argument(
        "--case", metavar="NAME",
        help="a recipe, 'smnist layer' or growth (default: smnist, listops, pathx and growth)",
    )  # fmt: skip
    p.add_argument("--quick", action="store_true", help="smaller and fewer: a check, not a measurement")
    p.add_argument("--out", metavar="FOLDER", help="write bench.json and the plot of the growth there")
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    from s5ref.bench.run import bench

    folder = Path(args.out) if args.out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    report = out.note if live(sys.stderr) else lambda words: None
    found = bench(args.case, [name for name in args.peers.split(",") if name], args.quick, report)
    out.result(plain(found))
    _show(found, out)
    if folder is not None:
        _write(found, folder, out)
    return DONE if found.complete else NO


def _write(found: Found, folder: Path, out: Output) -> None:
    from s5ref.bench.plot import draw

    (folder / "bench.json").write_text(json.dumps(plain(found), indent=1, allow_nan=False), encoding="utf-8")
    left_out = draw(found.growth, folder) if found.growth else None
    if left_out:
        out.note(left_out)
    out.note(f"written to {folder}")


def _show(found: Found, out: Output) -> None:
    machine = found.machine
    out.say(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads")
    if found.rows:
        peers = any(row.peer for row in found.rows)
        beside = ["peer", "its time", "ratio"] if peers else []
        memory = ["memory", "its memory"] if peers else ["memory"]
        head = ["case", "what", "ours", *beside, *memory, "GF/s", "of peak", ""]
        out.say()
        out.table(head, [_cells(row, peers) for row in found.rows], right=head[2:-1])
        if found.peak_gflops:
            out.say(f"peak: {found.peak_gflops:.0f} GF/s, a float32 matrix product of NumPy on all threads")
    for growth in found.growth:
        base = " ".join(f"{name}={size}" for name, size in growth.base.items())
        out.say()
        out.say(f"train step over {growth.axis}, {base}: {_slope(growth)}")
        out.table(
            [growth.axis, "seconds", "memory", ""],
            [[str(p.value), duration(p.seconds), _size(p.bytes), p.error or ""] for p in growth.points],
            right=[growth.axis, "seconds", "memory"],
        )


def _cells(row: Row, peers: bool) -> list[str]:
    ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
    cells = [row.case, row.what, duration(row.ours_s)]
    cells += [row.peer or "–", duration(row.peer_s), ratio] if peers else []
    cells += [_size(row.ours_bytes), *([_size(row.peer_bytes)] if peers else [])]
    return [*cells, _number(row.gflops, ""), _number(row.percent_of_peak, " %"), row.error or ""]


def _slope(growth: Growth) -> str:
    if growth.exponent is None:
        return "too few points for an exponent"
    words = f"∝ {growth.axis}^{growth.exponent:.2f}"
    if growth.exponent_all is not None and growth.fitted_from != growth.points[0].value:
        words += f" from {growth.fitted_from} on ({growth.exponent_all:.2f} over all)"
    return words


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g}{unit}"


def _size(count: int | None) -> str:
    return "–" if count is None else size(count)


def duration(seconds: float | None) -> str:
    """12.3 → 12.3 s; 0.0456 → 45.6 ms; 0.00012 → 120 µs."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
