"""The rows of a GPU: of a step beside its floor, of a kernel beside the device's rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from s5ref.bench.case import Case
from s5ref.bench.floor import Product, floor, moved, passes
from s5ref.bench.gpu.roofline import copy_name, product_name
from s5ref.bench.gpu.traffic import TRAFFIC, traffic
from s5ref.bench.measure import Row, row_of, timed
from s5ref.bench.peers import Peer
from s5ref.bench.race import Repetitions, Times, race, series

FlopsAndBytes = dict[str, tuple[int | None, int]]  # of a benchmark, by its name; None: no product


@dataclass(frozen=True)
class StepRow(Row):
    """A `Row` whose memory is the device's, and whose peak is the fastest product of the same run.

    precision     of float32 products, of both peers: float32 or tf32
    floor_s       what separate kernels would take at the measured rates (`s5ref.bench.floor`)
    bytes_per_s   the bytes of that floor, over ours_s
    host_s        a training step: until all of it was issued, without waiting
    note          what is unlike the other rows
    """

    precision: str = "float32"
    floor_s: float | None = None
    bytes_per_s: float | None = None
    host_s: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class KernelRow:
    """A kernel, a product or a copy, alone. Seconds of one, by the device's clock: median, fastest."""

    case: str | None
    kernel: str
    seconds: float | None
    min_s: float | None
    bytes: int
    bytes_per_s: float | None
    percent_of_copy: float | None
    flops: int | None
    flops_per_s: float | None
    percent_of_product: float | None
    repeats: int
    error: str | None


@dataclass(frozen=True)
class Roofline:
    """The largest rates of the same run; None: not measured. ``rows``: what they are the largest of."""

    copy_bytes_per_s: float | None
    product_flops_per_s: float | None
    rows: list[KernelRow]


def step_row(
    case: Case, what: str, peer: Peer | None, repetitions: Repetitions, ours: Peer, precision: str,
    bound: float, roofline: Roofline,
) -> StepRow:  # fmt: skip
    """Ours and the peer's times, in turn. One that fails there has the device for itself once more: the
    memory may not suffice for both.
    """
    found, errors = timed(case, what, peer, repetitions, ours, bound)
    notes: list[str] = []
    if peer is not None and len(found) == 2:
        for i, one in enumerate((ours, peer)):
            if found[i].error:
                notes.append(f"{one.name} timed alone; beside the other: {found[i].error}")
                [found[i]] = race([one], case, what, repetitions)
    row = row_of(case, what, peer, found, errors)
    copy, product = roofline.copy_bytes_per_s, roofline.product_flops_per_s
    made = StepRow(
        **vars(row), precision=precision, host_s=found[0].host, note="; ".join(notes) or None,
        floor_s=floor(case, what, copy, product) if copy and product else None,
        bytes_per_s=moved(case, what) / row.ours_s if row.ours_s else None,
    )  # fmt: skip
    return made.beside(product / 1e9) if product else made


def measure_roofline(peer: Peer, copies: list[int], square: int, repeats: int) -> Roofline:
    """Copies of these sizes, and a square product."""
    product = Product(square, square, square)
    flops_and_bytes: FlopsAndBytes = {copy_name(size): (None, 2 * size) for size in copies}
    flops_and_bytes[product_name(product)] = product.flops, product.bytes
    rows = [
        kernel_row(None, name, *flops_and_bytes[name], times)
        for name, times in series(peer, None, flops_and_bytes, repeats)
    ]
    copied = [row.bytes_per_s for row in rows if row.flops is None and row.bytes_per_s]
    return Roofline(max(copied, default=None), rows[-1].flops_per_s, rows)


def kernel_rows(
    case: Case, peer: Peer, repeats: int, roofline: Roofline, report: Callable[[str], None]
) -> Iterator[KernelRow]:
    """Every kernel at the shapes of the case, then every product of a layer."""
    flops_and_bytes: FlopsAndBytes = {name: (None, traffic(case, name)) for name in TRAFFIC}
    flops_and_bytes |= {product_name(p): (p.flops, p.bytes) for p in products(case)}
    report(f"{case.name}: its kernels, one by one")
    for name, times in series(peer, case, flops_and_bytes, repeats):
        yield kernel_row(case.name, name, *flops_and_bytes[name], times, roofline)


def products(case: Case) -> list[Product]:
    """Of a layer, forward and backward, each once."""
    found = [one.product for one in passes(case, "train_step") if one.product]
    return list(dict.fromkeys(found))


def kernel_row(
    case: str | None, name: str, flops: int | None, size: int, times: Times, beside: Roofline | None = None
) -> KernelRow:
    seconds = times.median
    moving = size / seconds if seconds else None
    computing = flops / seconds if seconds and flops else None
    copy, product = (beside.copy_bytes_per_s, beside.product_flops_per_s) if beside else (None, None)
    return KernelRow(
        case, name, seconds, times.best, size, moving, 100 * moving / copy if moving and copy else None,
        flops, computing, 100 * computing / product if computing and product else None,
        len(times.seconds), times.error or None,
    )  # fmt: skip
