"""The kernels of a layer, each alone, at the shapes of a recipe, and the bytes that each must move."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.gpu.arrays import filled
from s5ref.bench.gpu.device import TimedDevice
from s5ref.bench.gpu.launches import repeated
from s5ref.model.leaves import parameter_count
from s5ref.model.model import Model
from s5ref.nn.norm import Running
from s5ref.optim.adamw import group_table

if TYPE_CHECKING:
    from s5ref.gpu.launch import Launcher

Call = Callable[[], Any]


class At:
    """The arrays that kernels take, at the shapes of a case."""

    def __init__(self, on: Launcher, case: Case) -> None:
        self.on, self.case = on, case
        self.to_device: Callable[[Array], Array] = on.device.to_device
        s = case.sizes
        self.N, self.L, self.H, self.P = s.sequences, case.length, s.H, s.P

    def u(self, key: str) -> Array:
        """(N, L, H), real."""
        return filled(self.on.device, (self.N, self.L, self.H), key)

    def x(self, key: str) -> Array:
        """(N, L, P'), complex."""
        return filled(self.on.device, (self.N, self.L, self.P), key, np.complex64)

    def channels(self, value: float) -> Array:
        """(H,)."""
        return self.to_device(np.full(self.H, value, np.float32))

    def multipliers(self) -> Array:
        """Λ̄ (P',) in the unit disc."""
        turns = np.linspace(0, 1, self.P, endpoint=False)
        return self.to_device((0.99 * np.exp(2j * np.pi * turns)).astype(np.complex64))

    def mask(self) -> Array | None:
        """(N, 1, H), where the recipe has dropout."""
        if self.case.model.dropout == 0:
            return None
        return self.to_device(np.ones((self.N, 1, self.H), np.float32))


class Kernel(NamedTuple):
    """How a kernel is called, and the bytes that it must move (docs/gpu.md's table).

    call   from the arrays of a case to what is timed; a vjp takes what its value saved
    bytes  in float32, for each element of the array that the kernel runs over
    over   that array: H, real (B, L, H); P, complex (B, L, P'); parameters
    """

    call: Callable[[At], Call]
    bytes: int
    over: str = "H"

    def traffic(self, case: Case) -> int:
        """Bytes of one launch, or of the launches that one call of the kernel makes."""
        if self.over == "parameters":
            return self.bytes * parameter_count(case.model)
        return self.bytes * case.sizes.rows * (case.sizes.H if self.over == "H" else case.sizes.P)


def kernel(on: TimedDevice, case: Case, what: str) -> Benchmark:
    """``what``: a name of `kernels`."""
    from s5ref.gpu.launch import Launcher

    return repeated(on, kernels()[what].call(At(Launcher(on.device), case)))


def kernels() -> dict[str, Kernel]:
    """By their names. Importing them needs no GPU."""
    from s5ref.gpu.activation import gelu_tanh, gelu_tanh_vjp
    from s5ref.gpu.norm import batch_norm, batch_norm_vjp
    from s5ref.gpu.scan import scan, scan_vjp
    from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp

    values: dict[str, Callable[[At], Call]] = {
        "scan": lambda at: partial(scan, at.on, at.multipliers(), at.x("Bu")),
        "batch_norm": lambda at: partial(
            batch_norm, at.on, at.u("x"), at.channels(1.0), at.channels(0.0),
            Running(at.channels(0.0), at.channels(1.0)), 0.95, True, None,
        ),
        "activate": lambda at: partial(activate, at.on, at.u("v"), at.u("u"), at.channels(1.0), at.mask()),
        "gate": lambda at: partial(gate, at.on, at.u("h"), at.u("z"), at.mask(), at.u("skip")),
        "gelu": lambda at: partial(gelu_tanh, at.on, at.u("x")),
    }  # fmt: skip

    def vjp(of: Callable[..., Any], name: str, cotangents: Callable[[At], Any]) -> Callable[[At], Call]:
        return lambda at: partial(of, at.on, values[name](at)()[-1], cotangents(at))

    return {
        "scan": Kernel(values["scan"], 16, "P"),
        "adjoint": Kernel(vjp(scan_vjp, "scan", lambda at: (at.x("dx"), None)), 24, "P"),
        "batch_norm": Kernel(values["batch_norm"], 12),
        "batch_norm_vjp": Kernel(vjp(batch_norm_vjp, "batch_norm", lambda at: at.u("dy")), 20),
        "activate": Kernel(values["activate"], 16),
        "activate_vjp": Kernel(vjp(activate_vjp, "activate", lambda at: (at.u("dy"), at.u("dg"))), 24),
        "gate": Kernel(values["gate"], 16),
        "gate_vjp": Kernel(vjp(gate_vjp, "gate", lambda at: at.u("dout")), 20),
        "gelu": Kernel(values["gelu"], 8),
        "gelu_vjp": Kernel(vjp(gelu_tanh_vjp, "gelu", lambda at: at.u("dy")), 12),
        "adamw": Kernel(_adamw, 28, "parameters"),
    }


def _adamw(at: At) -> Call:
    """On all parameters of the model, in place."""
    from s5ref.gpu.adamw import Flat, adamw_flat, flatten, layout, settings

    params, _ = Model(at.case.model).init(0, "float32")
    optim, where, to_device = at.case.config.optim, layout(params), at.to_device
    rates = {"ssm_lr": optim.ssm_lr, "lr": optim.lr}
    flat = flatten(where, params)
    state = Flat(to_device(flat), to_device(np.zeros_like(flat)), to_device(np.zeros_like(flat)))
    now = settings(where, 1, group_table(params, optim), rates).astype(np.float32)
    return partial(
        adamw_flat, at.on, state, to_device(np.full_like(flat, 1e-3)), to_device(where.ends), to_device(now)
    )
