"""``s5ref bench``: seconds, memory and growth on this machine, beside other implementations.

Exit code 0: everything was measured. 1: something is missing, and its row says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from s5ref.cli.options import Parser, choice, flag, option
from s5ref.cli.output import DONE, NO, Output, live, plain
from s5ref.errors import ConfigError
from s5ref.files import write_atomically

EXAMPLES = """\
  s5ref bench cpu --quick                       every case in small, under a minute
  s5ref bench cpu --peers jax,s5-pytorch        beside other implementations, in turn
  s5ref bench cpu --case listops --json         one recipe, as one JSON object
  s5ref bench cpu --case growth --out bench     cost over L, H, P and B, with a plot
  s5ref bench options                           what each option costs beside the recipe, in turn
  s5ref bench gpu --peers jax --tf32            on a GPU, products in TF32, beside JAX there
"""


USAGE = "cpu|gpu|options [--peers NAME,…] [--case NAME] [--tf32] [--quick] [--out FOLDER] [--json]"


def parser() -> Parser:
    p = Parser("bench", __doc__ or "", USAGE, EXAMPLES)
    choice(p, "device", ("cpu", "gpu", "options"), "where to compute; options of the layers, on the CPU")
    peers = "jax; cpu alone: jax-scan, s5-pytorch, s5-pytorch-compiled, lstm, gru; measured in turn with ours"
    option(p, "--peers", "NAME,…", peers, default="")
    cases = (
        "a recipe, 'smnist layer' or growth (default: smnist, listops, pathx and growth); on a GPU a recipe "
        "(default: smnist, listops, image and pathx); of options too (default: smnist)"
    )
    option(p, "--case", "NAME", cases)
    flag(p, "--tf32", "on a GPU: float32 products in TF32, also the peer's")
    flag(p, "--quick", "smaller and fewer: a check, not a measurement")
    option(p, "--out", "FOLDER", "write bench.json and the plot of the growth there", type=Path)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    """With --out, what is measured on a GPU is written row by row: an interruption loses none of it."""
    from s5ref.bench import options
    from s5ref.bench import run as cpu
    from s5ref.bench.gpu import run as gpu
    from s5ref.bench.plot import draw
    from s5ref.cli.bench_tables import show_cpu, show_gpu, show_options

    if args.tf32 and args.device != "gpu":
        given = f"--tf32 is a mode of the GPU; got bench {args.device}."
        raise ConfigError(given, "Leave it out, or: s5ref bench gpu.")
    if args.peers and args.device == "options":
        raise ConfigError("Options are measured beside the recipe; got --peers.", "Leave it out.")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)

    def report(words: str) -> None:
        if live(sys.stderr):
            out.note(words)

    def keep(results: Any) -> None:
        if args.out:
            text = json.dumps(plain(results), indent=1, allow_nan=False)
            write_atomically(args.out / "bench.json", text.encode())

    peers = [name for name in args.peers.split(",") if name]
    results: cpu.Results | gpu.Results | options.Results
    if args.device == "gpu":
        results = gpu.bench(args.case, peers, args.tf32, args.quick, report, keep)
        show_gpu(results, out)
    elif args.device == "options":
        results = options.bench(args.case, args.quick, report)
        keep(results)
        show_options(results, out)
    else:
        results = cpu.bench(args.case, peers, args.quick, report)
        keep(results)
        show_cpu(results, out)
        if args.out and results.growth and (left_out := draw(results.growth, args.out)):
            out.note(left_out)
    out.result(results)
    if args.out:
        out.note(f"written to {args.out}")
    return DONE if isinstance(results, options.Results) or results.complete else NO
