"""The contender of a GPU: whatever is timed there of ours, by the name of what it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from s5ref.bench.case import Case
from s5ref.bench.work import Work

if TYPE_CHECKING:
    from s5ref.gpu.device import Device

MODE = "S5REF_BENCH_MODE"  # cuda or cuda-tf32, in the environment of the process
TRAIN, LAUNCHED, FORWARD = "train_step", "train_step, launched", "forward"
STEPS = (TRAIN, LAUNCHED, FORWARD)


class Place(NamedTuple):
    """device  where it is computed
    clock   (body, times) → seconds of one of ``times`` bodies on the device
    held    (graphs …) → bytes of the device's memory; None where nobody knows
    """

    device: Device
    clock: Callable[[Callable[[], object], int], float]
    held: Callable[..., int | None]


def build(case: Case | None, what: str) -> Work:
    """What `work` builds, on the current GPU."""
    from s5ref.gpu.cupy_device import Cupy
    from s5ref.gpu.gauges import held, seconds

    return work(Place(Cupy(tf32=os.environ[MODE] == "cuda-tf32"), seconds, held), case, what)


def work(place: Place, case: Case | None, what: str) -> Work:
    """``what``: a name of STEPS; "copy" or "product" and its sizes (`ceilings`); the name of a kernel."""
    from s5ref.bench.gpu.ceilings import ceiling
    from s5ref.bench.gpu.kernels import kernel
    from s5ref.bench.gpu.steps import step

    if what.startswith(("copy ", "product ")):
        return ceiling(place, what)
    assert case is not None, what
    if what in STEPS:
        return step(place, case, what)
    return kernel(place, case, what)
