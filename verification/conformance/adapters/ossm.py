"""b-vitamins/ossm: an S5 in torch beside other state-space models, its backward pass written by hand."""

from __future__ import annotations

from typing import Any

import torch

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, column, pair, real_and_imaginary, same
from s5ref.verification.conformance.adapters.parts import attempted
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(
    real_and_imaginary("Lambda", "lambda_real", "lambda_imag"), pair("B"), pair("C"), same("D"),
    column("log_step"),
)  # fmt: skip
SSM = {"conj_sym": True, "clip_eigs": False, "discretization": "zoh"}


class Ossm:
    framework = "torch"
    features = ("conj_sym", "all_states", "clip_eigs", "bilinear", "complex_normal")

    def __init__(self) -> None:
        self.text = imported("ossm.models.s5", "src")

    def scan(self, Lambda_bar: Any, Bu: Any) -> tuple[Any, Any]:
        if Lambda_bar.ndim > 1:
            raise NotImplementedError("one multiplier for all steps")
        x = self.text._S5ScanFn.apply(Lambda_bar, Bu.transpose(0, 1).contiguous()).transpose(0, 1)
        return x, x[:, -1]

    @taking(*SSM)
    def ssm(
        self, params: Any, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        **more: Any,
    ) -> Any:  # fmt: skip
        if bidirectional or x0 is not None:
            raise NotImplementedError("one direction from zero")
        (P, H), chosen = params["B"].shape, SSM | {name: more[name] for name in SSM if name in more}
        size = 2 * P if chosen["conj_sym"] else P
        module = self.text.S5Layer(size, H, step_rescale=step_rescale, **chosen)
        return torch_call(module, LEAVES.there(params), u)

    def init(self, config: Any, seed: int) -> Any:
        module = self.text.S5Layer(
            config["ssm_size"], config["d_model"], blocks=config.get("blocks", 1), C_init=config["c_init"],
            conj_sym=config.get("conj_sym", True), dt_min=config["dt_min"], dt_max=config["dt_max"],
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return prefixed("layers_0.seq", LEAVES.back(dict(module.named_parameters())))

    def audit(self) -> list[tuple[str, str]]:
        """How a backbone begins, which makes its layers without a generator; and the gain where Λ is 0."""

        def backbone(seed: int) -> list[Any]:
            torch.manual_seed(seed)
            return [block.layer.B for block in self.text.S5Backbone(2, 1, 4, 1, 3).blocks]

        def layers() -> str:
            return "begin with the same B, C, D and log Delta" if torch.equal(*backbone(0)) else ""

        def seeds() -> str:
            return (
                "does not change what it begins with" if torch.equal(backbone(0)[0], backbone(1)[0]) else ""
            )

        def at_zero() -> str:
            one = torch.ones(1, 1, dtype=torch.complex64)
            params = {
                "Lambda": 0 * one[0],
                "B": one,
                "C": one,
                "D": torch.zeros(1),
                "log_step": torch.zeros(1),
            }
            y = self.ssm(params, torch.ones(1, 1, 1)).item()
            return "" if y == 2 else f"gives {y:g} for u = B = C = Delta = 1, S5 2"

        attempts = {"layers of a backbone": layers, "torch.manual_seed": seeds, "Lambda = 0": at_zero}
        return attempted(attempts)
