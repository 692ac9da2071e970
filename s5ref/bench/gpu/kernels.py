"""The kernels of a layer, each alone, at the shapes of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from s5ref.arrays import Array
from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.gpu.arrays import filled
from s5ref.bench.gpu.device import TimedDevice
from s5ref.bench.gpu.launches import repeated
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


def kernel(on: TimedDevice, case: Case, what: str) -> Benchmark:
    """``what``: a name of `calls`."""
    from s5ref.gpu.launch import Launcher

    return repeated(on, calls()[what](At(Launcher(on.device), case)))


def calls() -> dict[str, Callable[[At], Call]]:
    """How each kernel is called. A vjp takes what its value saved."""
    from s5ref.gpu.activation import gelu_tanh, gelu_tanh_vjp
    from s5ref.gpu.norm import batch_norm, batch_norm_vjp
    from s5ref.gpu.scan import scan, scan_vjp
    from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp

    def norm(at: At) -> Call:
        running = Running(at.channels(0.0), at.channels(1.0))
        return partial(
            batch_norm, at.on, at.u("x"), at.channels(1.0), at.channels(0.0), running, 0.95, True, None
        )

    return {
        "scan": lambda at: partial(scan, at.on, at.multipliers(), at.x("Bu")),
        "adjoint": lambda at: partial(
            scan_vjp, at.on, scan(at.on, at.multipliers(), at.x("Bu"))[-1], (at.x("dx"), None)
        ),
        "batch_norm": norm,
        "batch_norm_vjp": lambda at: partial(batch_norm_vjp, at.on, norm(at)()[-1], at.u("dy")),
        "activate": lambda at: partial(activate, at.on, at.u("v"), at.u("u"), at.channels(1.0), at.mask()),
        "activate_vjp": lambda at: partial(
            activate_vjp, at.on,
            activate(at.on, at.u("v"), at.u("u"), at.channels(1.0), at.mask())[-1], (at.u("dy"), at.u("dg")),
        ),
        "gate": lambda at: partial(gate, at.on, at.u("h"), at.u("z"), at.mask(), at.u("skip")),
        "gate_vjp": lambda at: partial(
            gate_vjp, at.on, gate(at.on, at.u("h"), at.u("z"), at.mask(), at.u("skip"))[-1], at.u("dout")
        ),
        "gelu": lambda at: partial(gelu_tanh, at.on, at.u("x")),
        "gelu_vjp": lambda at: partial(gelu_tanh_vjp, at.on, gelu_tanh(at.on, at.u("x"))[-1], at.u("dy")),
        "adamw": _adamw,
    }  # fmt: skip


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
