"""The rows of a GPU: of a step beside its floor, of a kernel beside the device's rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from s5ref.bench.case import Case
from s5ref.bench.floor import Product, floor, moved, passes
from s5ref.bench.gpu.ceilings import copy_name, product_name
from s5ref.bench.gpu.traffic import TRAFFIC, traffic
from s5ref.bench.measure import Row, contest, row_of
from s5ref.bench.peers import Peer
from s5ref.bench.race import Contender, Effort, Times, race, series


@dataclass(frozen=True)
class StepRow(Row):
    """A `Row` whose memory is the device's, and whose peak is the fastest product of the same run.

    precision     of float32 products, of both contenders: float32 or tf32
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
class Ceilings:
    """The largest rates of the same run; None: not measured. ``rows``: what they are the largest of."""

    copy_bytes_per_s: float | None
    product_flops_per_s: float | None
    rows: list[KernelRow]


def step_row(
    case: Case, what: str, peer: Peer | None, effort: Effort, ours: Contender, precision: str, bound: float,
    ceilings: Ceilings,
) -> StepRow:  # fmt: skip
    """Ours and the peer's times, in turn. One that fails there has the device for itself once more: the
    memory may not suffice for both.
    """
    found, errors = contest(case, what, peer, effort, ours, bound)
    notes: list[str] = []
    if peer is not None and len(found) == 2:
        contenders = [("ours", ours), (peer.name, Contender(peer.module, peer.environment))]
        for i, (name, contender) in enumerate(contenders):
            if found[i].error:
                notes.append(f"{name} timed alone; beside the other: {found[i].error}")
                [found[i]] = race([contender], case, what, effort)
    row = row_of(case, what, peer, found, errors)
    copy, product = ceilings.copy_bytes_per_s, ceilings.product_flops_per_s
    made = StepRow(
        **vars(row), precision=precision, host_s=found[0].host, note="; ".join(notes) or None,
        floor_s=floor(case, what, copy, product) if copy and product else None,
        bytes_per_s=moved(case, what) / row.ours_s if row.ours_s else None,
    )  # fmt: skip
    return made.beside(product / 1e9) if product else made


def ceilings(contender: Contender, copies: list[int], square: int, repeats: int) -> Ceilings:
    """Copies of these sizes, and a square product."""
    product = Product(square, square, square)
    works: dict[str, tuple[int, int | None]] = {copy_name(size): (2 * size, None) for size in copies}
    works[product_name(product)] = product.bytes, product.flops
    rows = [
        kernel_row(None, name, *works[name], times) for name, times in series(contender, None, works, repeats)
    ]
    copied = [row.bytes_per_s for row in rows if row.flops is None and row.bytes_per_s]
    return Ceilings(max(copied, default=None), rows[-1].flops_per_s, rows)


def kernel_rows(
    case: Case, contender: Contender, repeats: int, ceilings: Ceilings, report: Callable[[str], None]
) -> Iterator[KernelRow]:
    """Every kernel at the shapes of the case, then every product of a layer."""
    works: dict[str, tuple[int, int | None]] = {name: (traffic(case, name), None) for name in TRAFFIC}
    for product in products(case):
        works[product_name(product)] = product.bytes, product.flops
    report(f"{case.name}: its kernels, one by one")
    for name, times in series(contender, case, works, repeats):
        yield kernel_row(case.name, name, *works[name], times, ceilings)


def products(case: Case) -> list[Product]:
    """Of a layer, forward and backward, each once."""
    found = [one.product for one in passes(case, "train_step") if one.product]
    return list(dict.fromkeys(found))


def kernel_row(
    case: str | None, name: str, size: int, flops: int | None, times: Times, beside: Ceilings | None = None
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
