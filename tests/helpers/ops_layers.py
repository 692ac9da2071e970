"""Makers of the operations that are composed of others: mix, SSM, block, heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from op import Args, H, L, N, Op, P, complex_normal, normal
from ops_basic import lengths_mask

from s5ref import Call, Engine
from s5ref.engine import Pair
from s5ref.model import heads
from s5ref.model import mix as mixes
from s5ref.model.block import BlockOptions
from s5ref.model.config import GELUS, ModelConfig
from s5ref.model.encoders import encoder_of
from s5ref.model.leaves import image_shapes
from s5ref.nn import dropout, pool
from s5ref.ssm.ssm import SSMOptions, ssm_vjp
from s5ref.ssm.ssm import ssm as ssm_value

HALF_GLU1 = Pair(mixes.half_glu1, mixes.half_glu1_vjp)
HALF_GLU2 = Pair(mixes.half_glu2, mixes.half_glu2_vjp)


def mix(name: str, pair: Pair, gates: tuple[str, ...]) -> Op:
    def make(rng: np.random.Generator) -> Args:
        leaves = {f"{g}.kernel": normal(rng, H, H) for g in gates} | {
            f"{g}.bias": normal(rng, H) for g in gates
        }
        return {"y": normal(rng, N, L, H), "params": leaves}

    def value(k: Engine, a: Args) -> Any:
        masks = tuple(dropout.dropout_mask((i,), N, H, 0.3, a["y"]) for i in range(2))
        return pair.value(a["params"], a["y"], masks, k.gelu_tanh, Call(k))

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        dparams, d = pair.vjp(residuals, dy, k.gelu_tanh, Call(k))
        return {"params": dparams, "y": d}

    return Op(name, make, value, vjp)


def ssm_params(rng: np.random.Generator, bidirectional: bool) -> Args:
    names = ("C1", "C2") if bidirectional else ("C",)
    return {
        "Lambda_re": -rng.uniform(0.1, 1, P),
        "Lambda_im": normal(rng, P),
        "log_step": normal(rng, P) * 0.3 - 1,
        "B": normal(rng, P, H, 2),
        "D": normal(rng, H),
        **{name: normal(rng, H, P, 2) for name in names},
    }


def ssm(name: str, options: SSMOptions, irregular: bool = False, masked: bool = False) -> Op:
    start = not options.bidirectional

    def call(engine: Engine, like: Any) -> Call:
        intervals = 0.5 + (np.arange(N * L).reshape(N, L) % 4) / 4
        return Call(
            engine,
            intervals=np.asarray(intervals.astype(like.dtype), like=like) if irregular else None,
            valid=np.asarray(lengths_mask(), like=like) if masked else None,
        )

    def make(rng: np.random.Generator) -> Args:
        x0 = {"x0": complex_normal(rng, N, P)} if start else {}
        return {"params": ssm_params(rng, options.bidirectional), "u": normal(rng, N, L, H), **x0}

    def value(k: Engine, a: Args) -> Any:
        (y, x_last), residuals = ssm_value(a["params"], a["u"], options, call(k, a["u"]), a.get("x0"))
        return ((y, x_last) if start else y), residuals

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        d = ssm_vjp(residuals, dy if start else (dy, None), options, call(k, residuals.u))
        return {"params": d[0], "u": d[1], **({"x0": d[2]} if start else {})}

    return Op(f"ssm, {name}", make, value, vjp, ("u", "x0") if start else ("u",))


def block(
    prenorm: bool, batch: bool, form: Pair = HALF_GLU2, bidirectional: bool = False, masked: bool = False
) -> Op:
    """A layer through the engine's own block."""
    options = BlockOptions(
        SSMOptions(bidirectional=bidirectional),
        form,
        GELUS["tanh"],
        batch_norm=batch,
        prenorm=prenorm,
        bn_momentum=0.9,
    )

    def make(rng: np.random.Generator) -> Args:
        params = {f"seq.{name}": leaf for name, leaf in ssm_params(rng, bidirectional).items()}
        params |= {"norm.scale": normal(rng, H), "norm.bias": normal(rng, H)}
        params |= {"out2.kernel": normal(rng, H, H), "out2.bias": normal(rng, H)}
        x0 = {} if bidirectional else {"x0": complex_normal(rng, N, P)}
        return {"params": params, "x": normal(rng, N, L, H), **x0}

    def value(k: Engine, a: Args) -> Any:
        one = np.ones_like(a["params"]["norm.scale"])
        statistics = {"norm.mean": one, "norm.var": one}
        masks = tuple(
            dropout.dropout_mask((i,), N, H, 0.3, a["params"]["norm.scale"]) if masked else None
            for i in range(2)
        )
        call = Call(k, training=True)
        out, residuals = k.layer(options, call.conditions(a["x"].dtype)).value(
            a["params"], a["x"], options, call, statistics, masks, a.get("x0")
        )
        return (out.y if bidirectional else (out.y, out.state)), residuals

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        dy, call = (dy, None) if bidirectional else dy, Call(k, training=True)
        d = k.layer(options, call.conditions(dy[0].dtype)).vjp(residuals, dy, options, call)
        return dict(zip(("params", "x") if bidirectional else ("params", "x", "x0"), d, strict=False))

    words = [
        "pre" if prenorm else "post", "batch" if batch else "layer", form.value.__name__,
        *["bidirectional"] * bidirectional, *["dropout"] * masked,
    ]  # fmt: skip
    return Op(f"block, {', '.join(words)}", make, value, vjp)


def head(name: str, batch: int, shapes: dict[str, tuple[int, ...]]) -> Op:
    pair = heads.HEADS[name].apply

    def make(rng: np.random.Generator) -> Args:
        return {
            "params": {leaf: normal(rng, *shape) for leaf, shape in shapes.items()},
            "x": normal(rng, batch, L, H),
        }

    def value(k: Engine, a: Args) -> Any:
        return pair.value(a["params"], a["x"], None, pool.pool_mean, Call(k))

    return Op(
        f"head, {name}",
        make,
        value,
        lambda k, s, dy: dict(zip(("params", "x"), pair.vjp(s, dy, Call(k)), strict=True)),
    )


def image_encoder(appends: bool) -> Op:
    """Of two sequences of two images of 8 × 8 pixels."""
    config = ModelConfig(
        d_model=H, in_dim=64, encoder="image", intervals="appended" if appends else "used", norm="layer"
    )
    pair, shapes = encoder_of(config).apply, image_shapes(config)

    def make(rng: np.random.Generator) -> Args:
        params = {leaf: 0.5 * normal(rng, *shape) for leaf, shape in shapes.items()}
        return {"params": params, "inputs": normal(rng, 2, 2, 64)}

    def call(engine: Engine, like: Any) -> Call:
        intervals = np.array([[1.0, 0.5], [1.0, 3.0]]).astype(like.dtype)
        return Call(engine, intervals=np.asarray(intervals, like=like))

    def vjp(k: Engine, residuals: Any, dy: Any) -> Args:
        return dict(zip(("params", "inputs"), pair.vjp(residuals, dy, Call(k)), strict=True))

    return Op(
        f"image encoder{', intervals appended' if appends else ''}",
        make,
        lambda k, a: pair.value(a["params"], a["inputs"], call(k, a["inputs"])),
        vjp,
    )
