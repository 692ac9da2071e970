"""Every kernel field of an engine against the reference in the next wider precision, on cases that its
shapes can break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine, Pair
from s5ref.engines import SEQUENTIAL
from s5ref.nn.norm import Running
from s5ref.random import generator
from s5ref.tree import leaves
from s5ref.verification.rounding.bounds import BOUNDS
from s5ref.verification.rounding.budget import cast, ratio, wider

FIELDS = tuple(BOUNDS)


class Case(NamedTuple):
    """Arguments of a field and a cotangent of its value, in float64."""

    field: str
    name: str
    args: tuple[Any, ...]
    dy: Any


def cases(field: str) -> Iterator[Case]:
    """The cases of a field: lengths around tile and block sizes, every optional argument present and
    absent."""
    yield from {
        "embed": _embed,
        "linear": _linear,
        "scan": _scan,
        "gelu_tanh": _elementwise,
        "gelu_erf": _elementwise,
        "glu": _glu,
        "layer_norm": _layer_norm,
        "batch_norm": _batch_norm,
    }[field](field)


def _normal(*key: int | str) -> Any:
    rng = generator("fields", *key)
    return lambda *shape: rng.standard_normal(shape)


def _embed(field: str) -> Iterator[Case]:
    for N, L, V, H in ((1, 1, 1, 1), (2, 9, 5, 7), (3, 70, 18, 33), (2, 150, 135, 40), (1, 700, 3, 70)):
        n, tokens = _normal(field, N, L), generator("fields", field, "tokens", V).integers(0, V, (N, L))
        yield Case(field, f"{N}×{L}×{H}, V={V}", (tokens, n(V, H), n(H)), n(N, L, H))
    n, H = _normal(field, "long"), 5
    unused = np.full((2, 3000), 6)  # of 9 tokens, one that most steps have, and some that none has
    unused[:, ::7] = 2
    yield Case(field, "one token, long", (unused, n(9, H), n(H)), n(2, 3000, H) + 1)


def _linear(field: str) -> Iterator[Case]:
    for shape, outputs in (
        ((1, 1, 1), 1),
        ((2, 9, 5), 7),
        ((3, 150, 33), 6),
        ((4, 12), 130),
        ((130, 3, 130), 2),
        ((2, 1300, 3), 4),
    ):
        for biased in (True, False):
            n = _normal(field, *shape, outputs)
            bias = n(outputs) if biased else None
            name = f"{shape}→{outputs}{', bias' if biased else ''}"
            yield Case(field, name, (n(*shape), n(shape[-1], outputs), bias), n(*shape[:-1], outputs))


def _scan(field: str) -> Iterator[Case]:
    for N, L in ((3, 1), (3, 2), (3, 9), (3, 64), (9, 70), (3, 150), (1, 800), (2, 520)):
        for reverse in (False, True):
            for varying in (False, True):
                n = _normal(field, N, L)
                P = 5

                def z(*shape: int, n: Any = n) -> Array:
                    return np.asarray(n(*shape) + 1j * n(*shape))

                shape = (N, L, P) if varying else (P,)
                Lambda_bar = np.exp(-np.abs(n(*shape)) * 0.2 + 1j * n(*shape))
                Bu, x0, dx, dlast = z(N, L, P), z(N, P), z(N, L, P), z(N, P)
                way, kind = "reverse" if reverse else "forward", "varying" if varying else "constant"
                name = f"N={N}, L={L}, {way}, {kind} Λ̄"
                yield Case(field, f"{name}, x0, dx, dx_last", (Lambda_bar, Bu, x0, reverse), (dx, dlast))
                if L > 150:
                    continue
                yield Case(field, f"{name}, dx", (Lambda_bar, Bu, None, reverse), (dx, None))
                yield Case(field, f"{name}, x0, dx_last", (Lambda_bar, Bu, x0, reverse), (None, dlast))


def _elementwise(field: str) -> Iterator[Case]:
    n = _normal(field)
    yield Case(field, "N(0, 3²)", (3 * n(2, 150, 7),), n(2, 150, 7))
    yield Case(field, "N(0, 3²), long", (3 * n(5, 1000, 14),), n(5, 1000, 14))
    grid = np.concatenate(
        [-np.logspace(-30, 0.7, 200), [0.0], np.logspace(-30, 2, 200), -np.linspace(0, 8, 100)]
    )
    yield Case(field, "tails and 0", (grid[None, :, None],), np.ones((1, grid.size, 1)))


def _glu(field: str) -> Iterator[Case]:
    n = _normal(field)
    yield Case(field, "z ~ N(0, 6²)", (n(2, 150, 7), 6 * n(2, 150, 7)), n(2, 150, 7))
    yield Case(field, "z ~ N(0, 6²), long", (n(5, 1000, 14), 6 * n(5, 1000, 14)), n(5, 1000, 14))
    z = np.linspace(-80, 80, 321)[None, :, None]
    yield Case(field, "z to ±80", (np.ones_like(z), z), np.ones_like(z))


def _layer_norm(field: str) -> Iterator[Case]:
    for H, mean in ((1, 0.0), (2, 3.0), (33, 0.0), (33, 1000.0)):
        n = _normal(field, H)
        yield Case(field, f"H={H}, mean {mean:g}", (n(2, 40, H) + mean, n(H), n(H)), n(2, 40, H))


def _batch_norm(field: str) -> Iterator[Case]:
    for N, L, H, mean in ((1, 1, 3, 0.0), (2, 9, 5, 0.0), (3, 150, 7, 0.0), (3, 150, 7, 100.0)):
        n = _normal(field, N, L)
        x, scale, bias, dy = n(N, L, H) + mean, n(H), n(H), n(N, L, H)
        running = Running(n(H), n(H) ** 2 + 0.1)
        lengths = np.maximum(1, L - np.arange(N) * (L // 3))
        valid = (np.arange(L)[None, :] < lengths[:, None])[:, :, None]
        size = f"{N}×{L}×{H}, mean {mean:g}"
        yield Case(field, f"{size}, training", (x, scale, bias, running, 0.95, True, None), dy)
        yield Case(field, f"{size}, training, masked", (x, scale, bias, running, 0.95, True, valid), dy)
        yield Case(field, f"{size}, evaluation", (x, scale, bias, running, 0.95, False, None), dy)


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
    args, dy = cast(case.args, dtype), cast(case.dy, dtype)
    precision = judge_of(case.field, dtype)
    itself = (
        np.finfo(precision).eps == np.finfo(dtype).eps
    )  # then the reference errs as well: twice the budget
    reference = getattr(SEQUENTIAL, case.field)
    want = outcome(reference, cast(args, precision), cast(dy, precision))
    dtypes = {path: np.asarray(leaf).dtype for path, leaf in outcome(reference, args, dy).items()}
    bounds = BOUNDS[case.field](*cast(args, np.float64), cast(dy, np.float64))
    return Judged(case, args, dy, want, dtypes, bounds, float(np.finfo(dtype).eps) * (2 if itself else 1))


def field_ratios(engine: Engine, judged: Judged) -> dict[str, float]:
    """The ratio of every leaf that both engine and reference fill; a leaf of another dtype counts as
    infinity."""
    got = outcome(getattr(engine, judged.case.field), judged.args, judged.dy)
    missing = [path for path in judged.want if path not in got and not path.startswith("saved.")]
    ratios = dict.fromkeys(missing, float("inf"))
    for path in got.keys() & judged.want.keys():
        leaf = np.asarray(got[path])
        agree = leaf.dtype == judged.dtypes[path]
        ratios[path] = (
            ratio(leaf, judged.want[path], judged.bounds.get(path, 0.0), judged.eps)
            if agree
            else float("inf")
        )
    return ratios
