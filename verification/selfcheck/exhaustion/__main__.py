"""``python -P -m s5ref.verification.selfcheck.exhaustion [--every N] [NAME …]``: the table of
docs/exhaustion.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from s5ref import NUMBA, NUMPY
from s5ref.machine import usable_cores
from s5ref.verification.selfcheck.exhaustion.functions import functions
from s5ref.verification.selfcheck.exhaustion.sweep import PIECES, sample, sweep


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -P -m s5ref.verification.selfcheck.exhaustion", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="only functions whose name contains one of these")
    parser.add_argument("--every", type=int, default=1, help="every N-th piece of 2²⁰ inputs (default: all)")
    args = parser.parse_args()
    pieces = list(range(PIECES)) if args.every == 1 else [int(p) for p in sample(args.every)]
    heads = ["function", "engine", "inputs", "worst ulps", "at x", "worst eps·max(1, abs f)", "at x"]
    print("| " + " | ".join([*heads, "not finite", "seconds"]) + " |")
    print("|---" * 9 + "|")
    bad = 0
    for f in functions([NUMPY, NUMBA]):
        if args.names and not any(name in f.name for name in args.names):
            continue
        start = time.perf_counter()
        w = sweep(f, pieces, workers=usable_cores(), report=_progress(f.name, len(pieces)))
        wrong = "none" if not w.wrong else f"{w.wrong}, first at {w.at_wrong:.9g}"
        print(
            f"| {f.name} | {f.engine} | {w.inputs:,} | {w.ulps:.3f} | {w.at_ulps:.9g} | {w.epsilons:.3f} "
            f"| {w.at_epsilons:.9g} | {wrong} | {time.perf_counter() - start:.0f} |",
            flush=True,
        )
        bad += w.wrong
    return 1 if bad else 0


def _progress(name: str, pieces: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{name}: {100 * done // pieces} % ", end="" if done < pieces else "\r", file=sys.stderr)

    return report


if __name__ == "__main__":
    sys.exit(main())
