"""Parameters into modules of flax, equinox, haiku and torch, and functions of one example over a batch.

Leaves are flat, by the names that a `LeafMap` made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from s5ref.interop.flax import nested

Leaves = Mapping[str, Any]


def flax_variables(leaves: Leaves) -> dict[str, Any]:
    """The variables of a flax module, for ``module.apply``: leaves that end in ``mean`` or ``var`` are
    batch statistics.
    """
    statistics = {name for name in leaves if name.rpartition(".")[2] in ("mean", "var")}
    kept = {name.replace(".", "/"): x for name, x in leaves.items() if name not in statistics}
    running = {name.replace(".", "/"): x for name, x in leaves.items() if name in statistics}
    return {"params": nested(kept)} | ({"batch_stats": nested(running)} if running else {})


def equinox_put(module: Any, leaves: Leaves) -> Any:
    """The equinox module with these leaves, by the path of an attribute: ``layers.0.B``."""
    import equinox

    def at(module: Any) -> list[Any]:
        return [_attribute(module, name) for name in leaves]

    return equinox.tree_at(at, module, list(leaves.values()))


def haiku_params(leaves: Leaves) -> dict[str, dict[str, Any]]:
    """Haiku's parameters: ``s5/ssm.B`` is the leaf ``B`` of the module ``s5/ssm``."""
    params: dict[str, dict[str, Any]] = {}
    for name, leaf in leaves.items():
        module, _, last = name.rpartition(".")
        params.setdefault(module, {})[last] = leaf
    return params


def torch_call(
    module: Any, leaves: Leaves, *args: Any, method: str | Callable[..., Any] = "forward", **options: Any
) -> Any:
    """What a method of a torch module returns with these leaves in place of its own.

    Parameters
    ----------
    module : torch.nn.Module
    leaves : mapping of names to tensors
        By the names of ``module.named_parameters()``; those that are not given stay the module's own.
    args, options
        Of the method.
    method : str or callable
        ``"forward"``, ``"step"`` …, or a function of the module and the arguments.
    """
    import torch

    def call(of: Any, *args: Any, **options: Any) -> Any:
        if isinstance(method, str):
            return getattr(of, method)(*args, **options)
        return method(of, *args, **options)

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.of = module

        def forward(self, *args: Any, **options: Any) -> Any:
            return call(self.of, *args, **options)

    given = {f"of.{name}": leaf for name, leaf in leaves.items()}
    return torch.func.functional_call(Holder(), given, args, options)


def over_examples(function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of one example, (L, …), over the first axis of jax arrays (N, L, …); None stays None."""
    import jax

    axes = tuple(None if x is None else 0 for x in arrays)
    return jax.vmap(function, axes)(*arrays)


def _attribute(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = module[int(name)] if name.isdecimal() else getattr(module, name)
    return module
