"""Leaf names: ours and upstream's, there and back, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import Model, ModelConfig, S5Error
from s5ref.interop import facts, names
from s5ref.verification.selfcheck.problems import problems

SMALL = ModelConfig(n_layers=1, d_model=6, ssm_size=8, in_dim=3, n_classes=5, bidirectional=True)
# Read from lindermanlab/S5 at d133f4d: BatchClassificationModel with half_glu1 and batchnorm.
UPSTREAM = {
    "params/encoder/encoder/kernel": (3, 6), "params/encoder/encoder/bias": (6,),
    "params/encoder/layers_0/seq/Lambda_re": (4,), "params/encoder/layers_0/seq/Lambda_im": (4,),
    "params/encoder/layers_0/seq/B": (4, 6, 2), "params/encoder/layers_0/seq/C1": (6, 4, 2),
    "params/encoder/layers_0/seq/C2": (6, 4, 2), "params/encoder/layers_0/seq/D": (6,),
    "params/encoder/layers_0/seq/log_step": (4, 1), "params/encoder/layers_0/norm/scale": (6,),
    "params/encoder/layers_0/norm/bias": (6,), "params/encoder/layers_0/out2/kernel": (6, 6),
    "params/encoder/layers_0/out2/bias": (6,), "params/decoder/kernel": (6, 5), "params/decoder/bias": (5,),
    "batch_stats/encoder/layers_0/norm/mean": (6,), "batch_stats/encoder/layers_0/norm/var": (6,),
}  # fmt: skip


def variables(config: ModelConfig = SMALL) -> dict[str, Any]:
    return names.to_flax(*Model(config).init(3))


def test_names_and_shapes_are_upstreams() -> None:
    assert {name: value.shape for name, value in variables().items()} == UPSTREAM


def test_retrieval_and_both_gates() -> None:
    config = ModelConfig(
        n_layers=11, d_model=2, ssm_size=4, activation="full_glu", head="retrieval", n_classes=2
    )
    found = {name: value.shape for name, value in variables(config).items()}
    assert found["params/decoder/layer1/kernel"] == (8, 2)
    assert found["params/decoder/layer2/bias"] == (2,)
    assert found["params/encoder/layers_10/out1/kernel"] == (2, 2)


@pytest.mark.parametrize("at", list(problems()), ids=lambda at: f"{at.group}: {at.name}")
def test_there_and_back_is_exact(at: Any) -> None:
    """Under upstream's names, or under our own with a leaf that upstream has not."""
    params, statistics = at.model.init(seed=1, dtype="float64")
    if at.model.config.encoder == "image" or at.model.head.numbers == 2:
        with pytest.raises(S5Error, match=r"unknown: (encoder\.conv1|decoder\.mean)"):
            names.to_flax(params, statistics)
        return
    if at.model.config.learn_initial_state:
        with pytest.raises(S5Error, match=r"unknown: layers_0\.seq\.x0"):
            names.to_flax(params, statistics)
        flat = names.renamed(params | statistics, names.S5REF, "ours")
        back_params, back_statistics = names.parted(names.renamed(flat, names.FROM_S5REF, "ours"))
        aside: list[str] = []
    else:
        back_params, back_statistics, aside = names.from_flax(names.to_flax(params, statistics))
    assert aside == []
    for ours, back in ((params, back_params), (statistics, back_statistics)):
        assert list(ours) == list(back)
        for name, value in ours.items():
            np.testing.assert_array_equal(value, back[name])
    found = facts.facts(params, statistics)
    config = at.model.config
    assert found.expected(config.conj_sym).items() <= vars(config).items()
    assert all(getattr(config, key) in values for key, values in found.choices.items())


def test_a_train_state_and_bare_parameters() -> None:
    flat = variables()
    state = {
        "step": np.asarray(7),
        "opt_state/inner/0/mu/encoder/layers_0/seq/B": flat["params/decoder/bias"],
    }
    assert names.from_flax(flat | state)[2] == list(state)
    bare = {n.removeprefix("params/"): x for n, x in flat.items() if n.startswith("params/")}
    assert names.from_flax(bare)[0].keys() == names.from_flax(flat)[0].keys()


def test_unknown_leaves_are_named_with_the_nearest() -> None:
    flat = variables()
    flat["params/encoder/layers_0/seq/Lambda_img"] = flat.pop("params/encoder/layers_0/seq/Lambda_im")
    with pytest.raises(S5Error, match=r"Lambda_img\. Did you mean params/encoder/layers_0/seq/Lambda_im\?"):
        names.from_flax(flat)
    with pytest.raises(S5Error, match=r"layers_0\.seq\.E"):
        names.to_flax({"layers_0.seq.E": np.ones(1)}, {})
    with pytest.raises(S5Error, match="layers_01"):
        names.to_flax({"layers_01.seq.B": np.ones(1)}, {})


@pytest.mark.parametrize("name", list(UPSTREAM))
def test_every_missing_leaf_is_named(name: str) -> None:
    flat = variables()
    del flat[name]
    leaf = name.rpartition("/")[2]
    with pytest.raises(S5Error, match=rf"missing.*\b{leaf}"):
        facts.facts(*names.from_flax(flat)[:2])


def test_shapes_that_do_not_fit() -> None:
    flat = variables()
    with pytest.raises(S5Error, match=r"log_step must be \(P', 1\)"):
        names.from_flax(flat | {"params/encoder/layers_0/seq/log_step": np.ones(4)})
    with pytest.raises(S5Error, match=r"layers_0.seq.B must be \(4, 6, 2\)"):
        facts.facts(*names.from_flax(flat | {"params/encoder/layers_0/seq/B": np.ones((4, 6), "f4")})[:2])
    with pytest.raises(S5Error, match="one real dtype"):
        facts.facts(*names.from_flax(flat | {"params/decoder/bias": np.ones(5)})[:2])
