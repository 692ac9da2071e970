"""What ``s5ref bench gpu`` shows: the device's rates, steps beside their floors, kernels beside the rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s5ref.cli.output import Output
from s5ref.cli.units import duration, memory, number

if TYPE_CHECKING:
    from s5ref.bench.gpu.rows import KernelRow, StepRow
    from s5ref.bench.gpu.run import Results


def show(results: Results, out: Output) -> None:
    machine, rates = results.machine, results.roofline
    out.say(f"{machine['gpu']}, products in {machine['precision']['ours']}")
    out.say(f"copy {_rate(rates.copy_bytes_per_s, 'B/s')}, product {_rate(rates.product_flops_per_s, 'F/s')}")
    for row in rates.rows:
        if row.error:
            out.say(f"{row.kernel}: {row.error}")
    peers = any(row.peer for row in results.rows)
    beside = ["peer", "its time", "ratio"] if peers else []
    sizes = ["memory", "its memory"] if peers else ["memory"]
    head = ["case", "what", "ours", "floor", "host", *beside, *sizes, "B/s", "F/s", ""]
    out.say()
    out.table(head, [_step(row, peers) for row in results.rows], right=head[2:-1])
    head = ["case", "kernel", "time", "B/s", "of copy", "F/s", "of product", ""]
    out.say()
    out.table(head, [_kernel(row) for row in results.kernels], right=head[2:-1])


def _step(row: StepRow, peers: bool) -> list[str]:
    cells = [row.case, row.what, duration(row.ours_s), duration(row.floor_s), duration(row.host_s)]
    cells += [row.peer or "–", duration(row.peer_s), number(row.ratio, "", 2)] if peers else []
    cells += [memory(row.ours_bytes), *([memory(row.peer_bytes)] if peers else [])]
    flops = None if row.gflops is None else 1e9 * row.gflops
    words = "; ".join(text for text in (row.error, row.note) if text)
    return [*cells, _rate(row.bytes_per_s, ""), _rate(flops, ""), words]


def _kernel(row: KernelRow) -> list[str]:
    return [
        row.case or "–", row.kernel, duration(row.seconds),
        _rate(row.bytes_per_s, ""), number(row.percent_of_copy, " %"),
        _rate(row.flops_per_s, ""), number(row.percent_of_product, " %"), row.error or "",
    ]  # fmt: skip


def _rate(value: float | None, unit: str) -> str:
    """2.9e12 → 2.9 T."""
    if value is None:
        return "–"
    letter, scale = ("T", 1e12) if value >= 1e12 else ("G", 1e9)
    return f"{value / scale:.3g} {letter}{unit}"
