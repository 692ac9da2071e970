"""noahfarr/memorax: S5 among other memories for reinforcement learning; all states are kept."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, column, pair, real_and_imaginary, same
from s5ref.verification.conformance.adapters.parts import discretize_by
from s5ref.verification.conformance.adapters.put import flax_variables
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(
    real_and_imaginary("Lambda", "lambda_real", "lambda_imag"), pair("B", "b"), pair("C", "c"),
    same("D", "d"), column("log_step"),
)  # fmt: skip
C_INIT = {"trunc_standard_normal": "truncated_standard_normal"}  # where it has another name


class Memorax:
    framework = "jax"
    options = {"conj_sym": False, "init": {"blocks": 1}}  # noqa: RUF012

    def __init__(self) -> None:
        self.text = imported(
            "memorax.networks.sequence_models.s5", stubs=("memorax.utils", "flashbax", "gymnax")
        )
        self.memoroid = imported("memorax.networks.sequence_models.memoroid").Memoroid

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        methods = {"zoh": self.text.discretize_zoh, "bilinear": self.text.discretize_bilinear}
        return discretize_by(methods, Lambda, Delta, method)

    def _apply(self, params: Any, u: Any, x0: Any, resets: Any, options: Any) -> tuple[Any, Any]:
        """Its memoroid over the sequence: y, and the state after it."""
        P, H = params["B"].shape
        config = self.text.S5Config(
            features=H, hidden_dim=P, c_init="lecun_normal", clip_eigens=options.get("clip_eigs", False),
            discretization=options.get("discretization", "zoh"),
            step_rescale=options.get("step_rescale", 1.0), param_dtype=u.dtype,
        )  # fmt: skip
        module = self.memoroid(cell=self.text.S5Cell(config))
        state = jnp.zeros((len(u), P), params["Lambda"].dtype) if x0 is None else x0
        carry = self.text.S5Carry(state=state[:, None], decay=jnp.ones_like(state[:, None]))
        done = jnp.zeros(u.shape[:2], bool) if resets is None else resets
        variables = flax_variables(prefixed("cell", LEAVES.there(params)))
        last, y = module.apply(variables, u, done, carry)
        return y, last.state[:, 0]

    @taking("conj_sym", "clip_eigs", "discretization", "resets", "final_state", "step_rescale")
    def ssm(self, params: Any, u: Any, x0: Any = None, **more: Any) -> Any:
        y, last = self._apply(params, u, x0, more.pop("resets", None), more)
        return (y, last) if more.get("final_state") else y

    @taking("conj_sym", "discretization", "step_rescale")
    def step(self, params: Any, state: Any, u_k: Any, **more: Any) -> Any:
        y, state = self._apply(params, u_k[:, None], state, None, more)
        return state, y[:, 0]

    def init(self, config: Any, seed: int) -> Any:
        H, c_init = config["d_model"], config["c_init"]
        cell = self.text.S5Cell(self.text.S5Config(
            features=H, hidden_dim=config["ssm_size"], c_init=C_INIT.get(c_init, c_init),
            dt_min=config["dt_min"], dt_max=config["dt_max"],
        ))  # fmt: skip
        made = self.memoroid(cell=cell).init(jax.random.key(seed), jnp.ones((1, 2, H)), jnp.zeros((1, 2)))
        return prefixed("layers_0.seq", LEAVES.back(made["params"]["cell"]))
