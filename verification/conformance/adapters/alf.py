"""HorizonRobotics/alf: an S5 in torch of real matrices, for reinforcement learning; Λ is always clipped."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from s5ref.tree import prefixed
from s5ref.verification.conformance.adapters.imports import imported
from s5ref.verification.conformance.adapters.leaves import (
    LeafMap,
    Row,
    from_interleaved,
    interleaved,
    pair,
    same,
    transposed,
)
from s5ref.verification.conformance.adapters.put import torch_call
from s5ref.verification.conformance.protocol import taking


class Network(torch.nn.Module):
    """What an SSM takes of their networks: a module."""

    def __init__(self, name: str = "", **specs: Any) -> None:
        super().__init__()
        self.__dict__ |= specs


def _as_it_is(made: Any = None, **options: Any) -> Any:
    """In the place of their decorators."""
    return made or _as_it_is


STUBS = ("alf.utils", "alf.utils.common", "alf.utils.summary_utils", "alf.utils.tensor_utils", "alf.nest",
         "alf.nest.utils", "alf.tensor_specs", "absl")  # fmt: skip
GIVEN = {
    "alf.configurable": _as_it_is, "alf.repr_wrapper": _as_it_is, "alf.TensorSpec": tuple,
    "alf.networks.Network": Network, "alf.nest.map_structure": map, "alf.nest.get_field": getattr,
}  # fmt: skip
LEAVES = LeafMap(
    pair("Lambda", "_Lambda"), pair("B", "_B"), same("D", "_D"), same("log_step", "_log_step"),
    Row("C", ("_C",), lambda C: (interleaved(C.conj()),), lambda C: from_interleaved(C).conj()),
    transposed("kernel", "_weight"), same("bias", "_bias"), same("norm.scale", "norm.weight"),
    same("norm.bias"), same("norm.mean", "norm.running_mean"), same("norm.var", "norm.running_var"),
)  # fmt: skip


class Alf:
    framework = "torch"
    options = {"clip_eigs": True, "init": {"c_init": "lecun_normal", "conj_sym": True}}  # noqa: RUF012

    def __init__(self) -> None:
        self.text = imported("alf.networks.s5.s5", stubs=STUBS, given=GIVEN)

    def _made(self, Lambda: Any, D: Any) -> Any:
        return partial(self.text.S5SSM, len(D), 2 * len(Lambda), 1)

    @taking("final_state")
    def ssm(self, params: Any, u: Any, x0: Any = None, step_rescale: float = 1.0, **more: Any) -> Any:
        module = self._made(params["Lambda"], params["D"])(step_rescale=step_rescale)
        state = torch.zeros(len(u), module._state_dim, dtype=u.dtype) if x0 is None else interleaved(x0)
        y, last = torch_call(module, LEAVES.there(params), u.swapaxes(0, 1), state)
        return (y.swapaxes(0, 1), from_interleaved(last)) if more.get("final_state") else y.swapaxes(0, 1)

    def step(self, params: Any, state: Any, u_k: Any, step_rescale: float = 1.0) -> Any:
        module = self._made(params["Lambda"], params["D"])(step_rescale=step_rescale)
        y, state = torch_call(module, LEAVES.there(params), u_k, interleaved(state))
        return from_interleaved(state), y

    @taking("activation", "prenorm", "step_rescale")
    def layer(
        self, params: Any, x: Any, train: bool, masks: Any, bn_momentum: float = 0.95, **own: Any
    ) -> Any:
        if masks is not None:
            raise NotImplementedError("dropout draws its own masks")
        made, batch = self._made(params["seq.Lambda"], params["seq.D"]), "norm.mean" in params
        given = {"activation": "half_glu2", "prenorm": True} | own
        module = self.text.S5Block(made, dropout=0.0, batchnorm=batch, bn_momentum=1 - bn_momentum, **given)
        leaves = {f"_{name}".replace("_seq.", "_ssm."): leaf for name, leaf in LEAVES.there(params).items()}
        state = torch.zeros(len(x), 2 * len(params["seq.Lambda"]), dtype=x.dtype)
        y = torch_call(module.train(train), leaves, x.swapaxes(0, 1), state)[0].swapaxes(0, 1)
        return y, {f"norm.{name}": leaves[f"_norm.running_{name}"] for name in ("mean", "var") if batch}

    def init(self, config: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        blocks, steps = config.get("blocks", 1), (config["dt_min"], config["dt_max"])
        module = self.text.S5SSM(config["d_model"], config["ssm_size"], blocks, *steps)
        return prefixed("layers_0.seq", LEAVES.back(dict(module.named_parameters())))

    def audit(self) -> list[tuple[str, str]]:
        """What no stage asks: one step after the other in evaluation, with dropout."""
        torch.manual_seed(0)
        block = self.text.S5Block(partial(self.text.S5SSM, 3, 4, 1), 0.5, prenorm=True).eval()
        x, state = torch.rand(1, 2, 3), torch.zeros(2, 4)
        same = torch.allclose(block(x[0], state)[0], block(x, state)[0][0])
        return [("evaluation with dropout", "" if same else "a step by itself is not that of the sequence")]
