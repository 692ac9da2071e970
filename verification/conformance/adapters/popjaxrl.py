"""luchris429/popjaxrl and luchris429/purejaxrl: upstream's S5 with episodes, for reinforcement learning."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.adapters.flax_s5 import LEAVES, SSM, FlaxS5, names_of_2022, sized, started
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.put import flax_variables, over_examples
from s5ref.verification.conformance.protocol import taking


class PopJaxRL(FlaxS5):
    file = "algorithms.s5"
    options = {"init": {"blocks": 1}}  # noqa: RUF012 - its training script makes one

    def __init__(self) -> None:
        names_of_2022()
        self.text = imported(self.file)

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool, resets: Any = None) -> Any:
        """With resets by its operator of three parts, with the initial state before the first step, as in its
        `apply_ssm`.
        """
        if resets is None:
            return super().scan(Lambda_bar, Bu, x0, reverse)
        if reverse:
            raise NotImplementedError("resets forward alone")
        state = jnp.zeros_like(Bu[:, 0]) if x0 is None else x0

        def one(a: Any, b: Any, x0: Any, d: Any) -> Any:
            before = jnp.ones((1, b.shape[1])), x0[None], jnp.zeros(1)
            elements = tuple(jnp.concatenate(pair) for pair in zip(before, (a, b, d), strict=True))
            x = jax.lax.associative_scan(self.text.binary_operator_reset, elements)[1][1:]
            return x, x[-1]

        flags = resets.astype(Bu.real.dtype)
        return over_examples(one, jnp.broadcast_to(Lambda_bar, Bu.shape), Bu, state, flags)

    def _module(self, leaves: Any, options: Any) -> Any:
        return partial(self.text.S5SSM, **sized(leaves, options))

    @taking("conj_sym", "clip_eigs", "discretization", "resets", "final_state")
    def ssm(
        self, params: Any, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        **more: Any,
    ) -> Any:  # fmt: skip
        leaves, resets = LEAVES.there(params), more.pop("resets", None)
        module = self._module(leaves, more | {"bidirectional": bidirectional})(step_rescale=step_rescale)
        state = jnp.zeros((len(u), len(params["Lambda"])), params["Lambda"].dtype) if x0 is None else x0
        flags = jnp.zeros(u.shape[:2], u.dtype) if resets is None else resets.astype(u.dtype)
        call = partial(module.apply, flax_variables(leaves))
        last, y = over_examples(lambda x0, u, d: call(x0[None], u, d), state, u, flags)
        return (y, last[:, 0]) if more.get("final_state") else y

    @taking(*SSM, "activation", "prenorm", "step_rescale")
    def layer(self, params: Any, x: Any, train: bool, masks: Any, **options: Any) -> Any:
        if masks is not None or "norm.mean" in params:
            raise NotImplementedError("no dropout, no running statistics")
        leaves = LEAVES.there(params)
        own = {name: options[name] for name in ("activation", "step_rescale") if name in options}
        module = self.text.SequenceLayer(
            ssm=self._module(subtree(leaves, "seq"), options),
            d_model=x.shape[-1],
            **self._norm(options),
            **own,
        )
        state = jnp.zeros((1, len(x), len(params["seq.Lambda"])), params["seq.Lambda"].dtype)
        steps = jnp.swapaxes(x, 0, 1)  # time comes first
        flags = jnp.zeros(steps.shape[:2], x.dtype)
        return jnp.swapaxes(module.apply(flax_variables(leaves), state, steps, flags)[1], 0, 1), {}

    def _norm(self, options: Any) -> dict[str, Any]:
        return {"prenorm": options.get("prenorm", True)}

    def init(self, config: Any, seed: int) -> Any:
        module = self.text.S5SSM(**started(self.text.make_DPLR_HiPPO, config))
        given = jnp.zeros((1, module.P), complex), jnp.ones((2, config["d_model"])), jnp.zeros(2)
        made = module.init(jax.random.PRNGKey(seed), *given)["params"]
        return prefixed("layers_0.seq", LEAVES.back(flatten_dict(made, sep=".")))


class PureJaxRL(PopJaxRL):
    """Its layer has no norm and no field that speaks of one."""

    file = "purejaxrl.experimental.s5.s5"

    def _norm(self, options: Any) -> dict[str, Any]:
        return {}
