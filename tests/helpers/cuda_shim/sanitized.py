"""`python -m cuda_shim.sanitized SANITIZER KERNELS [OLD NEW]`: runs kernels under a sanitizer, which must be
preloaded; OLD in their text is replaced by NEW. Prints "clean" at the end; a report ends the process before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from cuda_shim.device import ShimDevice
from cuda_shim.module import CpuModule
from s5ref.arrays import Array
from s5ref.gpu.adamw import Flat, adamw_flat
from s5ref.gpu.engine import engine_of
from s5ref.gpu.irregular_scan import KERNELS, PerStepCoefficients, irregular_scan, irregular_scan_vjp
from s5ref.gpu.launch import Launcher
from s5ref.gpu.scan import scan, scan_vjp
from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp
from s5ref.random import generator
from s5ref.verification.rounding.budget import cast
from s5ref.verification.selfcheck.fields import cases, outcome


def normal(*shape: int) -> Array:
    return np.asarray(generator("sanitized", *shape).standard_normal(shape), np.float32)


def complex_normal(*shape: int) -> Array:
    return np.ascontiguousarray(normal(*shape, 2)).view(np.complex64)[..., 0]


def scans(on: Launcher, *shape: int) -> None:
    N, _L, P = shape
    for size in ((P,), shape):
        _, residuals = scan(
            on, 0.1 * complex_normal(*size), complex_normal(*shape), complex_normal(N, P), True
        )
        scan_vjp(on, residuals, (complex_normal(*shape), complex_normal(N, P)))


def irregular(on: Launcher, *shape: int) -> None:
    N, L, P = shape
    for rule in sorted(set(KERNELS.values())):
        coefficients = PerStepCoefficients(rule, -np.abs(normal(P)) + 0j, normal(P) ** 2, normal(N, L) ** 2)
        _, residuals = irregular_scan(on, coefficients, complex_normal(*shape), complex_normal(N, P), True)
        add_to = complex_normal(*shape)
        irregular_scan_vjp(on, residuals, (complex_normal(*shape), complex_normal(N, P)), add_to)


def tail(on: Launcher) -> None:
    x, mask = normal(2, 70, 40), normal(2, 1, 40)
    _, residuals = activate(on, x, x + 1, normal(40), mask)
    activate_vjp(on, residuals, (x, x))
    _, gated = gate(on, x, x, mask, x)
    gate_vjp(on, gated, x)


def adamw(on: Launcher) -> None:
    state = Flat(normal(300), normal(300), normal(300) ** 2)
    adamw_flat(on, state, normal(300), np.array([7, 300]), np.full(6, 0.1, np.float32))


def field(on: Launcher, name: str) -> None:
    case = next(cases(name))
    outcome(getattr(engine_of(on.device), name), cast(case.args, "float32"), cast(case.dy, "float32"))


RUNS: dict[str, Callable[[Launcher], None]] = {
    "scan, two rows a warp": lambda on: scans(on, 1, 250, 13),
    "scan, one row a warp": lambda on: scans(on, 1, 180, 40),
    "scan, look-back": lambda on: scans(on, 1, 600, 3),
    "irregular scan, two rows a warp": lambda on: irregular(on, 1, 250, 13),
    "irregular scan, look-back": lambda on: irregular(on, 1, 600, 3),
    "batch_norm": partial(field, name="batch_norm"),
    "gelu_tanh": partial(field, name="gelu_tanh"),
    "glu": partial(field, name="glu"),
    "tail": tail,
    "adamw": adamw,
}


def main(sanitizer: str, engine: str, old: str = "", new: str = "") -> None:
    CpuModule.sanitizer = sanitizer
    for name in [name for name in RUNS if name.startswith(engine)]:
        for order in (0, 1):
            RUNS[name](Launcher(ShimDevice(order, lambda code: code.replace(old, new) if old else code)))
    print("clean")


if __name__ == "__main__":
    main(*sys.argv[1:])
