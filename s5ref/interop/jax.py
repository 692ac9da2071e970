"""Our SSM, sequence layer and model as jax functions: `jax.custom_vjp` around a callback to the host.

The maths and its gradients are ours (NumPy on the CPU, any engine); jax sees one function that it can
differentiate once, jit and vmap (sequentially). Complex cotangents are jax's, the conjugates of ours:
∂L/∂Re z − i ∂L/∂Im z. The backward pass computes the forward one again: a jax function keeps nothing on
the host between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.engines import NUMPY
from s5ref.errors import S5Error
from s5ref.interop.ops import Op, differentiable, layer_op, model_op, ssm_op
from s5ref.model.config import ModelConfig
from s5ref.ssm.ssm import SSMOptions
from s5ref.tree import prefixed, subtree

Leaves = Mapping[str, Any]
_Shape: Any = jax.ShapeDtypeStruct


def ssm(
    params: Leaves, u: Any, options: SSMOptions, *, x0: Any = None, intervals: Any = None,
    engine: Engine = NUMPY, step_rescale: float = 1.0,
) -> tuple[Any, Any]:  # fmt: skip
    """y (N, L, H) and the final state (N, P'), from u (N, L, H). params: the leaves below
    ``layers_i.seq``.
    """
    inputs = prefixed("params", params) | {"u": u, "x0": x0, "intervals": intervals}
    found = apply(ssm_op(options, engine, step_rescale), inputs)
    return found["y"], found["state"]


def layer(
    params: Leaves, statistics: Leaves, x: Any, config: ModelConfig, *, x0: Any = None,
    intervals: Any = None, training: bool = False, key: Any = None, engine: Engine = NUMPY,
    step_rescale: float = 1.0,
) -> tuple[Any, Any, dict[str, Any]]:  # fmt: skip
    """y (N, L, H), the final state, and the running statistics. params, statistics: the leaves below
    ``layers_i``.

    key: (seed, step) of the dropout masks, integers or an array of two; needed in training with dropout.
    """
    inputs = prefixed("params", params) | prefixed("statistics", statistics)
    inputs |= {"x": x, "x0": x0, "intervals": intervals, "key": _key(key)}
    found = apply(layer_op(config, engine, training, step_rescale), inputs)
    return found["y"], found["state"], subtree(found, "statistics") if training else dict(statistics)


def model(
    params: Leaves, statistics: Leaves, inputs: Any, config: ModelConfig, *, lengths: Any = None,
    intervals: Any = None, training: bool = False, key: Any = None, engine: Engine = NUMPY,
    step_rescale: float = 1.0,
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Output (log-probabilities (N, K), or (N, L, K) of a regression) and running statistics; inputs as
    in `s5ref.Batch`.
    """
    given = prefixed("params", params) | prefixed("statistics", statistics)
    given |= {"inputs": inputs, "lengths": lengths, "intervals": intervals, "key": _key(key)}
    found = apply(model_op(config, engine, training, step_rescale), given)
    return found["output"], subtree(found, "statistics") if training else dict(statistics)


def apply(op: Op, inputs: Leaves) -> dict[str, Any]:
    """The outputs of an `Op` of `s5ref.interop.ops` on jax arrays; what has no cotangent there is a
    constant.
    """
    given = {name: jnp.asarray(value) for name, value in inputs.items() if value is not None}
    real = np.dtype(next(x.dtype for name, x in given.items() if name.startswith("params.")))
    if real not in (np.float32, np.float64):
        raise S5Error(f"s5ref computes in float32 or float64; got {real}.", "Cast the parameters.")
    moving = {name: x for name, x in given.items() if differentiable(name, x.dtype.kind)}
    for name, x in moving.items():
        if x.dtype not in (real, np.result_type(real, np.complex64)):
            raise S5Error(f"{name} must have the dtype of the parameters, {real}; got {x.dtype}.", "Cast it.")
    constant = {name: jax.lax.stop_gradient(x) for name, x in given.items() if name not in moving}
    complex_ = np.result_type(real, np.complex64)
    shapes = {
        name: _Shape(shape, complex_ if is_complex else real)
        for name, (shape, is_complex) in op.outputs({name: x.shape for name, x in given.items()}).items()
    }

    def on_host(moving: Leaves, constant: Leaves) -> dict[str, Array]:
        return _contiguous(op.value(_arrays(moving) | _arrays(constant))[0])

    def vjp_on_host(moving: Leaves, constant: Leaves, d: Leaves) -> dict[str, Array]:
        residuals = op.value(_arrays(moving) | _arrays(constant))[1]
        found = op.vjp(residuals, {name: np.conj(x) for name, x in _arrays(d).items()})
        return _contiguous({name: np.conj(found[name]) for name in moving})

    def value(moving: Leaves, constant: Leaves) -> Any:
        return jax.pure_callback(on_host, shapes, moving, constant, vmap_method="sequential")

    reference = jax.custom_vjp(value)

    def forward(moving: Leaves, constant: Leaves) -> Any:
        return reference(moving, constant), (moving, constant)

    def backward(residuals: tuple[Leaves, Leaves], d: Leaves) -> Any:
        like = {name: _Shape(x.shape, x.dtype) for name, x in residuals[0].items()}
        return jax.pure_callback(vjp_on_host, like, *residuals, d, vmap_method="sequential"), None

    reference.defvjp(forward, backward)
    found: dict[str, Any] = reference(moving, constant)
    return found


def _key(key: Any) -> Any:
    return None if key is None else jnp.asarray(key)


def _arrays(leaves: Leaves) -> dict[str, Array]:
    return {name: np.asarray(x) for name, x in leaves.items()}


def _contiguous(leaves: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(x) for name, x in leaves.items()}
