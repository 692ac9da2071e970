"""The built-in target ``s5-pytorch``: that package as it is, its own functions called as they are.

The kit's parameters go into an `s5.S5` unchanged; nothing is rearranged to make it agree. `layer` puts the
pieces of its S5Block (torch's LayerNorm and GELU) into S5's order, since that block is another layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import torch

from s5ref.tree import prefixed, subtree
from s5ref.verification.conformance.adapters import LeafMap, one_C, pair, same, torch_call
from s5ref.verification.conformance.adapters.parts import attempted, discretize_by, scan_by
from s5ref.verification.conformance.protocol import taking

s5: Any = import_module("s5")
associative_scan = import_module("s5.jax_compat").associative_scan
DISCRETIZE = {"zoh": s5.discretize_zoh, "bilinear": s5.discretize_bilinear}
LEAVES = LeafMap(pair("B"), *map(same, ("Lambda", "C", "D", "log_step")))
Leaves = dict[str, Any]


@cache
def _module(features: int, states: int, bidirectional: bool, discretization: str) -> Any:
    module = s5.S5(features, states, bidir=bidirectional)
    module.seq.discretize = DISCRETIZE[discretization]
    return module


class S5PyTorch:
    """Its stages for the kit."""

    framework = "torch"
    options: ClassVar = {  # it keeps all states
        "conj_sym": False, "layer": {"activation": "gelu", "norm": "layer", "prenorm": True},
    }  # fmt: skip

    def discretize(self, Lambda: Any, Delta: Any, method: str = "zoh") -> Any:
        return discretize_by(DISCRETIZE, Lambda, Delta, method)

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any = None, reverse: bool = False) -> tuple[Any, Any]:
        Lambdas = Lambda_bar.expand(Bu.shape)
        states = [None] * len(Bu) if x0 is None else x0
        pairs = [
            scan_by(associative_scan, s5.binary_operator, (a, b), start, reverse)
            for a, b, start in zip(Lambdas, Bu, states, strict=True)
        ]
        x, last = zip(*pairs, strict=True)
        return torch.stack(x), torch.stack(last)

    def ssm(
        self, params: Leaves, u: Any, x0: Any = None, bidirectional: bool = False, step_rescale: float = 1.0,
        intervals: Any = None, discretization: str = "zoh", final_state: bool = False,
    ) -> Any:  # fmt: skip
        module = _module(u.shape[-1], len(params["Lambda"]), bidirectional, discretization)
        scale = step_rescale if intervals is None else step_rescale * intervals
        asked = {"step_scale": scale, "state": x0, "return_state": final_state}
        return torch_call(module, prefixed("seq", LEAVES.there(one_C(params))), u, **asked)

    def step(
        self, params: Leaves, state: Any, u_k: Any, step_rescale: float = 1.0, discretization: str = "zoh"
    ) -> tuple[Any, Any]:
        module = _module(u_k.shape[-1], len(params["Lambda"]), False, discretization).seq
        leaves = LEAVES.there(params)
        pairs = [
            torch_call(module, leaves, *given, step_rescale, method="forward_rnn")
            for given in zip(u_k, state, strict=True)
        ]
        ys, states = zip(*pairs, strict=True)
        return torch.stack(states), torch.stack(ys)

    def _layer(
        self, params: Leaves, x: Any, train: bool = False, masks: Any = None, **options: Any
    ) -> tuple[Any, Leaves]:
        """``gelu`` is taken and has no effect: the package has one form."""
        block = s5.S5Block(x.shape[-1], 2, False)
        given = {"weight": params["norm.scale"], "bias": params["norm.bias"]}
        u = torch_call(block.attn_norm, given, x)
        y = self.ssm(
            subtree(params, "seq"), u, **{name: value for name, value in options.items() if name != "gelu"}
        )
        y = torch.nn.functional.gelu(y)  # as S5Block calls it
        return x + (y if masks is None or masks[0] is None else y * masks[0]), {}

    layer = taking("intervals", "gelu", "bidirectional", "step_rescale", "discretization")(_layer)

    def init(self, config: dict[str, Any], seed: int) -> Leaves:
        torch.manual_seed(seed)
        made = s5.S5(
            config["d_model"], config["ssm_size"], block_count=config.get("blocks", 1),
            dt_min=config["dt_min"], dt_max=config["dt_max"],
        ).seq  # fmt: skip
        params = LEAVES.back(dict(made.named_parameters()))
        if config["c_init"] != "lecun_normal":
            del params["C"]  # which is drawn in one way
        return prefixed("layers_0.seq", params)

    def audit(self) -> Any:
        """(what, what came of it instead) of the package's own functions that raise."""
        attempts: dict[str, Callable[[], Any]] = {
            "initial_state": lambda: s5.S5(4, 4).initial_state(2),
            "bcInit=dense_columns": lambda: s5.S5(4, 4, bcInit="dense_columns"),
            "bcInit=complex_normal": lambda: s5.S5(4, 4, bcInit="complex_normal"),
            "factor_rank=2": lambda: s5.S5(4, 4, factor_rank=2, bcInit="factorized"),
            "state_width and block_count": lambda: s5.S5(4, 8, block_count=2),
        }
        return attempted(attempts)
