"""The built-in target ``jax``: `s5ref.interop.jax_model` behind the kit's protocol."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from s5ref.interop import jax_model
from s5ref.interop.jax_model import Leaves, options_in
from s5ref.verification.conformance.protocol import taking

OF_SSM = ("discretization", "conj_sym", "clip_eigs")
OF_LAYER = (
    *OF_SSM, "bidirectional", "step_rescale", "activation", "gelu", "norm", "prenorm", "bn_momentum",
)  # fmt: skip


class S5Jax:
    """The stages. ``further``: options, of which the parameters themselves show some."""

    framework = "jax"
    options: ClassVar = {"model": {"padding": "upstream"}}

    def discretize(self, Lambda: Any, Delta: Any, method: str = "zoh") -> tuple[Any, Any]:
        return jax_model.discretize(Lambda, Delta, method)

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any = None, reverse: bool = False) -> tuple[Any, Any]:
        axes = (0 if jnp.ndim(Lambda_bar) == 3 else None, 0, 0)
        one = partial(jax_model.scan_one, reverse=reverse)
        x, last = jax.vmap(one, axes)(Lambda_bar, Bu, x0)
        return x, last

    def _ssm(
        self, params: Leaves, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        intervals: Any = None, final_state: bool = False, **further: Any,
    ) -> Any:  # fmt: skip
        given = further | {"bidirectional": bidirectional, "step_rescale": step_rescale}
        y, x_last = jax_model.ssm_and_state(params, u, options_in(given), x0, intervals)
        return (y, x_last) if final_state else y

    ssm = taking(*OF_SSM)(_ssm)

    def step(
        self, params: Leaves, state: Any, u_k: Any, step_rescale: float = 1.0, discretization: str = "zoh",
        conj_sym: bool = True,
    ) -> tuple[Any, Any]:  # fmt: skip
        given = {"step_rescale": step_rescale, "discretization": discretization, "conj_sym": conj_sym}
        return jax_model.step(params, state, u_k, options_in(given))

    def _layer(
        self, params: Leaves, x: Any, train: bool = False, masks: Any = None, intervals: Any = None,
        **further: Any,
    ) -> tuple[Any, Leaves]:  # fmt: skip
        return jax_model.layer(params, x, options_in(further), train, masks or (None, None), intervals)

    layer = taking(*OF_LAYER)(_layer)

    def _model(
        self, params: Leaves, x: Any, lengths: Any = None, intervals: Any = None, train: bool = False,
        **further: Any,
    ) -> Any:  # fmt: skip
        given = {"train": train, "lengths": lengths, "intervals": intervals}
        if further.get("head") == "none":  # the identity is a head
            H = len(params["encoder.bias"])
            decoder = {"decoder.kernel": jnp.eye(H, dtype=x.dtype), "decoder.bias": jnp.zeros(H, x.dtype)}
            params, further = {**params, **decoder}, {**further, "head": "regression"}
        return jax_model.model(params, x, options_in(further), **given)[0]

    model = taking("n_layers", "head", "pooling", *OF_LAYER)(_model)
