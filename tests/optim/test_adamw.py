"""Groups and AdamW."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s5ref import Model, ModelConfig, S5Error
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import B1, B2, EPS, Group, adamw, first_nonfinite, group_table, init_moments

SMALL = ModelConfig(n_layers=1, d_model=4, ssm_size=4, bidirectional=True)
NAMES = list(Model(SMALL).init(0)[0])
SEQ = {"Lambda_re", "Lambda_im", "B", "C1", "C2", "D", "log_step"}

GOLDEN = {  # opt_config: (at ssm_lr without decay, at ssm_lr with decay); the rest at lr with decay
    "standard": ({"Lambda_re", "Lambda_im", "B", "log_step"}, set()),
    "BandCdecay": ({"Lambda_re", "Lambda_im", "log_step"}, {"B"}),
    "BfastandCdecay": ({"Lambda_re", "Lambda_im", "log_step"}, set()),
    "noBCdecay": ({"Lambda_re", "Lambda_im", "B", "C1", "C2", "D", "log_step"}, set()),
}


@pytest.mark.parametrize("dt_global", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_group_table(name: str, dt_global: bool) -> None:
    table = group_table(NAMES, OptimConfig(opt_config=name, dt_global=dt_global, weight_decay=0.07))
    plain, decayed = GOLDEN[name]
    plain = plain - {"log_step"} if dt_global else plain
    assert list(table) == NAMES
    for leaf, group in table.items():
        last = leaf.rpartition(".")[2]
        if ".seq." in leaf and last in plain:
            assert group == Group("ssm", "ssm_lr", 0.0)
        elif ".seq." in leaf and last in decayed:
            assert group == Group("ssm decayed", "ssm_lr", 0.07)
        else:  # norm scales and biases too
            assert group == Group("regular", "lr", 0.07)
    assert {leaf.rpartition(".")[2] for leaf in table if ".seq." in leaf} == SEQ


def test_c_is_one_leaf_or_two() -> None:
    names = list(Model(replace(SMALL, bidirectional=False)).init(0)[0])
    assert group_table(names, OptimConfig(opt_config="noBCdecay"))["layers_0.seq.C"].name == "ssm"


def test_a_pattern_without_a_leaf_is_refused() -> None:
    with pytest.raises(S5Error, match="Lambda_re"):
        group_table(["encoder.kernel", "layers_0.seq.B"], OptimConfig())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adamw_follows_its_formula_and_keeps_the_dtype(dtype: str) -> None:
    rng = np.random.default_rng(0)
    p = {"a": rng.standard_normal((3, 2)).astype(dtype), "b": rng.standard_normal(5).astype(dtype)}
    groups = {"a": Group("regular", "lr", 0.1), "b": Group("ssm", "ssm_lr", 0.0)}
    rates = {"lr": 0.01, "ssm_lr": 0.002}
    moments, x = init_moments(p), {name: value.astype(np.float64) for name, value in p.items()}
    m = {name: np.zeros_like(value) for name, value in x.items()}
    v = {name: np.zeros_like(value) for name, value in x.items()}
    for count in range(1, 6):
        g = {name: rng.standard_normal(value.shape).astype(dtype) for name, value in p.items()}
        before = {name: value.copy() for name, value in p.items()}
        new, moments = adamw(p, g, moments, count, groups, rates)
        for name in p:
            np.testing.assert_array_equal(p[name], before[name])  # pure
            m[name] = B1 * m[name] + (1 - B1) * g[name]
            v[name] = B2 * v[name] + (1 - B2) * g[name].astype(np.float64) ** 2
            direction = (m[name] / (1 - B1**count)) / (np.sqrt(v[name] / (1 - B2**count)) + EPS)
            x[name] = x[name] - rates[groups[name].rate] * (direction + groups[name].weight_decay * x[name])
            for array in (new[name], moments.first[name], moments.second[name]):
                assert array.dtype == dtype
            eps = float(np.finfo(dtype).eps)
            np.testing.assert_allclose(new[name], x[name], rtol=32 * eps, atol=eps)
        p = new


def test_decay_is_decoupled_from_the_gradient() -> None:
    """With g = 0 a decayed leaf shrinks by 1 − rate·λ and its moments stay 0: no L2 term in the gradient."""
    p = {"a": np.array([2.0, -3.0]), "b": np.array([2.0])}
    g = {name: np.zeros_like(value) for name, value in p.items()}
    groups = {"a": Group("regular", "lr", 0.5), "b": Group("ssm", "ssm_lr", 0.0)}
    new, moments = adamw(p, g, init_moments(p), 1, groups, {"lr": 0.1, "ssm_lr": 0.1})
    np.testing.assert_allclose(new["a"], p["a"] * 0.95, rtol=1e-15)
    np.testing.assert_array_equal(new["b"], p["b"])
    assert not moments.first["a"].any()
    assert not moments.second["a"].any()


def test_the_layout_of_a_gradient_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    p, g = {"a": rng.standard_normal((4, 3, 2))}, rng.standard_normal((4, 3, 2))
    odd = np.asfortranarray(g).transpose(0, 1, 2)
    groups, rates = {"a": Group("regular", "lr", 0.1)}, {"lr": 0.1}
    one, moments = adamw(p, {"a": g}, init_moments(p), 1, groups, rates)
    two, others = adamw(p, {"a": odd}, init_moments(p), 1, groups, rates)
    assert one["a"].tobytes() == two["a"].tobytes()
    assert others.first["a"].flags.c_contiguous
    assert moments.first["a"].tobytes() == others.first["a"].tobytes()


def test_a_gradient_of_another_dtype_is_refused() -> None:
    p = {"a": np.ones(2, np.float32)}
    with pytest.raises(S5Error, match="float64"):
        adamw(p, {"a": np.ones(2)}, init_moments(p), 1, {"a": Group("regular", "lr", 0.0)}, {"lr": 0.1})


def test_first_nonfinite() -> None:
    arrays = {"a": np.full(4, 3e38, np.float32), "b": np.array([1.0, np.inf]), "c": np.array([np.nan])}
    assert first_nonfinite(arrays) == "b"
    del arrays["b"], arrays["c"]
    assert first_nonfinite(arrays) is None  # its sum overflows, itself does not
