"""The rows of a GPU: of a step beside its floor, of a kernel beside the device's rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from s5ref.bench.case import Case
from s5ref.bench.floor import Product, floor, moved, passes
from s5ref.bench.gpu.kernels import kernels
from s5ref.bench.gpu.roofline import copy_name, product_name
from s5ref.bench.measure import Row, ratio, row_of, timed
from s5ref.bench.peers import Peer
from s5ref.bench.race import Repetitions, race, series

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
    times, errors = timed(case, what, peer, repetitions, ours, bound)
    notes: list[str] = []
    if peer is not None and len(times) == 2:
        for i, one in enumerate((ours, peer)):
            if times[i].error:
                notes.append(f"{one.name} timed alone; beside the other: {times[i].error}")
                [times[i]] = race([one], case, what, repetitions)
    row = row_of(case, what, peer, times, errors)
    copy, product = roofline.copy_bytes_per_s, roofline.product_flops_per_s
    return StepRow(
        **vars(row.beside(product and product / 1e9)),
        precision=precision, host_s=times[0].host, note="; ".join(notes) or None,
        floor_s=floor(case, what, copy, product) if copy and product else None,
        bytes_per_s=ratio(moved(case, what), row.ours_s),
    )  # fmt: skip


def measure_roofline(peer: Peer, copies: Sequence[int], square: int, repeats: int) -> Roofline:
    """Copies of these sizes, and a square product."""
    product = Product(square, square, square)
    flops_and_bytes: FlopsAndBytes = {copy_name(size): (None, 2 * size) for size in copies}
    flops_and_bytes[product_name(product)] = product.flops, product.bytes
    unknown = Roofline(None, None, [])
    rows = list(kernel_rows(None, flops_and_bytes, peer, repeats, unknown))
    copied = [row.bytes_per_s for row in rows if row.flops is None and row.bytes_per_s]
    return Roofline(max(copied, default=None), rows[-1].flops_per_s, rows)


def layer_rows(case: Case, peer: Peer, repeats: int, roofline: Roofline) -> Iterator[KernelRow]:
    """Every kernel at the shapes of the case, then every product of a layer."""
    flops_and_bytes: FlopsAndBytes = {name: (None, one.traffic(case)) for name, one in kernels().items()}
    flops_and_bytes |= {product_name(p): (p.flops, p.bytes) for p in products(case)}
    return kernel_rows(case, flops_and_bytes, peer, repeats, roofline)


def products(case: Case) -> list[Product]:
    """Of a layer, forward and backward, each once."""
    return list(dict.fromkeys(one.product for one in passes(case, "train_step") if one.product))


def kernel_rows(
    case: Case | None, flops_and_bytes: FlopsAndBytes, peer: Peer, repeats: int, roofline: Roofline
) -> Iterator[KernelRow]:
    """One benchmark after the other, beside the rates of the device."""
    for name, times in series(peer, case, flops_and_bytes, repeats):
        (flops, size), seconds = flops_and_bytes[name], times.median
        moving, computing = ratio(size, seconds), ratio(flops, seconds)
        yield KernelRow(
            case.name if case else None, name, seconds, times.best,
            size, moving, ratio(moving, roofline.copy_bytes_per_s, 100),
            flops, computing, ratio(computing, roofline.product_flops_per_s, 100),
            len(times.seconds), times.error or None,
        )  # fmt: skip
