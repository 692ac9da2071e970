"""Every kernel field that runs on a device, executed by the shim, against the reference within its budget."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice

from s5ref import Engine, Pair, S5Error
from s5ref.engines import NUMPY
from s5ref.gpu.engine import engine_of
from s5ref.gpu.tiling import tiling
from s5ref.random import generator
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast
from s5ref.verification.selfcheck.engines import model_ratios, worst_of_field
from s5ref.verification.selfcheck.exact import gelu_ratios
from s5ref.verification.selfcheck.fields import FIELDS, Case, cases, field_ratios, judged, outcome
from s5ref.verification.selfcheck.problems import BASE, problem

pytestmark = MARKS

ENGINE = engine_of(ShimDevice())
ORDERS = (0, 1, 2, 3)  # of the threads in a block


def complex_normal(n: Any, *shape: int) -> Any:
    return np.asarray(n(shape) + 1j * n(shape))


def scan_case(N: int, L: int, P: int, reverse: bool, varying: bool) -> Case:
    n = generator("gpu scan", N, L, P).standard_normal
    shape = (N, L, P) if varying else (P,)
    Lambda_bar = np.exp(-np.abs(n(shape)) * 0.2 + 1j * n(shape))
    args = (Lambda_bar, complex_normal(n, N, L, P), complex_normal(n, N, P), reverse)
    d = complex_normal(n, N, L, P), complex_normal(n, N, P)
    return Case("scan", f"{N}×{L}×{P}, {'reverse' if reverse else 'forward'}, {varying=}", args, d)


def worst(engine: Engine, case: Case, dtype: str) -> float:
    ratios: dict[str, float] = field_ratios(engine, judged(case, dtype))
    return max(ratios.values())


def test_every_pair_is_the_device_s_own() -> None:
    own = {f.name: getattr(ENGINE, f.name) for f in fields(Engine)}
    pairs = {name for name, value in own.items() if isinstance(value, Pair)}
    assert pairs == {*FIELDS}
    assert [name for name in pairs if own[name] == getattr(NUMPY, name)] == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("field", FIELDS)
def test_field_within_budget(field: str, dtype: str) -> None:
    found = worst_of_field(field, dtype, [ENGINE])[ENGINE.name]
    assert found.value <= THRESHOLD, found


@pytest.mark.parametrize("varying", [False, True], ids=["constant", "varying"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(
    ("N", "L", "P", "channels", "chunks"),
    [(2, 131, 13, 16, 1), (2, 129, 33, 32, 1), (270, 257, 3, 8, 1), (1, 300, 40, 8, 2), (3, 1100, 9, 8, 5)],
)
def test_scan_of_every_width_with_and_without_lookback(
    N: int, L: int, P: int, channels: int, chunks: int, reverse: bool, varying: bool
) -> None:
    cut = tiling(N, L, P)
    assert (cut.channels, cut.chunks) == (channels, chunks)
    assert worst(ENGINE, scan_case(N, L, P, reverse, varying), "float32") <= THRESHOLD


@pytest.mark.parametrize("varying", [False, True], ids=["constant", "varying"])
def test_scan_of_more_sequences_than_a_second_grid_dimension_holds(varying: bool) -> None:
    assert tiling(65_600, 2, 1).blocks(65_600, 1) > 65_535
    assert worst(ENGINE, scan_case(65_600, 2, 1, False, varying), "float32") <= THRESHOLD


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 33), (3, 150, 40), (1, 700, 65), (70_000, 1, 1)])
def test_batch_norm_of_more_rows_and_channels_than_a_block_has(shape: tuple[int, int, int]) -> None:
    n = generator("gpu norm", *shape).standard_normal
    example = next(cases("batch_norm"))
    _x, _scale, _bias, running, momentum, _training, _valid = example.args
    H = shape[-1]
    running = running._replace(mean=n(H), var=n(H) ** 2 + 0.1)
    valid = generator("gpu norm valid").random((*shape[:2], 1)) < 0.7
    valid[0, 0] = True
    for mask in (None, valid):
        args = (n(shape) + 3, n(H), n(H), running, momentum, True, mask)
        case = Case("batch_norm", "large", args, n(shape))
        assert worst(ENGINE, case, "float32") <= THRESHOLD


@pytest.mark.parametrize("field", FIELDS)
def test_bits_do_not_depend_on_the_order_of_threads_and_blocks(field: str) -> None:
    at = (
        [scan_case(270, 300, 3, True, False), scan_case(2, 129, 33, False, True)]
        if field == "scan"
        else [
            case
            for case in cases(field)
            if any(w in case.name for w in ("×7", "long", "H=33", "1300", "(37, "))
        ]
    )
    assert at
    for case in at:
        args, dy = cast(case.args, "float32"), cast(case.dy, "float32")
        runs = [
            dict(leaves(outcome(getattr(engine_of(ShimDevice(order)), field), args, dy))) for order in ORDERS
        ]
        for run in runs[1:]:
            for path, leaf in runs[0].items():
                np.testing.assert_array_equal(np.asarray(run[path]), np.asarray(leaf), err_msg=path)


def test_a_whole_model_within_its_composite_budget() -> None:
    config = replace(BASE, bidirectional=True, dropout=0.3, activation="half_glu1", norm="batch")
    at = problem("gpu", "batch norm, both directions, dropout", config, n=3, length=70)
    ratios = model_ratios(at, "float32", [ENGINE])[ENGINE.name]
    assert max(ratios.values()) <= THRESHOLD, ratios


def test_a_model_of_tokens_with_layer_norm_and_the_other_gelu() -> None:
    config = replace(BASE, dropout=0.3, activation="full_glu", gelu="erf", norm="layer")
    at = problem("gpu", "tokens, layer norm, erf", config, n=3, length=70, tokens=True)
    ratios = model_ratios(at, "float32", [ENGINE])[ENGINE.name]
    assert max(ratios.values()) <= THRESHOLD, ratios


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_erf_against_a_series_of_640_bits(dtype: str) -> None:
    for ratio, where in gelu_ratios(ENGINE, dtype):
        assert ratio <= THRESHOLD, where


def test_arrays_that_are_not_contiguous_are_taken_as_they_are() -> None:
    case = scan_case(2, 40, 6, False, True)
    args, d = cast(case.args, "float32"), cast(case.dy, "float32")
    twisted = tuple(np.asfortranarray(a) if isinstance(a, np.ndarray) else a for a in args)
    assert not twisted[1].flags.c_contiguous
    plain = dict(leaves(outcome(ENGINE.scan, args, d)))
    for path, leaf in leaves(outcome(ENGINE.scan, twisted, tuple(map(np.asfortranarray, d)))):
        np.testing.assert_array_equal(np.asarray(leaf), np.asarray(plain[path]), err_msg=path)


def test_real_states_are_the_reference_s() -> None:
    n = generator("gpu real scan").standard_normal
    Lambda_bar, Bu = 0.9 * np.ones(3), n((2, 5, 3))
    (x, _), residuals = ENGINE.scan.value(Lambda_bar, Bu)
    np.testing.assert_array_equal(x, NUMPY.scan.value(Lambda_bar, Bu)[0][0])
    assert ENGINE.scan.vjp(residuals, (x, None))[1].dtype == Bu.dtype


def test_two_precisions_in_one_call_are_refused() -> None:
    _, residuals = ENGINE.gelu_tanh.value(np.ones((1, 2, 3), np.float32))
    with pytest.raises(S5Error, match="gelu_tanh_vjp: arrays must be contiguous and of float32"):
        ENGINE.gelu_tanh.vjp(residuals, np.ones((1, 2, 3)))


def test_other_precisions_are_refused() -> None:
    with pytest.raises(S5Error, match="float32 and float64"):
        ENGINE.gelu_tanh.value(np.ones((1, 2, 3), np.longdouble))
