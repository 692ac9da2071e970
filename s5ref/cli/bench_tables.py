"""What ``s5ref bench`` shows: rows of ours beside a peer's, the growth of the cost, a GPU's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s5ref.cli.output import Output
from s5ref.cli.units import NOTHING, duration, number, rate, size

if TYPE_CHECKING:
    from s5ref.bench import options
    from s5ref.bench import run as cpu
    from s5ref.bench.gpu import run as gpu
    from s5ref.bench.growth import Growth
    from s5ref.bench.measure import Row


def show_cpu(results: cpu.Results, out: Output) -> None:
    machine = results.machine
    out.say(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads")
    if results.rows:
        out.say()
        out.table([
            _ours(row) | _beside(row) | {
                ">GF/s": number(row.gflops), ">of peak": number(row.percent_of_peak, "{:.3g} %"),
                "": row.error or "",
            } for row in results.rows
        ])  # fmt: skip
        if results.peak_gflops:
            out.say(f"peak: {results.peak_gflops:.0f} GF/s, a float32 matrix product of NumPy on all threads")
    for growth in results.growth:
        base = " ".join(f"{name}={value}" for name, value in growth.base.items())
        out.say(f"\ntrain step over {growth.axis}, {base}: {_slope(growth)}")
        out.table([{
            f">{growth.axis}": str(p.value), ">seconds": duration(p.seconds), ">memory": size(p.bytes),
            "": p.error or "",
        } for p in growth.points])  # fmt: skip


def show_gpu(results: gpu.Results, out: Output) -> None:
    machine, rates = results.machine, results.roofline
    out.say(f"{machine['gpu']}, products in {machine['precision']['ours']}")
    out.say(f"copy {rate(rates.copy_bytes_per_s, 'B/s')}, product {rate(rates.product_flops_per_s, 'F/s')}")
    for measured in rates.rows:
        if measured.error:
            out.say(f"{measured.kernel}: {measured.error}")
    out.say()
    out.table([
        _ours(row) | {">floor": duration(row.floor_s), ">host": duration(row.host_s)} | _beside(row) | {
            ">B/s": rate(row.bytes_per_s), ">F/s": rate(row.gflops and 1e9 * row.gflops),
            "": "; ".join(filter(None, (row.error, row.note))),
        } for row in results.rows
    ])  # fmt: skip
    out.say()
    out.table([{
        "case": row.case or NOTHING, "kernel": row.kernel, ">time": duration(row.seconds),
        ">B/s": rate(row.bytes_per_s), ">of copy": number(row.percent_of_copy, "{:.3g} %"),
        ">F/s": rate(row.flops_per_s), ">of product": number(row.percent_of_product, "{:.3g} %"),
        "": row.error or "",
    } for row in results.kernels])  # fmt: skip


def show_options(results: options.Results, out: Output) -> None:
    machine = results.machine
    out.say(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads")
    out.say(f"{results.case}, batch {results.batch}, length {results.length}\n")
    out.table([{
        "option": row.option, "what": row.what, "layers": row.implementation,
        ">time": duration(row.seconds), ">recipe": duration(row.recipe_s),
        ">ratio": number(row.ratio, "{:.2f}"),
    } for row in results.rows])  # fmt: skip


def _ours(row: Row) -> dict[str, str]:
    return {"case": row.case, "what": row.what, ">ours": duration(row.ours_s)}


def _beside(row: Row) -> dict[str, str]:
    return {
        ">peer": row.peer or NOTHING, ">its time": duration(row.peer_s),
        ">ratio": number(row.ratio, "{:.2f}"), ">memory": size(row.ours_bytes),
        ">its memory": size(row.peer_bytes),
    }  # fmt: skip


def _slope(growth: Growth) -> str:
    if growth.exponent is None:
        return "too few points for an exponent"
    words = f"∝ {growth.axis}^{growth.exponent:.2f}"
    if growth.exponent_all is not None and growth.fitted_from != growth.points[0].value:
        words += f" from {growth.fitted_from} on ({growth.exponent_all:.2f} over all)"
    return words
