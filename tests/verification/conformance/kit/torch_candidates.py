"""Candidates in torch."""

from __future__ import annotations

from typing import Any

import torch


class Scan:
    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        xs, state = [], torch.zeros_like(Bu[:, 0]) if x0 is None else x0
        for k in reversed(range(Bu.shape[1])) if reverse else range(Bu.shape[1]):
            state = (Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k]) * state + Bu[:, k]
            xs.append(state)
        return torch.stack(xs[::-1] if reverse else xs, 1), state


class Detached(Scan):
    """The multiplier's gradient is lost."""

    def scan(self, Lambda_bar: Any, *args: Any) -> Any:
        return super().scan(Lambda_bar.detach(), *args)


class OnMeta(Scan):
    def scan(self, *args: Any) -> Any:
        return tuple(x.to("meta") for x in super().scan(*args))


class NotUnderAutodiff(Scan):
    """Its states go through NumPy, which torch refuses of what needs a gradient."""

    def scan(self, *args: Any) -> Any:
        x, last = super().scan(*args)
        return torch.from_numpy(x.numpy()), last


class BackwardRaises(Scan):
    def scan(self, *args: Any) -> Any:
        x, last = super().scan(*args)
        return Refusing.apply(x), last


class Refusing(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dx: Any) -> Any:
        raise FloatingPointError("no way back")
