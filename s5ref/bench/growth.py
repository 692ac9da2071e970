"""How the cost of a train step (forward and backward, no optimiser) grows with L, H, P and B.

Every point has a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from s5ref.bench.case import Case, recipe_case
from s5ref.bench.measure import OURS, prepare
from s5ref.bench.race import Repetitions, race

NORMAL, QUICK = Repetitions(3, 15, 5.0), Repetitions(3, 3, 0.0)
LONG = {"B": 4, "L": 0, "H": 96, "P": 128}  # around which L grows: the 4-layer sMNIST model
# (at batch 1, what a call costs whatever its length is as much as the work of some 800 steps)
BASE = {"B": 8, "L": 1024, "H": 64, "P": 64}  # around which the others grow
VALUES = {
    "L": [2**k for k in range(8, 21)],
    "H": [32, 64, 128, 256, 512],
    "P": [16, 32, 64, 128, 256, 512],
    "B": [1, 2, 4, 8, 16, 32, 64],
}
QUICK_VALUES = {"L": [2**8, 2**10, 2**12], "H": [32, 128], "P": [16, 128], "B": [1, 8]}
FROM = {"L": 2**10}  # the exponent is that of the points from here on


@dataclass(frozen=True)
class Point:
    """Median seconds of a repetition, peak bytes of its process; None where it failed, and why."""

    value: int
    seconds: float | None
    bytes: int | None
    repeats: int
    error: str | None


@dataclass(frozen=True)
class Growth:
    """One axis. ``base``: the other sizes. seconds ~ value^exponent, fitted over the points from
    ``fitted_from`` on; exponent_all over all of them.
    """

    axis: str
    base: dict[str, int]
    points: list[Point]
    fitted_from: int
    exponent: float | None
    exponent_all: float | None


def grow(axis: str, quick: bool, report: Callable[[str], None]) -> Growth:
    """Measure one axis, the smallest value first."""
    base = {name: size for name, size in (LONG if axis == "L" else BASE).items() if name != axis}
    values = (QUICK_VALUES if quick else VALUES)[axis]
    prepare(sized(base | {axis: values[0]}), "gradient")
    points = []
    for value in values:
        report(f"growth: {axis} = {value}")
        [times] = race([OURS], sized(base | {axis: value}), "gradient", QUICK if quick else NORMAL)
        points.append(Point(value, times.median, times.bytes, len(times.seconds), times.error or None))
    begin = FROM.get(axis, values[0])
    timed = [(point.value, point.seconds) for point in points if point.seconds]
    late = [(value, seconds) for value, seconds in timed if value >= begin]
    return Growth(axis, base, points, begin, exponent(late), exponent(timed))


def sized(sizes: dict[str, int]) -> Case:
    """The sMNIST model of these sizes: batch B, length L, d_model H, ssm_size P."""
    case = recipe_case("smnist")
    model = replace(case.model, d_model=sizes["H"], ssm_size=sizes["P"])
    name = "growth " + " ".join(f"{axis}={size}" for axis, size in sizes.items())
    return Case(name, replace(case.config, model=model), sizes["B"], sizes["L"])


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of log y over log x by least squares; None for fewer than two different x."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    return statistics.linear_regression(xs, ys).slope if len(set(xs)) > 1 else None
