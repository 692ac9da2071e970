"""The leaf map: both directions, names at any depth, what has no row."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from s5ref.verification.conformance.adapters import (
    LeafMap,
    column,
    from_interleaved,
    interleaved,
    leaves,
    one_C,
    pair,
    real_and_imaginary,
    same,
    transposed,
)

MAP = LeafMap(
    real_and_imaginary("Lambda", "Lambda_re", "Lambda_im"), pair("B"), pair("C", "W_out"), same("D", "skip"),
    column("log_step"), transposed("kernel", "weight"), same("bias"), same("norm.scale", "norm.weight"),
)  # fmt: skip
rng = np.random.default_rng(0)
SSM = {
    "Lambda": rng.standard_normal(3) - 2j, "B": rng.standard_normal((3, 2)) + 1j, "D": rng.standard_normal(2),
    "C": rng.standard_normal((2, 3)) - 1j, "log_step": rng.standard_normal(3),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "seq.", "layers_0.seq."])
def test_there_and_back_is_the_same_at_any_depth(prefix: str) -> None:
    params = {f"{prefix}{name}": x for name, x in SSM.items()}
    theirs = MAP.there(params)
    assert {name.removeprefix(prefix): x.shape for name, x in theirs.items()} == {
        "Lambda_re": (3,), "Lambda_im": (3,), "B": (3, 2, 2), "skip": (2,), "W_out": (2, 3, 2),
        "log_step": (3, 1),
    }  # fmt: skip
    back = MAP.back(theirs)
    assert set(back) == set(params)
    assert all(np.array_equal(back[name], x) for name, x in params.items())


def test_interleaved_states_are_those_of_complex_pairs() -> None:
    z = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))
    x = interleaved(z)
    assert x.shape == (2, 6)
    assert x[1, :4].tolist() == [z[1, 0].real, z[1, 0].imag, z[1, 1].real, z[1, 1].imag]
    assert np.array_equal(from_interleaved(x), z)


def test_the_longest_name_counts() -> None:
    given = {"out2.kernel": np.ones((2, 3)), "out2.bias": np.ones(3), "norm.scale": np.ones(2)}
    theirs = MAP.there(given)
    assert {name: x.shape for name, x in theirs.items()} == {
        "out2.weight": (3, 2), "out2.bias": (3,), "norm.weight": (2,),
    }  # fmt: skip
    assert {name: x.shape for name, x in MAP.back(theirs).items()} == {
        "out2.kernel": (2, 3), "out2.bias": (3,), "norm.scale": (2,),
    }  # fmt: skip


def test_a_leaf_without_a_row_is_not_offered() -> None:
    with pytest.raises(NotImplementedError, match=r"no leaf for seq\.x0"):
        MAP.there({"seq.x0": np.zeros(3)})


def test_a_name_matches_by_whole_parts() -> None:
    with pytest.raises(NotImplementedError, match="no leaf for AB"):
        MAP.there({"AB": np.zeros(3)})


def test_both_directions_in_one_C() -> None:
    one, two = np.ones((2, 3)), np.zeros((2, 3))
    joined = one_C({"seq.C1": one, "seq.C2": two, "seq.D": one})
    assert set(joined) == {"seq.C", "seq.D"}
    assert np.array_equal(joined["seq.C"], np.concatenate([one, two], 1))


def test_the_example() -> None:
    assert doctest.testmod(leaves).failed == 0


@pytest.mark.torch
def test_gradients_pass_through_in_torch() -> None:
    import torch

    B = torch.randn(3, 2, dtype=torch.complex64, requires_grad=True)
    stored = MAP.there({"B": B})["B"]
    stored[..., 0].sum().backward()
    assert torch.equal(B.grad, torch.ones(3, 2, dtype=torch.complex64))
