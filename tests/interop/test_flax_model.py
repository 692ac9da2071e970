"""A model in real Flax with upstream's module names: its variables are read, and compute the same here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import SEQUENTIAL, Batch, Engine, Model, ModelConfig
from s5ref.interop import facts, names, weights
from s5ref.verification.rounding.budget import THRESHOLD, composite_budget, ratio

pytestmark = pytest.mark.jax

N, L = 3, 10
CONFIG = ModelConfig(n_layers=2, d_model=6, ssm_size=8, in_dim=3, n_classes=4, dt_min=0.1, dt_max=1.0)


def flax_model(batch_norm: bool, retrieval: bool) -> Any:
    """Written for this test; only the names, and what is computed, are upstream's."""
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    P, H = 4, CONFIG.d_model

    class SSM(nn.Module):  # type: ignore[misc, unused-ignore]
        def setup(self) -> None:
            def normal(name: str, *shape: int) -> Any:
                return self.param(name, nn.initializers.normal(0.5), shape)

            self.Lambda_re = self.param("Lambda_re", lambda _: -0.5 - 0.1 * jnp.arange(P))
            self.Lambda_im = normal("Lambda_im", P)
            self.B, self.C = normal("B", P, H, 2), normal("C", H, P, 2)
            self.D, self.log_step = normal("D", H), normal("log_step", P, 1)

        def __call__(self, u: Any) -> Any:
            Lambda = self.Lambda_re + 1j * self.Lambda_im
            Lambda_bar = jnp.exp(Lambda * jnp.exp(self.log_step[:, 0]))
            B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * (self.B[..., 0] + 1j * self.B[..., 1])
            x, Bu = jnp.zeros((u.shape[0], P), B_bar.dtype), u @ B_bar.T
            xs = []
            for t in range(u.shape[1]):
                x = Lambda_bar * x + Bu[:, t]
                xs.append(x)
            C = self.C[..., 0] + 1j * self.C[..., 1]
            return 2 * (jnp.stack(xs, 1) @ C.T).real + self.D * u

    class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
        training: bool

        def setup(self) -> None:
            self.seq, self.out2 = SSM(), nn.Dense(H)
            norm = nn.BatchNorm(use_running_average=not self.training, momentum=0.95)
            self.norm = norm if batch_norm else nn.LayerNorm()

        def __call__(self, x: Any) -> Any:
            g = nn.gelu(self.seq(self.norm(x)))
            return x + g * nn.sigmoid(self.out2(g))

    class Encoder(nn.Module):  # type: ignore[misc, unused-ignore]
        training: bool

        def setup(self) -> None:
            self.encoder, self.layers = nn.Dense(H), [Layer(self.training) for _ in range(CONFIG.n_layers)]

        def __call__(self, x: Any) -> Any:
            x = self.encoder(x)
            for layer in self.layers:
                x = layer(x)
            return x.mean(1)

    class Decoder(nn.Module):  # type: ignore[misc, unused-ignore]
        def setup(self) -> None:
            self.layer1, self.layer2 = nn.Dense(H), nn.Dense(CONFIG.n_classes)

        def __call__(self, x: Any) -> Any:
            return self.layer2(nn.gelu(self.layer1(x)))

    class Classifier(nn.Module):  # type: ignore[misc, unused-ignore]
        training: bool = False

        def setup(self) -> None:
            self.encoder = Encoder(self.training)
            self.decoder = Decoder() if retrieval else nn.Dense(CONFIG.n_classes)

        def __call__(self, x: Any) -> Any:
            if retrieval:
                a, b = jnp.split(self.encoder(jnp.concatenate([x[:, 0], x[:, 1]])), 2)
                return jax.nn.log_softmax(self.decoder(jnp.concatenate([a, b, a - b, a * b], -1)))
            return jax.nn.log_softmax(self.decoder(self.encoder(x)))

    return Classifier


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("batch_norm", "retrieval"),
    [(True, False), (False, False), (True, True)],
    ids=["batch", "layer", "retrieval"],
)
def test_its_weights_compute_the_same_here(
    batch_norm: bool, retrieval: bool, training: bool, tmp_path: Path
) -> None:
    import jax
    from flax import serialization

    with jax.enable_x64(True):
        classifier = flax_model(batch_norm, retrieval)
        x = np.random.default_rng(0).normal(size=(N, 2, L, 3) if retrieval else (N, L, 3))
        variables = classifier(training).init(jax.random.PRNGKey(0), x)
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        (tmp_path / "a.msgpack").write_bytes(serialization.to_bytes(variables))
        out, after = classifier(training).apply(variables, x, mutable=["batch_stats"])
    given = weights.read(tmp_path / "a.msgpack")
    found = facts.facts(given.params, given.statistics)
    config = ModelConfig(
        **(found.expected(True) | {"norm": "batch" if batch_norm else "layer"}), dt_min=0.1, dt_max=1.0
    )

    def ours(engine: Engine) -> Any:
        forward = Model(config).forward(
            given.params, given.statistics, Batch(x), engine=engine, training=training
        )
        return {"output": forward.output, "statistics": forward.statistics}

    want, budget = composite_budget(ours, SEQUENTIAL, range(4), terms=N * L)
    assert ratio(np.asarray(out), want["output"], budget["output"], 1.0) <= THRESHOLD
    if batch_norm and training:
        flat = {f"batch_stats/{n}": np.asarray(v) for n, v in _flat(after["batch_stats"]).items()}
        for name, value in names.from_flax(flat)[1].items():
            path = f"statistics.{name}"
            assert ratio(value, want[path], budget[path], 1.0) <= THRESHOLD, name
            assert not np.array_equal(value, given.statistics[name])


def test_flax_restores_what_is_written(tmp_path: Path) -> None:
    import jax
    from flax import serialization

    variables = flax_model(True, False)().init(jax.random.PRNGKey(1), np.zeros((1, 2, 3), "f4"))
    params, statistics = Model(CONFIG).init(3)
    weights.write(tmp_path / "a.msgpack", weights.Weights(params, statistics, "run", True))
    restored = serialization.from_bytes(variables, (tmp_path / "a.msgpack").read_bytes())
    structure: Any = jax.tree.structure
    assert structure(restored) == structure(variables)
    shapes = [jax.tree.map(np.shape, tree) for tree in (restored, variables)]
    assert shapes[0] == shapes[1]
    np.testing.assert_array_equal(
        restored["params"]["encoder"]["layers_1"]["seq"]["B"], params["layers_1.seq.B"]
    )


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, child in tree.items():
        place = f"{path}/{name}" if path else name
        found |= _flat(child, place) if hasattr(child, "items") else {place: child}
    return found
