"""chandar-lab/Recall2Imagine: S5 with episodes and a state to begin them with, for a world model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.flax_s5 import LEAVES, FlaxS5
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.put import flax_variables, over_examples
from s5ref.verification.conformance.protocol import taking


class Recall2Imagine(FlaxS5):
    def __init__(self) -> None:
        self.text = imported("recall2imagine.ssm.mimo")

    def scan(
        self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool, resets: Any = None, reset_state: Any = None
    ) -> Any:
        """Its `fast_scan` with B and C that pass everything on."""
        if reverse or Lambda_bar.ndim > 1:
            raise NotImplementedError("forward, by one multiplier")
        (N, _, P), one = Bu.shape, jnp.eye(Bu.shape[-1], dtype=Bu.dtype)
        state = jnp.zeros((N, P), Bu.dtype) if x0 is None else x0
        start = jnp.zeros(P, Bu.dtype) if reset_state is None else reset_state
        flags = None if resets is None else resets.astype(Bu.real.dtype)

        def example(u: Any, x0: Any, dones: Any) -> Any:
            return self.text.fast_scan(Lambda_bar, one, one, u, x0, start, dones, False, "init")[1]

        x = over_examples(example, Bu, state, flags)
        return x, x[:, -1]

    def _module(self, params: Any, step_rescale: float, options: Any) -> Any:
        P, H = params["B"].shape
        own = {"conj_sym": True, "clip_eigs": False, "discretization": "zoh"}
        chosen = own | {name: options[name] for name in own if name in options}
        sizes = {"P": P, "H": H, "n_blocks": 1, "C_init": "lecun_normal", "dt_min": 0.001, "dt_max": 0.1}
        modes = {"step_rescale": step_rescale, "parallel": True, "reset_mode": "init"}
        return self.text.MIMOLayer(**sizes, **chosen, **modes)

    @taking("conj_sym", "clip_eigs", "discretization", "resets", "learn_initial_state", "final_state")
    def ssm(self, params: Any, u: Any, x0: Any = None, step_rescale: float = 1.0, **more: Any) -> Any:
        start = params.get("x0", jnp.zeros_like(params["Lambda"]))
        kept = {name: leaf for name, leaf in params.items() if name != "x0"}
        module, variables = self._module(kept, step_rescale, more), flax_variables(LEAVES.there(kept))
        state = jnp.tile(start, (len(u), 1)) if x0 is None else x0
        flags = more["resets"].astype(u.dtype) if more.get("resets") is not None else None
        y, x = over_examples(lambda u, x0, d: module.apply(variables, u, x0, start, d), u, state, flags)
        last = x if x.ndim == 2 else x[:, -1]  # of one step it returns the state alone
        return (y, last) if more.get("final_state") else y

    @taking("conj_sym", "discretization")
    def step(self, params: Any, state: Any, u_k: Any, step_rescale: float = 1.0, **more: Any) -> Any:
        module, variables = self._module(params, step_rescale, more), flax_variables(LEAVES.there(params))
        y, state = over_examples(lambda u, x: module.apply(variables, u[None], x, None), u_k, state)
        return state, y[:, 0]

    def init(self, config: Any, seed: int) -> Any:
        P = config["ssm_size"] // (2 if config.get("conj_sym", True) else 1)
        module = self.text.MIMOLayer(
            P=P, H=config["d_model"], n_blocks=config.get("blocks", 1), C_init=config["c_init"],
            discretization="zoh", conj_sym=config.get("conj_sym", True), parallel=True, reset_mode="init",
            dt_min=config["dt_min"], dt_max=config["dt_max"],
        )  # fmt: skip
        given = jnp.ones((2, config["d_model"])), jnp.zeros(P, complex), None
        made = module.init(jax.random.PRNGKey(seed), *given)["params"]
        return prefixed("layers_0.seq", LEAVES.back(flatten_dict(made, sep=".")))
