"""ekellbuch/deep_ssm: a port of the JAX code to torch, for speech from neural recordings."""

from __future__ import annotations

from typing import Any

import torch

from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import (
    LeafMap,
    column,
    one_C,
    pair,
    real_and_imaginary,
    same,
    transposed,
)
from s5ref.verification.conformance.adapters.parts import attempted, discretize_by
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(
    real_and_imaginary("Lambda", "Lambda_re", "Lambda_im"), pair("B"), pair("C"), same("D"),
    column("log_step"), transposed("kernel", "weight"), same("bias"), same("norm.scale", "norm.weight"),
)  # fmt: skip
SSM = {"bidirectional": False, "conj_sym": True, "clip_eigs": False, "discretization": "zoh"}


class DeepSSM:
    framework = "torch"
    features = (
        "conj_sym", "all_states", "bidirectional", "initial_state", "final_state", "clip_eigs", "bilinear",
        "irregular", "complex_normal", "gelu", "half_glu1", "half_glu2", "full_glu", "layer_norm",
        "gelu_tanh",
    )  # fmt: skip

    def __init__(self) -> None:
        self.text = imported("deep_ssm.mixers.s5_fjax.ssm", "src")

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        methods = {"zoh": self.text.discretize_zoh, "bilinear": self.text.discretize_bilinear}
        return discretize_by(methods, Lambda, Delta, method)

    def _sizes(self, params: Any, options: Any) -> dict[str, Any]:
        (P, H), chosen = params["B"].shape, SSM | {name: options[name] for name in SSM if name in options}
        return chosen | {"d_model": H, "ssm_size": 2 * P if chosen["conj_sym"] else P}

    @taking("conj_sym", "clip_eigs", "discretization", "final_state")
    def ssm(
        self, params: Any, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        **more: Any,
    ) -> Any:  # fmt: skip
        module = self.text.S5(**self._sizes(params, more | {"bidirectional": bidirectional}))
        state = module.initial_state(len(u)).to(params["Lambda"].dtype) if x0 is None else x0
        given = prefixed("seq", LEAVES.there(one_C(params)))
        y, last = torch_call(module, given, u, state, step_rescale)
        return (y, last) if more.get("final_state") else y

    @taking("conj_sym", "discretization")
    def step(self, params: Any, state: Any, u_k: Any, step_rescale: float = 1.0, **more: Any) -> Any:
        module, leaves = self.text.S5(**self._sizes(params, more)), prefixed("seq", LEAVES.there(params))
        y, state = torch_call(module, leaves, u_k[:, None], state, step_rescale, method="step")
        return state, y[:, 0]

    @taking(*SSM, "activation", "step_rescale")
    def layer(self, params: Any, x: Any, train: bool, masks: Any, **options: Any) -> Any:
        if masks is not None or "norm.mean" in params or options.get("step_rescale", 1.0) != 1.0:
            raise NotImplementedError("no masks, no running statistics, no step_rescale")
        sizes = self._sizes(subtree(params, "seq"), options)
        module = self.text.S5Layer(**sizes, activation=options.get("activation", "half_glu2"), prenorm=True)
        leaves = LEAVES.there(one_C(params))
        given = {f"seq.{name}" if name.startswith("seq.") else name: leaf for name, leaf in leaves.items()}
        return torch_call(module, given, x)[0], {}

    def init(self, config: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        names = ("d_model", "ssm_size", "blocks", "dt_min", "dt_max", "conj_sym", "bidirectional")
        given = {name: config[name] for name in names if name in config}
        made = self.text.S5(**given, C_init=config["c_init"]).seq
        params = LEAVES.back(dict(made.named_parameters()))
        if config.get("bidirectional"):
            params["C1"], params["C2"] = params.pop("C").chunk(2, 1)
        return prefixed("layers_0.seq", params)

    def audit(self) -> list[tuple[str, str]]:
        """What no stage calls: the step_rescale of the constructor."""

        def output(step_rescale: float) -> Any:
            torch.manual_seed(0)
            module = self.text.S5(2, 4, step_rescale=step_rescale)
            return module(torch.ones(1, 3, 2), module.initial_state(1))[0]

        words = "has no effect" if torch.equal(output(1.0), output(2.0)) else ""
        return attempted({"step_rescale of the constructor": lambda: words})
