"""The peers ``s5-pytorch`` and ``s5-pytorch-compiled``: the SSM of that package as it is, called as its
users call it, and the same under `torch.compile`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch

from s5ref.arrays import Array
from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.interop.s5_pytorch import ssm_from_state, ssm_to_state
from s5ref.model.model import Model
from s5ref.tree import prefixed, subtree


def build(case: Case, what: str, compiled: bool = False) -> Benchmark:
    """``what``: train_step (forward, and the gradients of every parameter and of u), forward."""
    module, (u, dy) = _layer(case), case.features()
    layer = torch.compile(module) if compiled else module
    given, cotangent = torch.from_numpy(u), torch.from_numpy(dy)

    def forward() -> Any:
        with torch.no_grad():
            return layer(given)

    def gradient() -> Any:
        module.zero_grad(set_to_none=True)
        inputs = given.requires_grad_()
        inputs.grad = None
        y = layer(inputs)
        y.backward(cotangent)
        return y.detach()

    if what == "forward":
        return Benchmark(forward, lambda: {"output": forward().numpy()})
    return Benchmark(
        gradient, lambda: {"output": gradient().numpy(), "grad.u": given.grad.numpy()} | _grads(module.seq)
    )


def build_compiled(case: Case, what: str) -> Benchmark:
    """`build` under `torch.compile`."""
    return build(case, what, compiled=True)


def _layer(case: Case) -> Any:
    """An `s5.S5` that holds our parameters."""
    params = subtree(Model(case.model).init(0, case.config.train.dtype)[0], "layers_0.seq")
    layer: Any = import_module("s5").S5(case.model.d_model, case.model.ssm_size)
    with torch.no_grad():
        for name, value in ssm_to_state(params, conj_sym=False).items():
            getattr(layer.seq, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return layer


def _grads(seq: Any) -> dict[str, Array]:
    return prefixed("grad", ssm_from_state({
        name: parameter.grad.resolve_conj().numpy() for name, parameter in seq.named_parameters()
    }))  # fmt: skip
