"""kavorite/S5: a port of the JAX code to Haiku; all states are kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import haiku
import jax
import jax.numpy as jnp

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.flax_s5 import FlaxS5, names_of_2022
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, pair, same
from s5ref.verification.conformance.adapters.put import haiku_params, over_examples
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(same("Lambda"), pair("B"), pair("C"), same("D"), same("log_step"))


class Kavorite(FlaxS5):
    options = {"conj_sym": False}  # noqa: RUF012

    def __init__(self) -> None:
        names_of_2022()
        self.text, self.start = imported("s5._src.ssm"), imported("s5._src.ssm_init")

    def _module(self, made: Any, H: int, dt: tuple[float, float] = (0.001, 0.1)) -> Any:
        """Its SSM as a pair of pure functions."""
        Lambda, V = made

        def call(u: Any, x0: Any, **options: Any) -> Any:
            ssm = self.text.S5SSM(Lambda, V, V.conj().T, H, len(Lambda), None, "dense", *dt, name="ssm")
            return ssm(u, x0, **options)

        return haiku.without_apply_rng(haiku.transform(call))

    def _apply(self, params: Any, step_rescale: float, more: Any) -> Any:
        P, H = params["B"].shape
        module = self._module((jnp.zeros(P, params["Lambda"].dtype), jnp.zeros((P, P))), H)
        given = haiku_params(prefixed("ssm", LEAVES.there(params)))
        options = {"step_scale": step_rescale, "discretization": more.get("discretization", "zoh")}
        return partial(module.apply, given, **options)

    @taking("discretization", "conj_sym")
    def ssm(self, params: Any, u: Any, step_rescale: float = 1.0, **more: Any) -> Any:
        return over_examples(self._apply(params, step_rescale, more), u, None)

    @taking("discretization", "conj_sym")
    def step(self, params: Any, state: Any, u_k: Any, step_rescale: float = 1.0, **more: Any) -> Any:
        y, state = over_examples(self._apply(params, step_rescale, more), u_k, state)
        return state, y

    def init(self, config: Any, seed: int) -> Any:
        made, H = self.start.make_Normal_HiPPO(config["ssm_size"], config.get("blocks", 1)), config["d_model"]
        module = self._module(made, H, (config["dt_min"], config["dt_max"]))
        drawn = module.init(jax.random.PRNGKey(seed), jnp.ones((2, H)), None)["ssm"]
        params = LEAVES.back(drawn)
        if config["c_init"] != "lecun_normal":
            del params["C"]  # which is drawn in one way
        return prefixed("layers_0.seq", params)
