"""All of it: which cases, beside which peers, in which precision, in which order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from s5ref.bench import run
from s5ref.bench.agree import BOUND, TF32_BOUND
from s5ref.bench.case import Case, recipe_case
from s5ref.bench.gpu.device import MODE
from s5ref.bench.gpu.roofline import COPIES, QUICK_COPIES, QUICK_SQUARE, SQUARE
from s5ref.bench.gpu.rows import KernelRow, Roofline, StepRow, layer_rows, measure_roofline, step_row
from s5ref.bench.gpu.steps import STEPS
from s5ref.bench.measure import QUICK
from s5ref.bench.peers import PRECISIONS, Peer, chosen, on_gpu
from s5ref.bench.race import Repetitions
from s5ref.bench.run import Report, turns
from s5ref.recipes import names
from s5ref.settings import check_known

DEFAULT = ("smnist", "listops", "image", "pathx")
NORMAL = Repetitions(5, 25, 10.0)
REPEATS, QUICK_REPEATS = 7, 3  # of a kernel, a copy, a product
BUILDER = "s5ref.bench.gpu.ours:build"
VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "XLA_FLAGS")


@dataclass(frozen=True)
class Results:
    """machine: what it was measured on; roofline: the device's rates; rows: steps; kernels: each alone."""

    machine: dict[str, Any]
    roofline: Roofline
    rows: list[StepRow] = field(default_factory=list)
    kernels: list[KernelRow] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        errors = [row.error for row in self.rows]
        errors += [row.error for row in (*self.kernels, *self.roofline.rows)]
        return not any(errors)


def bench(
    case: str | None = None,
    peers: Sequence[str] = (),
    tf32: bool = False,
    quick: bool = False,
    report: Report = print,
    keep: Callable[[Results], None] = lambda results: None,
) -> Results:
    """Measure on the current GPU: its rates, steps of the recipes beside their floors and peers, kernels.

    Parameters
    ----------
    case : str or None
        A recipe; None: the usual ones.
    peers, quick, report
        As in `s5ref.bench.run.bench`.
    tf32 : bool
        Products of float32 in TF32, of ours and of the peers.
    keep : function
        Is given the results so far after every row.

    Returns
    -------
    Results
        Times in seconds, memory in bytes, rates per second.

    Raises
    ------
    S5Error
        Before anything is measured, where a name is wrong, or there is no GPU, or a peer finds none.
    """
    others, cases = chosen(peers), select(case, quick)
    machine = describe(others, tf32, quick)
    others = [on_gpu(peer, tf32) for peer in others]
    ours = Peer("ours", BUILDER, environment={MODE: machine["engine"]})
    repeats = QUICK_REPEATS if quick else REPEATS
    report("what the device can do")
    copies, square = (QUICK_COPIES, QUICK_SQUARE) if quick else (COPIES, SQUARE)
    results = Results(machine, measure_roofline(ours, copies, square, repeats))
    terms = ours, machine["precision"]["ours"], TF32_BOUND if tf32 else BOUND, results.roofline
    for one in cases:
        for what, beside in turns(one, STEPS, others, report):
            results.rows.append(step_row(one, what, beside, QUICK if quick else NORMAL, *terms))
            keep(results)
        report(f"{one.name}: its kernels, one by one")
        results.kernels.extend(layer_rows(one, ours, repeats, results.roofline))
        keep(results)
    return results


def select(name: str | None, quick: bool) -> list[Case]:
    """The recipe of that name, or the usual ones, with the batch of the recipe."""
    if name is not None:
        check_known("case", name, names())
    cases = [recipe_case(recipe) for recipe in ([name] if name else DEFAULT)]
    cases = [replace(case, batch=case.config.train.batch) for case in cases]
    return [case.quick() for case in cases] if quick else cases


def describe(others: Sequence[Peer], tf32: bool, quick: bool) -> dict[str, Any]:
    """The GPU, and what `s5ref.bench.run.describe` says of the rest. S5Error where there is no GPU.

    precision: of float32 products, as each peer calls it, the same for all.
    """
    gpu = device_name(tf32)
    facts = run.describe("cuda-tf32" if tf32 else "cuda", others, quick)
    facts["variables"] |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    theirs = {peer.name: PRECISIONS[tf32] for peer in others}
    return {"gpu": gpu, "precision": {"ours": "tf32" if tf32 else "float32"} | theirs} | facts


def device_name(tf32: bool) -> str:
    from s5ref.gpu.cupy_device import Cupy

    return str(Cupy(tf32=tf32).name)
