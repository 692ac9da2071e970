"""uzh-rpg/ssms_event_cameras: an S5 for object detection with event cameras; all states are kept."""

from __future__ import annotations

from typing import Any

import torch

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, one_C, pair, same
from s5ref.verification.conformance.adapters.parts import attempted, discretize_by
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(pair("Lambda"), pair("B"), pair("C"), same("D"), same("log_step"))


class EventCameras:
    framework = "torch"
    options = {"conj_sym": False, "discretization": "bilinear"}  # noqa: RUF012

    def __init__(self) -> None:
        self.text = imported("models.layers.s5.s5_model", "RVT")

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        def bilinear(Lambda: Any, B: Any, Delta: Any) -> Any:
            made = self.text.discretize_bilinear(torch.view_as_real(Lambda), B, Delta)
            return tuple(map(torch.view_as_complex, made))

        methods = {"zoh": self.text.discretize_zoh, "bilinear": bilinear}
        return discretize_by(methods, Lambda, Delta, method)

    def _module(self, params: Any, bidirectional: bool, more: Any) -> tuple[Any, Any]:
        P, H = params["B"].shape
        module = self.text.S5(H, P, bidir=bidirectional, bcInit="dense")
        module.seq.discretize = getattr(self.text, f"discretize_{more.get('discretization', 'bilinear')}")
        return module, prefixed("seq", LEAVES.there(one_C(params)))

    @taking("discretization", "conj_sym", "final_state")
    def ssm(
        self, params: Any, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        intervals: Any = None, **more: Any,
    ) -> Any:  # fmt: skip
        module, leaves = self._module(params, bidirectional, more)
        state = (
            torch.zeros(len(u), *params["Lambda"].shape, dtype=params["Lambda"].dtype) if x0 is None else x0
        )
        scale = step_rescale if intervals is None else step_rescale * intervals
        y, last = torch_call(module, leaves, u, state, scale)
        return (y, last) if more.get("final_state") else y

    def init(self, config: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        steps = {"dt_min": config["dt_min"], "dt_max": config["dt_max"]}
        made = self.text.S5(
            config["d_model"],
            config["ssm_size"],
            block_count=config.get("blocks", 1),
            bcInit="dense",
            **steps,
        )
        params = LEAVES.back(dict(made.seq.named_parameters()))
        if config["c_init"] != "lecun_normal":
            del params["C"]  # which is drawn in one way
        return prefixed("layers_0.seq", params)

    def audit(self) -> list[tuple[str, str]]:
        """The discretisation that its modules may be told, and that no case asks of a bilinear one."""

        def zoh() -> Any:
            module = self.text.S5(2, 2, bcInit="dense")
            module.seq.discretize = self.text.discretize_zoh
            return module(torch.ones(1, 3, 2), torch.ones(1, 2, dtype=torch.complex64))

        return attempted({"discretization=zoh": zoh})
