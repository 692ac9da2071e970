"""lindermanlab/S5, and its forks with the same modules: stevenabreu7/Q-S5, j-towns/S5."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from s5ref.tree import subtree
from s5ref.verification.conformance.adapters.flax_s5 import LEAVES, SSM, FlaxS5, names_of_2022, sized, started
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.put import flax_variables, over_examples
from s5ref.verification.conformance.protocol import taking

LAYER = {"activation": "half_glu2", "prenorm": True, "bn_momentum": 0.95, "step_rescale": 1.0}
BATCH = {"variable_axes": {"params": None, "batch_stats": None}, "split_rngs": {"params": False}}


def _of_layer(options: Any) -> dict[str, Any]:
    return LAYER | {name: options[name] for name in LAYER if name in options} | {"dropout": 0.0}


class Upstream(FlaxS5):
    def __init__(self) -> None:
        names_of_2022()
        self.text, self.layers, self.models = map(imported, ("s5.ssm", "s5.layers", "s5.seq_model"))

    def _module(self, leaves: Any, options: Any) -> Any:
        return partial(self.text.S5SSM, **sized(leaves, options))

    @taking("conj_sym", "clip_eigs", "discretization")
    def ssm(
        self, params: Any, u: Any, bidirectional: bool = False, step_rescale: float = 1.0,
        **more: Any,
    ) -> Any:  # fmt: skip
        leaves = LEAVES.there(params)
        module = self._module(leaves, more | {"bidirectional": bidirectional})(step_rescale=step_rescale)
        return over_examples(partial(module.apply, flax_variables(leaves)), u)

    @taking(*SSM, *LAYER)
    def layer(self, params: Any, x: Any, train: bool, masks: Any, **options: Any) -> Any:
        if masks is not None:
            raise NotImplementedError("dropout draws its own masks")
        leaves, batch = LEAVES.there(params), "norm.mean" in params
        module = nn.vmap(self.layers.SequenceLayer, axis_name="batch", **BATCH)(
            ssm=self._module(subtree(leaves, "seq"), options), d_model=x.shape[-1], training=train,
            batchnorm=batch, **_of_layer(options),
        )  # fmt: skip
        y, moved = module.apply(flax_variables(leaves), x, mutable=["batch_stats"])
        return y, LEAVES.back(flatten_dict(moved["batch_stats"], sep=".")) if batch else {}

    @taking(*SSM, *LAYER, "pooling")
    def model(self, params: Any, x: Any, lengths: Any, train: bool = False, **options: Any) -> Any:
        leaves, two = LEAVES.there(params), "decoder.layer1.kernel" in params
        H, K = params["encoder.kernel"].shape[1], params[f"decoder.{'layer2.' if two else ''}bias"].shape[0]
        if jnp.issubdtype(x.dtype, jnp.integer):
            x = jax.nn.one_hot(x, len(params["encoder.kernel"]), dtype=params["encoder.kernel"].dtype)
        if two:  # all first documents, and below them all second ones
            x, lengths = jnp.concatenate([x[:, 0], x[:, 1]]), jnp.concatenate([lengths[:, 0], lengths[:, 1]])
        pooling = options.get("pooling", "mean")
        mode = {} if two else {"mode": "pool" if pooling == "mean" else pooling}
        module = (self.models.RetrievalModel if two else self.models.BatchClassificationModel)(
            ssm=self._module(subtree(leaves, "layers_0.seq"), options), d_output=K, d_model=H,
            n_layers=len({n.split(".")[0] for n in leaves if n.startswith("layers_")}), training=train,
            padded=lengths is not None, batchnorm="layers_0.norm.mean" in params, **mode,
            **_of_layer(options),
        )  # fmt: skip
        theirs = {n if n.startswith("decoder") else f"encoder.{n}": leaf for n, leaf in leaves.items()}
        given = x if lengths is None else (x, lengths)
        ones = jnp.ones(x.shape[:2])
        return module.apply(flax_variables(theirs), given, ones, mutable=["batch_stats"])[0]

    def init(self, config: Any, seed: int) -> Any:
        ssm = partial(self.text.S5SSM, **started(imported("s5.ssm_init").make_DPLR_HiPPO, config))
        module = self.models.BatchClassificationModel(
            ssm=ssm, d_output=config["n_classes"], d_model=config["d_model"], n_layers=config["n_layers"],
            padded=False, activation=config["activation"],
        )  # fmt: skip
        keys = {"params": jax.random.PRNGKey(seed), "dropout": jax.random.PRNGKey(seed)}
        made = module.init(keys, jnp.ones((1, 2, config["in_dim"])), jnp.ones((1, 2)))["params"]
        params = LEAVES.back(flatten_dict(made, sep="."))
        return {name.removeprefix("encoder."): leaf for name, leaf in params.items()}
