"""Faults planted in the norms, the tail, the embedding: every one is caught by what the true kernels pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError

from s5ref.arrays import Array
from s5ref.gpu.engine import engine_of
from s5ref.gpu.launch import Launcher
from s5ref.gpu.norm import batch_norm, moments_of
from s5ref.gpu.source import source
from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp
from s5ref.nn.norm import Running
from s5ref.random import generator
from s5ref.verification.rounding.budget import THRESHOLD, cast
from s5ref.verification.selfcheck.fields import Case, cases, field_ratios, judged

pytestmark = MARKS

Holds = Iterator[bool]  # one thing after the other that is true of the true kernels


def norm(device: ShimDevice) -> Holds:
    """Budgets, and the variance far from zero to a few eps, over slabs without a valid row."""
    yield from field("batch_norm", list(cases("batch_norm")), device)
    n = generator("gpu faults norm").standard_normal
    x = (n((3, 150, 5)) + 1e4).astype(np.float32)
    late = np.arange(450).reshape(3, 150, 1) >= 70
    for valid in (None, late, late & (np.arange(450).reshape(3, 150, 1) % 8 == 3)):
        zero = np.zeros(5, np.float32)
        given = x if valid is None else np.where(valid, x, np.float32(0))
        (_, running), residuals = batch_norm(
            Launcher(device), given, zero, zero, Running(zero, zero), 0.0, True, valid
        )
        kept = x.reshape(-1, 5) if valid is None else x[valid[..., 0]]
        exact = kept.astype(np.float64).var(0)
        yield bool(np.max(np.abs(running.var - exact) / exact) < 1e-6)
        yield bool(residuals.count == len(kept))


def tail(device: ShimDevice) -> Holds:
    """What the gate leaves is what the norm would make; and the values of all forms."""
    on, n = Launcher(device), generator("gpu faults tail").standard_normal
    h, z, skip, dout, D = cast([*(n((2, 90, 37)) for _ in range(4)), n(37)], "float32")
    mask = (generator("gpu faults mask").random((2, 1, 37)) < 0.5).astype(np.float32) * 2
    valid = np.arange(180).reshape(2, 90, 1) % 3 > 0
    for gate_of, at in ((z, valid), (None, None)):
        (out, moments), residuals = gate(on, h, gate_of, mask, skip, True, at)
        yield np.array_equal(moments, moments_of(on, out, at))
        s = 1 / (1 + np.exp(-z.astype(np.float64))) if gate_of is not None else np.ones(z.shape)
        yield near(out, h * s * mask + skip)
        dh, dz, _ = gate_vjp(on, residuals, dout)
        yield near(dh, dout * s * mask)
        yield dz is None or near(dz, dout * h * s * (1 - s) * mask)
    wide = z + D.astype(np.float64) * skip
    pair = engine_of(ShimDevice())
    for erf, gelu in ((False, pair.gelu_tanh), (True, pair.gelu_erf)):
        (y, g), kept = activate(on, z, skip, D, mask, erf)
        value, at_y = gelu.value(wide)
        yield near(y, wide) and near(g, value * mask)
        dv, du, dD = activate_vjp(on, kept, (h, dout))
        want = gelu.vjp(at_y, dout * mask.astype(np.float64)) + h
        yield near(dv, want) and near(du, want * D) and near(dD, (want * skip).sum((0, 1)))


def near(got: Array, want: Array) -> bool:
    return bool(np.max(np.abs(got - want)) <= 2e-5 * np.max(np.abs(want)))


def layer_norm(device: ShimDevice) -> Holds:
    n = generator("gpu faults layer norm").standard_normal
    more = [Case("layer_norm", "", (n((1, 45, H)) + 1, n(H), n(H)), n((1, 45, H))) for H in (40, 100)]
    yield from field("layer_norm", [*cases("layer_norm"), *more], device)


def embed(device: ShimDevice) -> Holds:
    n, tokens = generator("gpu faults embed").standard_normal, generator("gpu faults tokens").integers
    args = (tokens(0, 250, (1, 1100)), n((250, 40)), n(40))
    yield from field("embed", [*cases("embed"), Case("embed", "", args, n((1, 1100, 40)))], device)
    y, _ = engine_of(device).embed.value(np.array([[-1, 3, 2]]), np.ones((3, 1)), np.ones(1))
    yield bool(np.isnan(y[0, :2]).all())


def gelu_erf(device: ShimDevice) -> Holds:
    yield from field("gelu_erf", list(cases("gelu_erf")), device)


def field(name: str, at: list[Case], device: ShimDevice) -> Holds:
    engine = engine_of(device)
    for case in at:
        ratios: dict[str, float] = field_ratios(engine, judged(case, "float32"))
        yield max(ratios.values()) <= THRESHOLD


Planted = dict[str, tuple[str, str]]  # what is wrong: the text before, and after
NORM: Planted = {
    "invalid rows are counted": ("if (valid && !valid[row]) continue;", ""),
    "squares about zero": ("if (count == 0) origin = x;", ""),
    "squares about the first value are left": ("fma(-sum, sum / count, squares)", "squares"),
    "an empty part moves the origin": ("  if (a.count == 0) return b;", ""),
    "parts are combined about one origin": ("(b.origin - a.origin) + ", ""),
    "the parts' offsets are forgotten": (" + (b.offset - a.offset)", ""),
    "squares between the parts are left out": ("fma(step * a.count * share, step, a.squares", "(a.squares"),
    "the mean is not moved": ("fma(step, share, a.offset)", "a.offset"),
    "a batch beyond the slab": (" < at.end ? first + BATCH * ROW_WARPS : at.end;", ";"),
    "no barrier before the warps' moments are read": ("= own;\n  __syncthreads();", "= own;"),
    "a warp's moments are left out": ("w = 0; w < ROW_WARPS; w++) all =", "w = 1; w < ROW_WARPS; w++) all ="),
    "the offset from the origin is lost": ("all.origin + all.offset", "all.origin"),
    "slabs are combined from the second on": ("FOR_ROWS all = combine", "FOR_ROWS if (row) all = combine"),
    "the running mean keeps nothing": ("keep * running_mean[c] + take", "take"),
    "moments of the next slab": ("at.number * 4 * H", "(at.number + 1) * 4 * H"),
}
TAIL: Planted = {
    "the gate's moments count all rows": (
        "moments_of_rows(at, valid, value)",
        "moments_of_rows(at, 0, value)",
    ),
    "the mask is lost": ("fma(gated, MASK(mask), skip[j])", "gated + skip[j]"),
    "a gate that is not there": ("z ? h[j] * sigmoid(z[j]) : h[j]", "h[j] * sigmoid(z[j])"),
    "half a gate in the adjoint": ("z ? sigmoid(z[j]) : (REAL)1", "z ? sigmoid(z[j]) : (REAL)0.5"),
    "the other GELU": ("(by_erf ? normal_cdf(sum) :", "(!by_erf ? normal_cdf(sum) :"),
    "the other GELU's slope": (
        "by_erf ? gelu_erf_slope(y[j]) : gelu_slope(gelu(y[j]))",
        "gelu_slope(gelu(y[j]))",
    ),
}
LAYER_NORM: Planted = {
    "a row beyond the last": ("  if (row >= rows) return;\n", ""),
    "the mean of the squares is not centred": (
        "REAL centred = x[at + c] - mean;",
        "REAL centred = x[at + c];",
    ),
    "the sum stays with one lane": ("if (lane >= d) value = sum;", ""),
    "a shuffle short": ("int d = LANES / 2; d; d /= 2", "int d = LANES / 4; d; d /= 2"),
    "channels beyond the first 32 are left out of the mean": (
        "c < H; c += LANES)",
        "c < H && c < LANES; c += LANES)",
    ),
    "the mean of g is not taken out": (" - alone[i] - ", " - "),
    "x̂ is not taken out": (" - xhat[j] * along[i])", ")"),
    "a warp has one row less": (
        "ROW_WARPS * ROWS_PER_WARP) + threadIdx",
        "ROW_WARPS * (ROWS_PER_WARP - 1)) + threadIdx",
    ),
    "one scratch array for both sums": ("(with_one, scratch[1])", "(with_one, scratch[0])"),
    "rows beyond the last are summed": ("if (!inside || row >= rows) continue;", "if (!inside) continue;"),
}
ELEMENTWISE: Planted = {
    "Φ by cancellation": (
        "(REAL)0.5 * one_minus_erf(x * (REAL)-0.7",
        "1 - (REAL)0.5 * one_minus_erf(x * (REAL)0.7",
    ),
    "φ is lost": ("normal_cdf(x) + x *", "normal_cdf(x) + 0 *"),
}
EMBED: Planted = {
    "tokens are not checked": ("0 <= v && v < V ?", "true ?"),
    "the second tile of the vocabulary": ("? tokens[row + i] - first : -1", "? tokens[row + i] : -1"),
    "rows beyond the last": ("Index end = begin + slab_rows < rows ?", "Index end = true ?"),
    "a step of rows too long": ("row < end; row += UNROLL)", "row < end; row += UNROLL + 1)"),
    "sums begin with what is there": ("  for (int v = 0; v < count; v++) sums[v][lane] = 0;\n", ""),
    "the last token is left out": ("0 <= v && v < count ? (int)v", "0 <= v && v < count - 1 ? (int)v"),
    "a token's sum is replaced": ("[lane] += d[i]", "[lane] = d[i]"),
}
FAULTS = {
    "norm": (norm, NORM),
    "tail": (tail, TAIL),
    "layer_norm": (layer_norm, LAYER_NORM),
    "elementwise": (gelu_erf, ELEMENTWISE),
    "embed": (embed, EMBED),
}


def caught(holds: Callable[[ShimDevice], Holds], change: Callable[[str], str]) -> bool:
    """Whether an order of the threads shows the fault, by a refused launch or by what does not hold."""
    for order in (0, 1):
        try:
            if not all(holds(ShimDevice(order, change))):
                return True
        except LaunchError:
            return True
    return False


@pytest.mark.parametrize("file", FAULTS)
def test_the_true_kernels_are_not_caught(file: str) -> None:
    assert not caught(FAULTS[file][0], lambda code: code)


@pytest.mark.parametrize(("file", "fault"), [(file, name) for file in FAULTS for name in FAULTS[file][1]])
def test_a_fault_is_caught(file: str, fault: str) -> None:
    holds, planted = FAULTS[file]
    old, new = planted[fault]
    assert source(file).count(old) == 1, f"{old!r} is not once in {file}.cu"
    assert caught(holds, lambda code: code.replace(old, new))
