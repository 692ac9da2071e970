"""camail-official/discretax: S5 among other state-space models, in Equinox."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.flax_s5 import LEAVES, FlaxS5
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.parts import attempted, discretize_by
from s5ref.verification.conformance.adapters.put import equinox_put, over_examples
from s5ref.verification.conformance.protocol import taking


class Discretax(FlaxS5):
    def __init__(self) -> None:
        self.text = imported("discretax.sequence_mixers.s5", "src")
        self.text.binary_operator = self.text._binary_operator

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        methods = {"zoh": self.text._discretize_zoh, "bilinear": self.text._discretize_bilinear}
        return discretize_by(methods, Lambda, Delta, method)

    @taking("conj_sym", "clip_eigs", "discretization")
    def ssm(self, params: Any, u: Any, step_rescale: float = 1.0, **more: Any) -> Any:
        (P, H), key = params["B"].shape, jax.random.PRNGKey(0)
        chosen = {"conj_sym": True, "clip_eigs": False} | more
        size = 2 * P if chosen["conj_sym"] else P
        made = self.text.S5SequenceMixer(H, key, state_dim=size, step_rescale=step_rescale, **chosen)
        return over_examples(partial(equinox_put(made, LEAVES.there(params)), key=key), u)

    def init(self, config: Any, seed: int) -> Any:
        names = {"state_dim": "ssm_size", "ssm_blocks": "blocks", "C_init": "c_init", "conj_sym": "conj_sym"}
        given = {theirs: config[ours] for theirs, ours in names.items() if ours in config}
        steps = {"dt_min": config["dt_min"], "dt_max": config["dt_max"]}
        made = self.text.S5SequenceMixer(config["d_model"], jax.random.PRNGKey(seed), **given, **steps)
        return prefixed("layers_0.seq", LEAVES.back(vars(made)))

    def audit(self) -> list[tuple[str, str]]:
        """The one way to draw C of which no stage runs the SSM."""
        key = jax.random.PRNGKey(0)

        def drawn() -> Any:
            made = self.text.S5SequenceMixer(2, key, state_dim=4, C_init="complex_normal")
            return made(jnp.ones((3, 2)), key)

        return attempted({"C_init=complex_normal": drawn})
