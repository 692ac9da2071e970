"""The kernels at sizes of the paper's experiments, in both build modes."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice

from s5ref.arrays import Array
from s5ref.gpu.engine import engine_of
from s5ref.gpu.launch import Launcher
from s5ref.gpu.tiling import tiling
from s5ref.nn.norm import Running
from s5ref.random import generator
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast
from s5ref.verification.selfcheck.engines import worst_of_field
from s5ref.verification.selfcheck.fields import FIELDS, Case, field_ratios, judged, outcome

pytestmark = MARKS

# name: (N, L, P) and whether blocks share a sequence
SCANS = {
    "ListOps": ((50, 2048, 8), True),
    "sMNIST": ((50, 784, 64), True),
    "Path-X, one sequence": ((1, 16_384, 128), True),
    "ListOps, a batch of 300": ((300, 2048, 8), False),
}


def normal(*shape: int) -> Array:
    return generator("gpu sizes", *shape).standard_normal(shape)


def complex_normal(*shape: int) -> Array:
    return normal(*shape) + 1j * normal(*shape[::-1]).reshape(shape)


def worst(case: Case) -> float:
    ratios: dict[str, float] = field_ratios(engine_of(ShimDevice()), judged(case, "float32"))
    return max(ratios.values())


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", SCANS)
def test_scan(name: str, reverse: bool) -> None:
    shape, shared = SCANS[name]
    N, _L, P = shape
    assert tiling(*shape).lookback == shared
    Lambda_bar = np.exp(-np.abs(normal(P)) * 0.01 + 1j * normal(P))
    Bu, x0, dx, dx_last = (complex_normal(*size) for size in (shape, (N, P), shape, (N, P)))
    assert worst(Case("scan", name, (Lambda_bar, Bu, x0, reverse), (dx, dx_last))) <= THRESHOLD


FEATURES = {"sMNIST": (50, 784, 96), "ListOps": (50, 2048, 128)}


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("field", [field for field in FIELDS if field not in ("scan", "linear", "conv_pool")])
def test_features(field: str, name: str) -> None:
    shape = FEATURES[name]
    x, H = 3 * normal(*shape), shape[-1]
    args = {
        "batch_norm": (x, normal(H), normal(H) + 1, Running(normal(H), normal(H) ** 2), 0.95, True, None),
        "layer_norm": (x, normal(H), normal(H) + 1),
        "gelu_tanh": (x,),
        "gelu_erf": (x,),
        "glu": (x, x + 1),
        "embed": (np.abs(6 * x[..., 0]).astype(np.int64) % 18, normal(18, H), normal(H)),
    }[field]
    assert worst(Case(field, name, args, normal(*shape))) <= THRESHOLD


@pytest.mark.parametrize("field", FIELDS)
def test_field_within_budget_in_strict_mode(field: str) -> None:
    engine = engine_of(ShimDevice(), "strict", strict=True)
    assert worst_of_field(field, "float32", [engine])["strict"].value <= THRESHOLD


def test_the_mode_reaches_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, ...]] = []

    class Recorded(ShimDevice):
        def module(self, code, options):  # type: ignore[no-untyped-def]
            given.append(tuple(options))
            return super().module(code, options)

    for mode in (False, True):
        Launcher(Recorded(), strict=mode).kernel("elementwise", "glu", np.float32)
    assert ["--fmad=false" in options for options in given] == [False, True]


def test_bits_of_a_lookback_in_strict_mode_do_not_depend_on_blocks() -> None:
    args = cast((np.exp(1j * normal(3)), complex_normal(1, 1100, 3), complex_normal(1, 3), False), "float32")
    d = cast((complex_normal(1, 1100, 3), complex_normal(1, 3)), "float32")
    one, two = (
        dict(leaves(outcome(engine_of(ShimDevice(resident=resident), strict=True).scan, args, d)))
        for resident in (1, 2)
    )
    for path, leaf in one.items():
        np.testing.assert_array_equal(np.asarray(two[path]), np.asarray(leaf), err_msg=path)
