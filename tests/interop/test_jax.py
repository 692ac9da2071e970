"""Our layer inside a jax model: the same step as a layer in jax operations, and jax's conventions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_layers import CONFIG, RATE, agree, data, leaves

from s5ref import NUMPY, Batch, Call, Engine, Model, ModelConfig, S5Error
from s5ref.ssm.config import SSMConfig
from s5ref.ssm.ssm import SSMOptions, ssm, ssm_vjp
from s5ref.tree import prefixed, subtree

pytestmark = pytest.mark.jax
SMALL = SSMConfig(d_model=3, ssm_size=4)


@pytest.fixture(autouse=True)
def _x64() -> Iterator[None]:
    import jax

    config: Any = jax.config
    before = config.jax_enable_x64
    config.update("jax_enable_x64", True)
    yield
    config.update("jax_enable_x64", before)


def native_layer(p: Any, statistics: Any, x: Any) -> Any:
    """S5 written plainly in jax: BatchNorm, ZOH, two associative scans, GELU, gate, skip."""
    import jax
    import jax.numpy as jnp

    mean, var = x.mean((0, 1)), x.var((0, 1))
    after = {"norm.mean": mean, "norm.var": var}
    after = {name: 0.95 * statistics[name] + 0.05 * value for name, value in after.items()}
    u = p["norm.scale"] * (x - mean) / jnp.sqrt(var + 1e-5) + p["norm.bias"]
    Lambda = p["seq.Lambda_re"] + 1j * p["seq.Lambda_im"]
    B, C1, C2 = (p[f"seq.{n}"][..., 0] + 1j * p[f"seq.{n}"][..., 1] for n in ("B", "C1", "C2"))
    Lambda_bar = jnp.exp(Lambda * jnp.exp(p["seq.log_step"]))
    B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * B

    def combine(i: Any, j: Any) -> Any:
        return j[0] * i[0], j[0] * i[1] + j[1]

    def one(u: Any) -> Any:
        elements = (jnp.broadcast_to(Lambda_bar, (len(u), len(Lambda))), u @ B_bar.T)
        forward = jax.lax.associative_scan(combine, elements)[1]
        backward = jax.lax.associative_scan(combine, elements, reverse=True)[1]
        return 2 * (forward @ C1.T + backward @ C2.T).real

    y = jax.vmap(one)(u) + p["seq.D"] * u
    g = jax.nn.gelu(y, approximate=True)
    return x + g * jax.nn.sigmoid(g @ p["out2.kernel"] + p["out2.bias"]), after


def one_step(layer: Any) -> dict[str, Any]:
    """A jax model around ``layer``, one step of SGD under jit: what it computed and what it became."""
    import jax
    import jax.numpy as jnp

    params, statistics = leaves()
    inputs, targets = data()

    def loss(params: Any) -> Any:
        x = inputs @ params["encoder.kernel"] + params["encoder.bias"]
        x, after = layer(subtree(params, "layers_0"), subtree(statistics, "layers_0"), x)
        z = jax.nn.log_softmax(x.mean(1) @ params["decoder.kernel"] + params["decoder.bias"])
        return -jnp.mean(z[jnp.arange(len(targets)), targets]), after

    def step(params: Any) -> Any:
        (value, after), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return value, grads, {n: p - RATE * grads[n] for n, p in params.items()}, after

    value, grads, new, after = jax.jit(step)(params)
    found = (
        {"loss": value} | {f"grad.{n}": g for n, g in grads.items()} | {f"new.{n}": p for n, p in new.items()}
    )
    found |= prefixed("new.layers_0", after)
    return {name: np.asarray(x) for name, x in found.items()}


def test_a_jax_model_trains_one_step_through_our_layer() -> None:
    from s5ref.interop import jax as interop

    def through_ours(engine: Engine) -> dict[str, Any]:
        def layer(p: Any, statistics: Any, x: Any) -> Any:
            y, _, after = interop.layer(p, statistics, x, CONFIG, training=True, engine=engine)
            return y, after

        return one_step(layer)

    agree(one_step(native_layer), through_ours, leaves()[0])


def test_complex_cotangents_are_the_conjugates_of_ours() -> None:
    import jax
    import jax.numpy as jnp

    from s5ref.interop import jax as interop

    params = subtree(
        Model(ModelConfig(n_layers=1, d_model=3, ssm_size=4)).init(0, "float64")[0], "layers_0.seq"
    )
    rng = np.random.default_rng(0)
    u = rng.normal(size=(2, 5, 3))
    x0, w = (rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)) for _ in range(2))

    def loss(params: Any, u: Any, x0: Any) -> Any:
        y, state = interop.ssm(params, u, SMALL, engine=NUMPY, initial_state=x0)
        return jnp.sum(jnp.sin(y)) + jnp.real(jnp.sum(w * state))

    got = jax.jit(jax.grad(loss, (0, 1, 2)))(params, u, x0)
    (y, _), residuals = ssm(params, u, SSMOptions(), Call(NUMPY), x0)
    dparams, du, dx0 = ssm_vjp(residuals, (np.cos(y), np.conj(w)), SSMOptions(), Call(NUMPY))
    np.testing.assert_allclose(got[2], np.conj(dx0), rtol=1e-12)
    np.testing.assert_allclose(got[1], du, rtol=1e-12, atol=1e-14)
    assert np.max(np.abs(np.asarray(got[2]) - dx0)) > 0.1 * np.max(np.abs(dx0))  # not ours unconjugated
    for name, value in dparams.items():
        np.testing.assert_allclose(got[0][name], value, rtol=1e-12, atol=1e-14, err_msg=name)


def test_vmap_and_float32() -> None:
    import jax

    from s5ref.interop import jax as interop

    params = subtree(Model(ModelConfig(n_layers=1, d_model=3, ssm_size=4)).init(0)[0], "layers_0.seq")
    u = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("f4")
    whole, state = interop.ssm(params, u, SMALL)
    assert (whole.dtype, state.dtype) == (np.float32, np.complex64)
    single = jax.vmap(lambda v: interop.ssm(params, v[None], SMALL)[0][0])(u)
    np.testing.assert_allclose(single, whole, rtol=1e-5, atol=1e-6)
    grads = jax.vmap(jax.grad(lambda v: interop.ssm(params, v[None], SMALL)[0].sum()))(u)
    assert grads.shape == u.shape


def test_a_model_gives_the_bits_of_ours() -> None:
    from s5ref.interop import jax as interop

    config = ModelConfig(n_layers=2, d_model=4, ssm_size=4, in_dim=5, n_classes=3, dropout=0.5)
    params, statistics = Model(config).init(4)
    tokens, lengths = np.array([[1, 2, 0, 4], [3, 3, 1, 0]]), np.array([3, 4])
    batch = Batch(tokens, lengths=lengths)
    want = Model(config).forward(params, statistics, batch, engine=NUMPY, training=True, key=(4, 1))
    got, after = interop.model(
        params, statistics, tokens, config, lengths=lengths, engine=NUMPY, training=True, key=(4, 1)
    )
    np.testing.assert_array_equal(got, want.output)
    for name, value in want.statistics.items():
        np.testing.assert_array_equal(after[name], value)


def test_half_precision_and_mixed_dtypes_are_refused() -> None:
    import jax.numpy as jnp

    from s5ref.interop import jax as interop

    params = subtree(Model(ModelConfig(n_layers=1, d_model=3, ssm_size=4)).init(0)[0], "layers_0.seq")
    with pytest.raises(S5Error, match="float32 or float64"):
        interop.ssm({n: jnp.asarray(x, jnp.bfloat16) for n, x in params.items()}, np.ones((1, 2, 3)), SMALL)
    single = Model(ModelConfig(n_layers=1, d_model=3, ssm_size=4)).init(0)[0]
    with pytest.raises(S5Error, match="u must have the dtype of the parameters, float32; got float64"):
        interop.ssm(subtree(single, "layers_0.seq"), jnp.ones((1, 2, 3)), SMALL)


def test_the_example_of_the_documentation_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    mine = [code for code in blocks if "s5ref.interop import jax as" in code]
    assert len(mine) == 1
    exec(compile(mine[0], "example", "exec"), {"__name__": "example"})
