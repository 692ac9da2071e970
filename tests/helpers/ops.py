"""One table of every differentiable operation; tests/test_ops.py and tests/test_fake_device.py run their
properties over it."""

from __future__ import annotations

import numpy as np
import ops_basic
import ops_layers
from op import Args, H, K, L, N, Op, P, called, complex_normal, normal, op

from s5ref import Call
from s5ref.engine import Pair
from s5ref.model import mix
from s5ref.nn import activation, loss, pool
from s5ref.nn.windows import MODES
from s5ref.ssm import discretize, project
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions


def _features(rng: np.random.Generator) -> Args:
    return {"x": 2 * normal(rng, N, L, H)}


_dense = {"kernel": (H, K), "bias": (K,)}
_two = {"layer1.kernel": (4 * H, H), "layer1.bias": (H,), "layer2.kernel": (H, 2), "layer2.bias": (2,)}
_gaussian: dict[str, tuple[int, ...]] = {
    f"{part}.{leaf}": shape
    for part in ("mean", "variance")
    for leaf, shape in (
        ("layer1.kernel", (H, H)), ("layer1.bias", (H,)), ("layer2.kernel", (H, K)), ("layer2.bias", (K,)),
    )
}  # fmt: skip

OPS: list[Op] = [
    *(
        ops_basic.discretization(name, rule.pair, shape)
        for name, rule in DISCRETIZATIONS.items()
        for shape in ((P,), (), (N, L, P))
    ),
    op(
        "asynchronous, events",
        lambda k: DISCRETIZATIONS["async"].pair,
        lambda rng: {
            "Lambda": -rng.uniform(0.1, 1, P) + 3j * normal(rng, P),
            "Delta": rng.uniform(0.05, 0.8, P),
            "interval": rng.uniform(0.0, 2, (N, L, 1)),
        },
        "Lambda Delta",
    ),
    op(
        "timescale",
        lambda k: Pair(discretize.timescale, discretize.timescale_vjp),
        lambda rng: {"log_step": normal(rng, P), "rescale": 2.0, "states": P},
        "log_step",
    ),
    Op(
        "clip_eigs",
        lambda rng: {"Lambda_re": normal(rng, 20)},
        lambda k, a: (discretize.clip_eigs(a["Lambda_re"]), a["Lambda_re"]),
        lambda k, residuals, dy: {"Lambda_re": discretize.clip_eigs_vjp(residuals, dy)},
    ),
    called(
        "project",
        Pair(project.project, project.project_vjp),
        lambda rng: {
            "u": normal(rng, N, L, H),
            "B": complex_normal(rng, P, H),
            "gain": complex_normal(rng, P),
        },
        "u B gain",
        "u",
    ),
    called(
        "project, varying gain",
        Pair(project.project, project.project_vjp),
        lambda rng: {
            "u": normal(rng, N, L, H),
            "B": complex_normal(rng, P, H),
            "gain": complex_normal(rng, N, L, P),
        },
        "u B gain",
        "gain",
    ),
    Op(
        "readout",
        lambda rng: {"x": complex_normal(rng, N, L, P), "C": complex_normal(rng, H, P)},
        lambda k, a: project.readout(a["x"], a["C"], 2, Call(k)),
        lambda k, s, dy: dict(zip(("x", "C"), project.readout_vjp(s, dy, Call(k)), strict=True)),
        ("x",),
    ),
    *(
        ops_basic.scan(varying, start, back)
        for varying in (False, True)
        for start in (False, True)
        for back in (False, True)
    ),
    op(
        "linear",
        lambda k: k.linear,
        lambda rng: {"x": normal(rng, N, L, H), "W": normal(rng, H, K), "bias": normal(rng, K)},
        "x W bias",
        "x bias",
    ),
    ops_basic.conv_pool((5, 8, 8, 1), (5, 5), 3, 1, 2),
    ops_basic.conv_pool((2, 8, 4, 2), (3, 3), 4, 2, 1),
    op("gelu_tanh", lambda k: k.gelu_tanh, _features, "x"),
    op("relu", lambda k: Pair(activation.relu, activation.relu_vjp), _features, "x"),
    op("tanh", lambda k: Pair(activation.tanh, activation.tanh_vjp), _features, "x"),
    op("exp_linear", lambda k: Pair(activation.exp_linear, activation.exp_linear_vjp), _features, "x"),
    op("gelu_erf", lambda k: k.gelu_erf, _features, "x", wide=False),
    op(
        "glu",
        lambda k: k.glu,
        lambda rng: {"h": normal(rng, N, L, H), "z": 3 * normal(rng, N, L, H)},
        "h z",
        "h",
    ),
    op(
        "layer_norm",
        lambda k: k.layer_norm,
        lambda rng: {"x": normal(rng, N, L, H) + 1, "scale": normal(rng, H), "bias": normal(rng, H)},
        "x scale bias",
        "scale bias",
    ),
    ops_basic.batch_norm(True, False),
    ops_basic.batch_norm(True, True),
    ops_basic.batch_norm(False, False),
    ops_basic.embed(),
    ops_basic.dropout(),
    op(
        "log_softmax",
        lambda k: Pair(loss.log_softmax, loss.log_softmax_vjp),
        lambda rng: {"z": 3 * normal(rng, N, K)},
        "z",
    ),
    ops_basic.cross_entropy(),
    ops_basic.mse(False),
    ops_basic.mse(True),
    op(
        "gaussian_nll",
        lambda k: Pair(loss.gaussian_nll, loss.gaussian_nll_vjp),
        lambda rng: {
            "mean": normal(rng, N, K),
            "var": rng.uniform(0.5, 2, (N, K)),
            "target": normal(rng, N, K),
        },
        "mean var",
    ),
    ops_basic.padded_gaussian_nll(),
    *(ops_basic.pool(name, fn, ragged) for name, fn in pool.POOLS.items() for ragged in (False, True)),
    *(ops_basic.windows(mode, masked) for mode in MODES for masked in (False, True)),
    ops_layers.mix("gelu only", Pair(mix.gelu_only, mix.gelu_only_vjp), ()),
    ops_layers.mix("half_glu1", Pair(mix.half_glu1, mix.half_glu1_vjp), ("out2",)),
    ops_layers.mix("half_glu2", Pair(mix.half_glu2, mix.half_glu2_vjp), ("out2",)),
    ops_layers.mix("full_glu", Pair(mix.full_glu, mix.full_glu_vjp), ("out1", "out2")),
    ops_layers.ssm("conj_sym", SSMOptions()),
    ops_layers.ssm("full spectrum, bilinear", SSMOptions(False, False, False, DISCRETIZATIONS["bilinear"])),
    ops_layers.ssm("bidirectional", SSMOptions(bidirectional=True)),
    ops_layers.ssm("irregular", SSMOptions(), irregular=True),
    ops_layers.ssm(
        "bidirectional, irregular, masked", SSMOptions(bidirectional=True), irregular=True, masked=True
    ),
    ops_layers.block(True, True),
    ops_layers.block(True, True, ops_layers.HALF_GLU1, masked=True),
    ops_layers.block(True, True, ops_layers.HALF_GLU1, bidirectional=True),
    ops_layers.block(True, True, bidirectional=True, masked=True),
    ops_layers.block(False, False),
    ops_layers.head("classifier", N, _dense),
    ops_layers.head("regression", N, _dense),
    ops_layers.head("pooled_regression", N, _dense),
    ops_layers.head("retrieval", 4, _two),
    ops_layers.head("gaussian_regression", N, _gaussian),
    ops_layers.image_encoder(False),
    ops_layers.image_encoder(True),
]
