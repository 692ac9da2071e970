"""SforAiDl/lrnnx, the time-invariant S5: all states are kept, D is a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import softplus

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, Row, pair, same
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking

STUBS = ("lrnnx.ops", "selective_scan_cuda", "simplified_scan_cuda")


def _stored(Lambda: Any) -> tuple[Any]:
    """log(exp(−Re Λ) − 1), of which softplus is the inverse, and Im Λ."""
    return (torch.stack([torch.log(torch.expm1(-Lambda.real)), Lambda.imag], -1),)


LEAVES = LeafMap(
    Row("Lambda", ("A",), _stored, lambda A: torch.complex(-softplus(A[:, 0]), A[:, 1])), same("B"),
    pair("C"), same("log_step", "log_dt"), Row("D", ("D",), lambda D: (torch.diag(D),), torch.diag),
)  # fmt: skip


class Lrnnx:
    framework = "torch"
    options = {"conj_sym": False, "init": {"blocks": 1}}  # noqa: RUF012
    features = ("all_states", "bilinear", "dirac", "irregular")

    def __init__(self) -> None:
        self.text = imported("lrnnx.models.lti.s5", stubs=STUBS)
        self.discretizations = imported("lrnnx.core.discretization").DISCRETIZE_FNS

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> Any:
        Lambda_bar, gain = self.discretizations[method](Lambda, Delta, None)
        return Lambda_bar, torch.as_tensor(gain, dtype=Lambda.dtype).expand(Lambda_bar.shape)

    def _module(self, params: Any, discretization: str) -> Any:
        P, H = params["B"].shape
        return self.text.S5(H, P, discretization)

    @taking("discretization", "conj_sym")
    def ssm(self, params: Any, u: Any, **more: Any) -> Any:
        return torch_call(self._module(params, more.get("discretization", "zoh")), LEAVES.there(params), u)

    @taking("discretization", "conj_sym")
    def step(self, params: Any, state: Any, u_k: Any, **more: Any) -> Any:
        def stepped(module: Any, state: Any, u: Any) -> Any:
            cache = module.allocate_inference_cache(len(u)) | {"lrnn_state": state.clone()}
            y, cache = module.step(u, cache)
            return cache["lrnn_state"], y

        module = self._module(params, more.get("discretization", "zoh"))
        return torch_call(module, LEAVES.there(params), state, u_k, method=stepped)

    def init(self, config: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        made = dict(self.text.S5(config["d_model"], config["ssm_size"], "zoh").named_parameters())
        params = LEAVES.back(made)
        del params["D"]  # a matrix, of which S5 has the diagonal
        return prefixed("layers_0.seq", params)
