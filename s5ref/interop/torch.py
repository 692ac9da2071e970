"""Our SSM, sequence layer and model as torch modules, so that the reference runs inside anyone's torch model.

The maths and its gradients are ours (CPU, float32 or float64, any engine); torch sees one differentiable
function. Complex cotangents are torch's: dz = ∂L/∂Re z + i ∂L/∂Im z, as ours. ``state_dict()`` has our
leaf names. Twice differentiating, vmap, other devices and other dtypes are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s5ref.arrays import Array, Leaves
from s5ref.engine import Call, Engine, as_engine
from s5ref.errors import ConfigError, ShapeError
from s5ref.interop.ops import Op, differentiable, layer_op, model_op, ssm_op
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.tree import subtree

_REAL = {torch.float32: "float32", torch.float64: "float64"}
_ACCEPTED = {*_REAL, torch.complex64, torch.complex128, torch.int64, torch.int32, torch.uint8}


class _Reference(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """An `Op` of named tensors; tensors that change in place before the backward pass are noticed by
    torch.
    """

    @staticmethod
    def forward(ctx: Any, op: Op, names: tuple[str, ...], *tensors: Any) -> tuple[Any, ...]:
        arrays = {name: _array(name, tensor) for name, tensor in zip(names, tensors, strict=True)}
        for name, needed in zip(names, ctx.needs_input_grad[2:], strict=True):
            if needed and not differentiable(name, arrays[name].dtype.kind):
                raise ConfigError(f"{name} has no gradient here, and requires one.", f"Pass {name}.detach().")
        moving = {name for name in names if differentiable(name, arrays[name].dtype.kind)}
        kept = {name: x if name in moving else x.copy() for name, x in arrays.items()}  # changed in place
        outputs, ctx.vjp = op.value_and_vjp(kept)
        ctx.names, ctx.outputs = names, tuple(outputs)
        ctx.save_for_backward(*[t for name, t in zip(names, tensors, strict=True) if name in moving])
        results = {name: torch.from_numpy(np.array(value)) for name, value in outputs.items()}
        constant = [value for name, value in results.items() if name.startswith("statistics.")]
        ctx.mark_non_differentiable(*constant)
        return tuple(results.values())

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # create_graph: the graph through the saved arrays would be missing
            raise ConfigError("s5ref has first derivatives only; got create_graph=True.", "Leave it out.")
        _ = ctx.saved_tensors  # raises where one was changed in place
        d = {name: _array(f"d{name}", value) for name, value in zip(ctx.outputs, cotangents, strict=True)}
        grads = ctx.vjp(d)
        needed = zip(ctx.names, ctx.needs_input_grad[2:], strict=True)
        tensors = [torch.from_numpy(np.array(grads[name])) if need else None for name, need in needed]
        return (None, None, *tensors)


def apply(op: Op, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of an `Op` of `s5ref.interop.ops` on tensors, differentiable by torch.

    Raises
    ------
    ShapeError
        On axes that do not fit, or another dtype.
    ConfigError
        On tensors of a device, or that require gradients which do not exist.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    run: Any = _Reference.apply
    results = run(op, tuple(given), *given.values())
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    return dict(zip(op.outputs(shapes), results, strict=True))


class _Leaves(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """Parameters and buffers under our dotted leaf names, and the `Op` that they are inputs of."""

    def __init__(
        self, leaves: tuple[Leaves, Leaves], make_op: Callable[[Call], Op],
        seed: int, engine: Engine | str | None, step_rescale: float,
    ) -> None:  # fmt: skip
        super().__init__()
        params, statistics = leaves
        self._names, self._running = tuple(params), tuple(statistics)
        for name, value in params.items():
            module, leaf = self._place(name)
            module.register_parameter(leaf, torch.nn.Parameter(torch.from_numpy(np.array(value))))
        for name, value in statistics.items():
            module, leaf = self._place(name)
            module.register_buffer(leaf, torch.from_numpy(np.array(value)))
        calls = [Call(as_engine(engine), training, step_rescale=step_rescale) for training in (False, True)]
        self.ops = {call.training: make_op(call) for call in calls}
        self.seed, self._updates = seed, 0

    def _place(self, name: str) -> tuple[Any, str]:
        *parents, leaf = name.split(".")
        module: Any = self
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, torch.nn.Module())
            module = module._modules[parent]
        return module, leaf

    def _outputs(self, **signal: Any) -> dict[str, Any]:
        """In training the dropout masks are keyed by (seed, calls before), and the statistics updated."""
        params = {f"params.{name}": self.get_parameter(name) for name in self._names}
        statistics = {f"statistics.{name}": self.get_buffer(name) for name in self._running}
        if self.training:
            signal["key"] = torch.tensor([self.seed, self._updates])
            self._updates += 1
        outputs = apply(self.ops[self.training], params | statistics | signal)
        for name in statistics.keys() & outputs.keys():
            statistics[name].copy_(outputs[name])
        return outputs

    def _sequence(self, return_state: bool, **signal: Any) -> Any:
        outputs = self._outputs(**signal)
        return (outputs["y"], outputs["state"]) if return_state else outputs["y"]

    def load_leaves(self, params: Leaves, statistics: Leaves | None = None) -> None:
        """Take over NumPy leaves, all of them."""
        leaves = {**params, **(statistics or {})}
        self.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in leaves.items()})


class S5SSM(_Leaves):
    """The SSM of one layer as a module: u (N, L, H) → y (N, L, H).

    Parameters
    ----------
    config : ModelConfig
    seed, layer : int
        The initial parameters are those of layer ``layer`` of `s5ref.Model` with that seed.
    dtype : torch.float32 or torch.float64
    engine : Engine, name or None
        None: the default one.
    step_rescale : float
        Multiplies Δ.
    """

    def __init__(
        self, config: ModelConfig, *, seed: int = 0, layer: int = 0, dtype: Any = torch.float32,
        engine: Engine | str | None = None, step_rescale: float = 1.0,
    ) -> None:  # fmt: skip
        params = subtree(_initial(config, seed, dtype)[0], f"layers_{layer}.seq")
        super().__init__((params, {}), partial(ssm_op, config), seed, engine, step_rescale)

    def forward(
        self, u: Any, initial_state: Any = None, intervals: Any = None, return_state: bool = False
    ) -> Any:
        """The SSM of u.

        Parameters
        ----------
        u : (N, L, H) real tensor
        initial_state : (N, P') complex tensor or None
        intervals : (N, L) tensor or None
            Sampling interval before each step, in units of the regular one.
        return_state : bool

        Returns
        -------
        y (N, L, H); with ``return_state`` (y, final state (N, P') complex)
        """
        return self._sequence(return_state, u=u, initial_state=initial_state, intervals=intervals)


class S5Layer(_Leaves):
    """One sequence layer as a module: norm, SSM, activation, gate, skip.

    Parameters
    ----------
    config, layer, dtype, engine, step_rescale
        As of `S5SSM`.
    seed : int
        Of the initial parameters, and with the number of calls in training mode the key of the dropout masks.
    """

    def __init__(
        self, config: ModelConfig, *, seed: int = 0, layer: int = 0, dtype: Any = torch.float32,
        engine: Engine | str | None = None, step_rescale: float = 1.0,
    ) -> None:  # fmt: skip
        params, statistics = (subtree(leaves, f"layers_{layer}") for leaves in _initial(config, seed, dtype))
        make_op = partial(layer_op, config, layer=layer)
        super().__init__((params, statistics), make_op, seed, engine, step_rescale)

    def forward(
        self, x: Any, initial_state: Any = None, intervals: Any = None, return_state: bool = False
    ) -> Any:
        """The layer of x: arguments and results as of `S5SSM.forward`.

        In training mode with batch statistics and dropout, like torch's own layers.
        """
        return self._sequence(return_state, x=x, initial_state=initial_state, intervals=intervals)


class S5Model(_Leaves):
    """A whole model as a module: arguments as of `S5Layer`."""

    def __init__(
        self, config: ModelConfig, *, seed: int = 0, dtype: Any = torch.float32,
        engine: Engine | str | None = None, step_rescale: float = 1.0,
    ) -> None:  # fmt: skip
        leaves = _initial(config, seed, dtype)
        super().__init__(leaves, partial(model_op, config), seed, engine, step_rescale)

    @classmethod
    def of_run(cls, run: str | Path, checkpoint: str = "best", engine: Engine | str | None = None) -> S5Model:
        """The trained model of a run folder."""
        from s5ref.train import runs

        loaded = runs.load(run, checkpoint)
        dtype = getattr(torch, loaded.params["encoder.kernel"].dtype.name)
        model = cls(loaded.config.model, dtype=dtype, engine=engine)
        model.load_leaves(loaded.params, loaded.statistics)
        return model.eval()  # type: ignore[no-any-return, unused-ignore]

    def forward(self, inputs: Any, lengths: Any = None, intervals: Any = None) -> Any:
        """The output of the model.

        Parameters
        ----------
        inputs, lengths, intervals : tensor or None
            As in `s5ref.Batch`.

        Returns
        -------
        (N, K) log-probabilities, or the values of a regression: as of `Model.forward`
        """
        return self._outputs(inputs=inputs, lengths=lengths, intervals=intervals)["output"]


def _initial(config: ModelConfig, seed: int, dtype: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    if dtype not in _REAL:
        raise ShapeError(f"s5ref computes in float32 or float64; got {dtype}.", "Choose one of them.")
    return Model(config).init(seed, _REAL[dtype])


def _array(name: str, tensor: Any) -> Array:
    if not isinstance(tensor, torch.Tensor):
        raise ShapeError(
            f"{name} must be a tensor; got a {type(tensor).__name__}.", "Convert it: torch.as_tensor."
        )
    if tensor.device.type != "cpu":
        raise ConfigError(f"{name} must be on the CPU; it is on {tensor.device}.", "Move it: tensor.cpu().")
    if tensor.dtype not in _ACCEPTED:
        raise ShapeError(
            f"{name} must be float32 or float64; got {tensor.dtype}.", "Cast it: tensor.float()."
        )
    array: Array = tensor.detach().resolve_conj().resolve_neg().contiguous().numpy()
    return array
