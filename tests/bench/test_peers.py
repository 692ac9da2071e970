"""The real peers: they compute what we compute, and move parameters as we do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s5ref.bench.agree import compare
from s5ref.bench.case import Case, layer_case, recipe_case
from s5ref.bench.measure import OURS, QUICK, measured
from s5ref.bench.peers import PEERS, on_gpu
from s5ref.errors import S5Error
from s5ref.optim.adamw import adamw, group_table, init_moments


def tiny(name: str) -> Case:
    case = recipe_case(name)
    model = replace(case.model, n_layers=1, d_model=6, ssm_size=4 * case.model.blocks, dropout=0.3)
    return replace(case, config=replace(case.config, model=model), batch=2, length=9)


def test_looking_for_a_gpu_runs_no_module_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jax.py").write_text("open('executed', 'w')")
    monkeypatch.chdir(tmp_path)
    with suppress(S5Error):  # there may be a GPU
        on_gpu(PEERS["jax"], False)
    assert not (tmp_path / "executed").exists()


@pytest.mark.jax
@pytest.mark.parametrize(
    ("name", "what", "peer"),
    [
        ("smnist", "forward", "jax"),
        *((name, "train_step", "jax") for name in ("smnist", "listops", "retrieval", "image")),
        *((name, "train_step", "jax-scan") for name in ("smnist", "image")),
    ],
)
def test_jax_computes_what_we_compute(name: str, what: str, peer: str) -> None:
    assert compare(tiny(name), what, OURS, PEERS[peer]) == ""


@pytest.mark.jax
def test_jax_is_timed_with_its_compilation_apart() -> None:
    row = measured(tiny("smnist"), "train_step", PEERS["jax"], QUICK)
    assert row.error is None
    assert row.repeats >= QUICK.least
    assert row.peer_s is not None
    assert row.peer_compile_s is not None
    assert row.peer_compile_s > row.peer_s


@pytest.mark.jax
def test_jax_moves_parameters_as_we_do() -> None:
    from s5ref.bench import jax_peer

    case = recipe_case("smnist")
    rng = np.random.default_rng(0)
    names = ["encoder.kernel", "layers_0.norm.scale", *(f"layers_0.seq.{leaf}" for leaf in (
        "B", "Lambda_re", "Lambda_im", "log_step", "C"))]  # fmt: skip
    params = {name: rng.normal(size=5).astype("f4") for name in names}
    groups = group_table(params, case.config.optim)
    rates = {"ssm_lr": 0.1, "lr": 0.3}
    ours, moments = params, init_moments(params)
    theirs, first, second = params, moments.first, moments.second
    for count in range(1, 4):
        grads = {name: rng.normal(size=5).astype("f4") for name in names}
        ours, moments = adamw(ours, grads, moments, count, groups, rates)
        theirs, first, second = jax_peer.adamw(theirs, grads, first, second, float(count), groups, rates)
    for name in names:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["s5-pytorch", pytest.param("s5-pytorch-compiled", marks=pytest.mark.slow)])
def test_s5_pytorch_computes_what_we_compute(name: str) -> None:
    case = replace(layer_case(), batch=2, length=9)
    for what in ("train_step", "forward"):
        assert compare(case, what, OURS, PEERS[name]) == ""


@pytest.mark.torch
def test_recurrent_networks_are_timed_though_they_compute_something_else() -> None:
    for name, of in (("lstm", "smnist"), ("gru", "listops")):
        row = measured(tiny(of), "train_step", PEERS[name], QUICK)
        assert row.error is None
        assert row.ratio is not None
    assert not PEERS["gru"].takes(recipe_case("retrieval"), "forward")
