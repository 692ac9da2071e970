"""SforAiDl/lrnnx, the S5 of its time-varying models, with its reference scan in place of the CUDA kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import LeafMap, pair, same
from s5ref.verification.conformance.adapters.lrnnx_lti import STUBS
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking

LEAVES = LeafMap(pair("Lambda", "A"), pair("B"), pair("C"), same("D"), same("log_step", "log_dt"))


class Lrnnx:
    """Its times between events enter as in the asynchronous form, whatever the discretisation is."""

    framework = "torch"
    options = {"init": {"blocks": 1}}  # noqa: RUF012
    features = ("conj_sym", "all_states", "bilinear", "dirac", "async", "irregular")

    def __init__(self) -> None:
        self.text = imported("lrnnx.models.ltv.s5", stubs=STUBS)
        self.text.simplified_scan_fn = imported("lrnnx.ops.simplified_scan", stubs=STUBS).simplified_scan_ref

    def _module(self, params: Any, step_rescale: float, more: Any) -> Any:
        P, H = params["B"].shape
        method = more.get("discretization", "zoh").replace("async", "zoh")
        return self.text.S5(H, P, method, more.get("conj_sym", True), step_rescale=step_rescale)

    @taking("discretization", "conj_sym")
    def ssm(self, params: Any, u: Any, step_rescale: float = 1.0, intervals: Any = None, **more: Any) -> Any:
        if intervals is not None and more.get("discretization") != "async":
            raise NotImplementedError("intervals of the asynchronous form alone")
        return torch_call(self._module(params, step_rescale, more), LEAVES.there(params), u, intervals)

    @taking("discretization", "conj_sym", "step_rescale")
    def step(self, params: Any, state: Any, u_k: Any, **more: Any) -> Any:
        def stepped(module: Any, state: Any, u: Any) -> Any:
            cache = module.allocate_inference_cache(len(u), 1) | {"ssm_state": state.clone()}
            y, cache = module.step(u, cache)
            return cache["ssm_state"], y[:, 0]

        module = self._module(params, more.get("step_rescale", 1.0), more)
        return torch_call(module, LEAVES.there(params), state, u_k, method=stepped)

    def init(self, config: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - what it draws from
        conj_sym = config.get("conj_sym", True)
        P = config["ssm_size"] // (2 if conj_sym else 1)
        steps = {"dt_min": config["dt_min"], "dt_max": config["dt_max"]}
        made = dict(self.text.S5(config["d_model"], P, "zoh", conj_sym, **steps).named_parameters())
        params = LEAVES.back(made)
        if config["c_init"] != "trunc_standard_normal":
            del params["C"]  # which is drawn in one way
        return prefixed("layers_0.seq", params)
