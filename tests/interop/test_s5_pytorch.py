"""s5-pytorch: names, the two forms of a conjugate-symmetric SSM, and the real package on our weights."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY, Batch, Call, Engine, Model, ModelConfig, S5Error
from s5ref.interop import s5_pytorch, weights
from s5ref.ssm.ssm import SSMOptions, ssm
from s5ref.tree import subtree
from s5ref.verification.rounding.budget import THRESHOLD, composite_budget, ratio
from s5ref.verification.selfcheck.problems import problems

EPS = float(np.finfo(np.float64).eps)


def config(**change: Any) -> ModelConfig:
    return ModelConfig(**({"n_layers": 2, "d_model": 6, "ssm_size": 8, "in_dim": 3, "n_classes": 4} | change))


@pytest.mark.parametrize("at", list(problems()), ids=lambda at: f"{at.group}: {at.name}")
def test_there_and_back_is_exact(at: Any) -> None:
    """A joined C comes back as C1 and C2, its halves, and a Δ of all states as one for each."""
    conj = at.model.config.conj_sym
    params, statistics = at.model.init(seed=1, dtype="float64")
    given = weights.Weights(params, statistics, "run", conj)
    if at.model.config.encoder == "image" or at.model.head.numbers == 2:
        with pytest.raises(S5Error, match=r"unknown: (encoder\.conv1|decoder\.mean)"):
            weights.to_flat(given, "s5-pytorch")
        return
    if at.model.config.learn_initial_state:
        with pytest.raises(S5Error, match="starts from zero and has no leaf for a learned state; got x0"):
            weights.to_flat(given, "s5-pytorch")
        return
    back = weights.from_flat(weights.to_flat(given, "s5-pytorch")).in_form(conj)
    want = dict(params)
    for name in [name for name in params if name.endswith("seq.log_step")]:
        want[name] = np.repeat(params[name], at.model.config.kept // len(params[name]))
    for name in [name for name in params if name.endswith("seq.C") and name not in back.params]:
        want[f"{name}1"], want[f"{name}2"] = np.split(want.pop(name), 2, axis=1)
    for ours, got in ((want, back.params), (statistics, back.statistics)):
        assert ours.keys() == got.keys()
        for name, value in ours.items():
            np.testing.assert_array_equal(value, got[name], err_msg=name)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("c_init", ["lecun_normal", "complex_normal"])
def test_all_states_are_the_same_function_as_half_of_them(both: bool, c_init: str) -> None:
    half = subtree(Model(config(bidirectional=both, c_init=c_init)).init(0, "float64")[0], "layers_0.seq")
    full = s5_pytorch.unfolded(half)
    assert ("C" in full) == ("C" in half)
    u = np.random.default_rng(0).normal(size=(2, 9, 6))
    (want, _), _ = ssm(half, u, SSMOptions(bidirectional=both), Call(NUMPY))
    (got, _), _ = ssm(full, u, SSMOptions(conj_sym=False, bidirectional=both), Call(NUMPY))
    scale = (
        np.max(np.abs(u))
        * np.sum(np.abs(half["B"]))
        * max(np.sum(np.abs(x)) for n, x in half.items() if n[0] == "C")
    )
    assert np.max(np.abs(got - want)) <= 9 * 16 * EPS * scale
    assert s5_pytorch.folded(full) is not None
    assert s5_pytorch.folded(half) is None


def test_what_is_refused() -> None:
    params, statistics = Model(config()).init()
    given = weights.Weights(params, statistics, "run", True)
    state = weights.to_flat(given, "s5-pytorch")
    ssm_state = subtree(state, "layers.0.seq.seq")
    with pytest.raises(S5Error, match=r"missing \['D'\]"):
        s5_pytorch.ssm_from_state({name: x for name, x in ssm_state.items() if name != "D"})
    with pytest.raises(S5Error, match="factorized"):
        s5_pytorch.ssm_from_state(ssm_state | {"BH": np.ones(2)})
    with pytest.raises(S5Error, match="C must be"):
        s5_pytorch.ssm_from_state(ssm_state | {"C": ssm_state["C"][:, :3]})
    with pytest.raises(S5Error, match="Lambda must be complex"):
        s5_pytorch.ssm_from_state(ssm_state | {"Lambda": ssm_state["Lambda"].real})
    block = {"s5.seq." + name: x for name, x in ssm_state.items()} | {"attn_norm.weight": np.ones(6)}
    with pytest.raises(S5Error, match=r"1 S5SSM \(s5\.seq\)"):
        weights.from_flat(block)
    moved = dict(state)
    moved["layers.1.seq.seq.Lambda"] = state["layers.1.seq.seq.Lambda"] * np.float32(1.5)
    moved["layers.1.seq.seq.Lambda"][0] += 1
    with pytest.raises(S5Error, match="layers_1: conj_sym needs conjugate pairs"):
        weights.from_flat(moved).in_form(True)
    assert not weights.from_flat(moved).foldable()


def test_the_ssm_may_stand_in_a_module_of_its_own_or_not() -> None:
    params, statistics = Model(config()).init()
    state = weights.to_flat(weights.Weights(params, statistics, "run", True), "s5-pytorch")
    plain = {name.replace("seq.seq", "seq").replace("layers.", "layers_"): x for name, x in state.items()}
    a, b = weights.from_flat(state), weights.from_flat(plain)
    assert a.params.keys() == b.params.keys()
    assert a.aside == tuple(name for name in state if name.endswith("num_batches_tracked"))


@pytest.mark.torch
@pytest.mark.parametrize("both", [False, True])
def test_the_real_package_computes_what_we_do(both: bool) -> None:
    """It computes in complex64: a float32 budget of n + 1 roundings per sum, and (e^z − 1)/Λ cancels."""
    import torch

    S5 = importlib.import_module("s5").S5

    at = config(bidirectional=both, dt_min=0.05, dt_max=0.2)
    half = subtree(Model(at).init(0, "float32")[0], "layers_0.seq")
    theirs = S5(6, 8, bidir=both)
    state = s5_pytorch.ssm_to_state(half, conj_sym=True)
    theirs.seq.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()})
    u = np.random.default_rng(1).normal(size=(2, 12, 6)).astype("f4")
    wide = {name: x.astype("f8") for name, x in half.items()}
    (want, _), _ = ssm(wide, u.astype("f8"), SSMOptions(bidirectional=both), Call(NUMPY))
    got = theirs(torch.from_numpy(u)).detach().numpy()
    Delta, Lambda = np.exp(wide["log_step"]), np.hypot(wide["Lambda_re"], wide["Lambda_im"])
    gain = np.maximum(np.hypot(*np.moveaxis(wide["B"], -1, 0)).T @ np.diag(Delta), 0)  # |B̄| ≤ Δ |B|
    cancels = 1 + 2 / np.min(Delta * Lambda)
    reach = np.sum(np.abs(u).astype("f8") @ gain, axis=1)[:, None, :]  # Σ_t |B̄||u_t|, |Λ̄| ≤ 1
    C = sum(np.hypot(*np.moveaxis(x, -1, 0)) for name, x in wide.items() if name[0] == "C")
    bound = (12 + 6 + 8 + cancels) * (2 * reach @ np.asarray(C).T + np.abs(wide["D"] * u))
    assert np.max(np.abs(got - want) / bound) <= np.finfo(np.float32).eps
    back = s5_pytorch.folded(
        s5_pytorch.ssm_from_state({name: x.detach().numpy() for name, x in theirs.seq.state_dict().items()})
    )
    assert back is not None
    assert all(np.array_equal(back[name], half[name]) for name in half)


@pytest.mark.torch
def test_a_torch_model_around_the_real_package_runs_here() -> None:
    """The names that docs/conversion.md promises, loaded strictly by a model that has them."""
    import torch

    S5 = importlib.import_module("s5").S5

    class Layer(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self, H: int, P: int) -> None:
            super().__init__()
            self.seq, self.norm, self.out2 = S5(H, P), torch.nn.BatchNorm1d(H), torch.nn.Linear(H, H)

        def forward(self, x: Any) -> Any:
            y = self.norm(x.transpose(1, 2)).transpose(1, 2)
            y = torch.nn.functional.gelu(self.seq(y), approximate="tanh")
            return x + y * torch.sigmoid(self.out2(y))

    class Classifier(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = torch.nn.Linear(3, 6), torch.nn.Linear(6, 4)
            self.layers = torch.nn.ModuleList([Layer(6, 8) for _ in range(2)])

        def forward(self, x: Any) -> Any:
            x = self.encoder(x)
            for layer in self.layers:
                x = layer(x)
            return torch.log_softmax(self.decoder(x.mean(1)), -1)

    params, statistics = Model(config(dt_min=0.05)).init(5)
    rng = np.random.default_rng(0)
    statistics = {n: np.abs(rng.normal(size=x.shape)).astype("f4") for n, x in statistics.items()}
    state = weights.to_flat(weights.Weights(params, statistics, "run", True), "s5-pytorch")
    theirs = Classifier().eval()
    theirs.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()})
    x = rng.normal(size=(2, 10, 3)).astype("f4")
    got = theirs(torch.from_numpy(x)).detach().numpy()
    given = weights.from_flat({n: v.numpy() for n, v in theirs.state_dict().items()})
    full = Model(config(conj_sym=False))

    def ours(engine: Engine) -> Any:
        return {"output": full.forward(given.params, given.statistics, Batch(x), engine=engine).output}

    want, budget = composite_budget(ours, NUMPY, range(4), terms=2 * 10)
    Delta, Lambda = (np.exp(given.params["layers_0.seq.log_step"]), given.params["layers_0.seq.Lambda_im"])
    cancels = 1 + 2 / np.min(Delta * np.hypot(0.5, Lambda))  # their (e^z − 1)/Λ in complex64
    assert ratio(got, want["output"], budget["output"], cancels) <= THRESHOLD
