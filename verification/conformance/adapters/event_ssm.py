"""Efficient-Scalable-Machine-Learning/event-ssm: S5 by the times between events."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.flax_s5 import LEAVES, FlaxS5
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.parts import attempted
from s5ref.verification.conformance.adapters.put import flax_variables, over_examples
from s5ref.verification.conformance.protocol import taking

METHODS = ("zoh", "dirac", "async")


class EventSSM(FlaxS5):
    features = ("conj_sym", "all_states", "clip_eigs", "dirac", "async", "irregular", "reverse")

    def __init__(self) -> None:
        self.text = imported("event_ssm.ssm")

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        if method not in METHODS:
            raise NotImplementedError(f"no {method}")
        Lambda_bar, gain = getattr(self.text, f"discretize_{method}")(Lambda, Delta, 1.0)
        return Lambda_bar, jnp.broadcast_to(jnp.asarray(gain, Lambda.dtype), Lambda_bar.shape)

    @taking("conj_sym", "clip_eigs", "discretization")
    def ssm(self, params: Any, u: Any, step_rescale: float = 1.0, intervals: Any = None, **more: Any) -> Any:
        P, H = params["B"].shape
        chosen = {"conj_sym": True, "clip_eigs": False, "discretization": "zoh"} | more
        size = 2 * P if chosen["conj_sym"] else P
        module = self.text.S5SSM(
            H_in=H, H_out=H, P=size, block_size=size, C_init="lecun_normal", dt_min=0.001, dt_max=0.1,
            step_rescale=step_rescale, **chosen,
        )  # fmt: skip
        gaps = jnp.ones(u.shape[:2], u.dtype) if intervals is None else intervals
        return over_examples(partial(module.apply, flax_variables(LEAVES.there(params))), u, gaps)

    def init(self, config: Any, seed: int) -> Any:
        H, P = config["d_model"], config["ssm_size"]
        names = ("dt_min", "dt_max", "conj_sym")
        module = self.text.S5SSM(
            H_in=H, H_out=H, P=P, block_size=P // config.get("blocks", 1), C_init=config["c_init"],
            discretization="zoh", **{name: config[name] for name in names if name in config},
        )  # fmt: skip
        made = module.init(jax.random.PRNGKey(seed), jnp.ones((2, H)), jnp.ones(2))["params"]
        return prefixed("layers_0.seq", LEAVES.back(flatten_dict(made, sep=".")))

    def audit(self) -> list[tuple[str, str]]:
        """Of several steps one: its pooling, which no stage asks of an SSM."""
        pool = imported("event_ssm.layers").EventPooling(stride=2, mode="last")

        def last() -> str | None:
            kept = pool.apply({}, jnp.arange(4.0)[:, None], jnp.ones(4))[0][:, 0].tolist()
            return (
                None if kept == [1.0, 3.0] else f"of the steps 0, 1, 2, 3 in windows of two it keeps {kept}"
            )

        return attempted({"EventPooling(stride=2, mode=last)": last})
