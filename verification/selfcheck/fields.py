"""Every kernel field of an engine against the reference in the next wider precision, on cases that its
shapes can break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.nn.conv import output_size
from s5ref.nn.norm import Running
from s5ref.tree import leaves
from s5ref.verification.draws import Normal
from s5ref.verification.rounding.bounds import BOUNDS
from s5ref.verification.rounding.budget import cast, ratio, wider


class Case(NamedTuple):
    """Arguments of a field, or of another operation, and a cotangent of its value, in float64."""

    field: str
    name: str
    args: tuple[Any, ...]
    dy: Any


def cases(field: str) -> Iterator[Case]:
    """The cases of a field: lengths around tile and block sizes, every optional argument present and
    absent."""
    return CASES[field](field)


def _embed(field: str) -> Iterator[Case]:
    for N, L, V, H in ((1, 1, 1, 1), (2, 9, 5, 7), (3, 70, 18, 33), (2, 150, 135, 40), (1, 700, 3, 70)):
        tokens = Normal("fields", field, "tokens", V).rng.integers(0, V, (N, L))
        n = Normal("fields", field, N, L)
        yield Case(field, f"{N}×{L}×{H}, V={V}", (tokens, n(V, H), n(H)), n(N, L, H))
    n, H = Normal("fields", field, "long"), 5
    unused = np.full((2, 3000), 6)  # of 9 tokens, one that most steps have, and some that none has
    unused[:, ::7] = 2
    yield Case(field, "one token, long", (unused, n(9, H), n(H)), n(2, 3000, H) + 1)


def _conv_pool(field: str) -> Iterator[Case]:
    """Fewer images than the groups that an engine cuts them into, and more; images that are no square."""
    for images, size, outputs, stride, padding in (
        ((1, 2, 2, 1), (1, 1), 1, 1, 0), ((3, 8, 8, 1), (5, 5), 4, 1, 2), ((2, 12, 8, 3), (3, 3), 5, 2, 1),
        ((40, 24, 24, 1), (5, 5), 12, 1, 2), ((37, 12, 12, 12), (3, 3), 12, 2, 1),
        ((2, 9, 7, 2), (2, 4), 17, 1, 0),
    ):  # fmt: skip
        n = Normal("fields", field, *images, *size, outputs)
        x, kernel, bias = n(*images), n(*size, images[3], outputs), n(outputs)
        rows, columns = (
            output_size(pixels, taps, stride, padding) // 2
            for pixels, taps in zip(images[1:3], size, strict=True)
        )
        name = f"{images} by {size}→{outputs}, stride {stride}, padding {padding}"
        args = x, kernel, bias, stride, padding
        yield Case(field, name, args, n(images[0], rows, columns, outputs))


def _linear(field: str) -> Iterator[Case]:
    for shape, outputs in (
        ((1, 1, 1), 1), ((2, 9, 5), 7), ((3, 150, 33), 6), ((4, 12), 130), ((130, 3, 130), 2),
        ((2, 1300, 3), 4),
    ):  # fmt: skip
        for biased in (True, False):
            n = Normal("fields", field, *shape, outputs)
            bias = n(outputs) if biased else None
            name = f"{shape}→{outputs}{', bias' if biased else ''}"
            yield Case(field, name, (n(*shape), n(shape[-1], outputs), bias), n(*shape[:-1], outputs))


def scan_case(n: Normal, name: str, shape: tuple[int, int, int], reverse: bool, varying: bool) -> Case:
    """A scan of elements (N, L, P) with every input and cotangent."""
    N, _, P = shape
    of_Lambda_bar = shape if varying else (P,)
    Lambda_bar = np.exp(-np.abs(n(*of_Lambda_bar)) * 0.2 + 1j * n(*of_Lambda_bar))
    args = Lambda_bar, n.complex(*shape), n.complex(N, P), reverse
    way, kind = "reverse" if reverse else "forward", "varying" if varying else "constant"
    return Case("scan", f"{name}, {way}, {kind} Λ̄", args, (n.complex(*shape), n.complex(N, P)))


def _scan(field: str) -> Iterator[Case]:
    for N, L in ((3, 1), (3, 2), (3, 9), (3, 64), (9, 70), (3, 150), (1, 800), (2, 520)):
        for reverse, varying in product((False, True), (False, True)):
            n = Normal("fields", field, N, L)
            case = scan_case(n, f"N={N}, L={L}", (N, L, 5), reverse, varying)
            (Lambda_bar, Bu, *_), (dx, dlast) = case.args, case.dy
            yield case._replace(name=f"{case.name}, x0, dx, dx_last")
            if L <= 150:
                yield Case(field, f"{case.name}, dx", (Lambda_bar, Bu, None, reverse), (dx, None))
                yield Case(field, f"{case.name}, x0, dx_last", case.args, (None, dlast))


def _elementwise(field: str) -> Iterator[Case]:
    n = Normal("fields", field)
    yield Case(field, "N(0, 3²)", (3 * n(2, 150, 7),), n(2, 150, 7))
    yield Case(field, "N(0, 3²), long", (3 * n(5, 1000, 14),), n(5, 1000, 14))
    grid = np.concatenate(
        [-np.logspace(-30, 0.7, 200), [0.0], np.logspace(-30, 2, 200), -np.linspace(0, 8, 100)]
    )
    yield Case(field, "tails and 0", (grid[None, :, None],), np.ones((1, grid.size, 1)))


def _glu(field: str) -> Iterator[Case]:
    n = Normal("fields", field)
    yield Case(field, "z ~ N(0, 6²)", (n(2, 150, 7), 6 * n(2, 150, 7)), n(2, 150, 7))
    yield Case(field, "z ~ N(0, 6²), long", (n(5, 1000, 14), 6 * n(5, 1000, 14)), n(5, 1000, 14))
    z = np.linspace(-80, 80, 321)[None, :, None]
    yield Case(field, "z to ±80", (np.ones_like(z), z), np.ones_like(z))


def _layer_norm(field: str) -> Iterator[Case]:
    for H, mean in ((1, 0.0), (2, 3.0), (33, 0.0), (33, 1000.0)):
        n = Normal("fields", field, H)
        yield Case(field, f"H={H}, mean {mean:g}", (n(2, 40, H) + mean, n(H), n(H)), n(2, 40, H))


def _batch_norm(field: str) -> Iterator[Case]:
    for N, L, H, mean in ((1, 1, 3, 0.0), (2, 9, 5, 0.0), (3, 150, 7, 0.0), (3, 150, 7, 100.0)):
        n = Normal("fields", field, N, L)
        x, scale, bias, dy = n(N, L, H) + mean, n(H), n(H), n(N, L, H)
        running = Running(n(H), n(H) ** 2 + 0.1)
        lengths = np.maximum(1, L - np.arange(N) * (L // 3))
        valid = (np.arange(L)[None, :] < lengths[:, None])[:, :, None]
        for how, mask in (("training", None), ("training, masked", valid), ("evaluation", None)):
            args = x, scale, bias, running, 0.95, how != "evaluation", mask
            yield Case(field, f"{N}×{L}×{H}, mean {mean:g}, {how}", args, dy)


CASES: dict[str, Callable[[str], Iterator[Case]]] = {
    "embed": _embed, "linear": _linear, "conv_pool": _conv_pool, "scan": _scan, "gelu_tanh": _elementwise,
    "gelu_erf": _elementwise, "glu": _glu, "layer_norm": _layer_norm, "batch_norm": _batch_norm,
}  # fmt: skip
FIELDS = tuple(BOUNDS)


def outcome(pair: Pair, args: tuple[Any, ...], dy: Any) -> dict[str, Any]:
    """The leaves of {"y", "saved", "d"}: the value, what it saves, and the vjp of dy."""
    y, residuals = pair.value(*args)
    return dict(leaves({"y": y, "saved": residuals, "d": pair.vjp(residuals, dy)}))


class Judged(NamedTuple):
    """A case in one dtype, with what the reference makes of it in the next wider precision, and the bound
    of every leaf."""

    case: Case
    args: tuple[Any, ...]
    dy: Any
    want: dict[str, Any]
    dtypes: dict[str, Any]
    bounds: dict[str, Array]
    eps: float


def judge_of(field: str, dtype: Any) -> np.dtype[Any]:
    """The precision of the reference: the next wider one, but the error function ends at float64."""
    return np.dtype(np.float64) if field == "gelu_erf" else wider(dtype)


def candidates(field: str, dtype: Any, engines: Sequence[Engine]) -> list[Engine]:
    """The engines whose pair is worth judging: each pair once, and not the reference by itself."""
    itself = np.finfo(judge_of(field, dtype)).eps == np.finfo(dtype).eps
    seen = [getattr(SEQUENTIAL, field)] if itself else []
    chosen = []
    for engine in engines:
        if getattr(engine, field) not in seen:
            seen.append(getattr(engine, field))
            chosen.append(engine)
    return chosen


def judged(case: Case, dtype: Any) -> Judged:
    """The reference is evaluated at the same arguments, so what is measured is the whole rounding error of
    a candidate."""
    args, dy = cast((case.args, case.dy), dtype)
    precision, eps = judge_of(case.field, dtype), float(np.finfo(dtype).eps)
    if np.finfo(precision).eps == eps:  # then the reference errs as well: twice the budget
        eps = 2 * eps
    reference = getattr(SEQUENTIAL, case.field)
    want = outcome(reference, *cast((args, dy), precision))
    dtypes = {path: np.asarray(leaf).dtype for path, leaf in outcome(reference, args, dy).items()}
    bounds = BOUNDS[case.field](*cast(args, np.float64), cast(dy, np.float64))
    return Judged(case, args, dy, want, dtypes, bounds, eps)


def field_ratios(engine: Engine, judged: Judged) -> dict[str, float]:
    """The ratio of every leaf that both engine and reference fill; a leaf of another dtype counts as
    infinity."""
    got = outcome(getattr(engine, judged.case.field), judged.args, judged.dy)
    missing = [path for path in judged.want if path not in got and not path.startswith("saved.")]
    ratios = dict.fromkeys(missing, float("inf"))
    for path in [path for path in judged.want if path in got]:
        agree = np.asarray(got[path]).dtype == judged.dtypes[path]
        bound = judged.bounds.get(path, 0.0)
        ratios[path] = ratio(got[path], judged.want[path], bound, judged.eps) if agree else float("inf")
    return ratios
