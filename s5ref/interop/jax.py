"""Our SSM, sequence layer and model as jax functions: `jax.custom_vjp` around a callback to the host.

The maths and its gradients are ours (NumPy on the CPU, any engine); jax sees one function that it can
differentiate once, jit and vmap (sequentially). Complex cotangents are jax's, the conjugates of ours:
∂L/∂Re z − i ∂L/∂Im z. The backward pass computes the forward one again: a jax function keeps nothing on
the host between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Settings
from s5ref.errors import ConfigError, ShapeError
from s5ref.interop.ops import Op, differentiable, layer_op, model_op, ssm_op
from s5ref.model.config import LayerConfig, ModelConfig
from s5ref.ssm.config import SSMConfig
from s5ref.tree import prefixed, subtree

Leaves = Mapping[str, Any]
_Shape: Any = jax.ShapeDtypeStruct


def ssm(
    params: Leaves, u: Any, config: SSMConfig, *, intervals: Any = None, **settings: Unpack[Settings]
) -> tuple[Any, Any]:
    """The SSM alone.

    Parameters
    ----------
    params : dict
        The leaves below ``layers_i.seq``, as from `s5ref.SSM.init`.
    u : (N, L, H) real
    config : SSMConfig
    intervals : (N, L) or None
        Sampling interval before each step, in units of the regular one.
    **settings
        engine, step_rescale, initial_state (N, P') complex: `s5ref.Settings`.

    Returns
    -------
    y : (N, L, H), state : (N, P') complex

    Raises
    ------
    S5Error
        On shapes that do not fit, another dtype than float32 and float64, NaN or infinity in u.
    """
    call, of_call = _settings(settings)
    inputs = prefixed("params", params) | {"u": u, "intervals": intervals} | of_call
    out = apply(ssm_op(config, call), inputs)
    return out["y"], out["state"]


def layer(
    params: Leaves, statistics: Leaves, x: Any, config: LayerConfig, *, intervals: Any = None,
    **settings: Unpack[Settings],
) -> tuple[Any, Any, dict[str, Any]]:  # fmt: skip
    """A sequence layer.

    Parameters
    ----------
    params, statistics : dict
        The leaves below ``layers_i``, as from `s5ref.SequenceLayer.init`.
    x : (N, L, H) real
    config : LayerConfig
    intervals : (N, L) or None
        Sampling interval before each step, in units of the regular one.
    **settings
        engine, training, key, step_rescale, initial_state (N, P') complex: `s5ref.Settings`. ``key`` is
        (seed, step), integers or an array of two.

    Returns
    -------
    y : (N, L, H), state : (N, P') complex, statistics : dict

    Raises
    ------
    S5Error
        On shapes that do not fit, another dtype than float32 and float64, NaN or infinity in x.
    """
    call, of_call = _settings(settings)
    given = prefixed("params", params) | prefixed("statistics", statistics)
    out = apply(layer_op(config, call), given | {"x": x, "intervals": intervals} | of_call)
    return out["y"], out["state"], subtree(out, "statistics") if call.training else dict(statistics)


def model(
    params: Leaves, statistics: Leaves, inputs: Any, config: ModelConfig, *, lengths: Any = None,
    intervals: Any = None, **settings: Unpack[Settings],
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """A whole model.

    Parameters
    ----------
    params, statistics : dict
        As from `s5ref.Model.init`.
    inputs, lengths, intervals
        As in `s5ref.Batch`.
    config : ModelConfig
    **settings
        engine, training, key, step_rescale: `s5ref.Settings`.

    Returns
    -------
    output : (N, K) log-probabilities, or the values of a regression: as of `Model.forward`
    statistics : dict

    Raises
    ------
    ConfigError
        An initial state: a whole model takes none here.
    S5Error
        On inputs that `s5ref.Model.forward` refuses.
    """
    call, of_call = _settings(settings)
    if of_call["initial_state"] is not None:
        raise ConfigError("jax: a model takes no initial_state here.", "Use s5ref.Model, or layer by layer.")
    given = prefixed("params", params) | prefixed("statistics", statistics)
    given |= {"inputs": inputs, "lengths": lengths, "intervals": intervals} | of_call
    out = apply(model_op(config, call), given)
    return out["output"], subtree(out, "statistics") if call.training else dict(statistics)


def _settings(settings: Settings) -> tuple[Call, dict[str, Any]]:
    """What a function is made with, and what are inputs of it: jax traces these."""
    call = Call.of(True, settings)
    key = None if call.key is None else jnp.asarray(call.key)
    return replace(call, key=None, initial_state=None), {"key": key, "initial_state": call.initial_state}


def apply(op: Op, inputs: Leaves) -> dict[str, Any]:
    """The outputs of an `Op` of `s5ref.interop.ops` on jax arrays; what has no cotangent there is a
    constant.

    Raises
    ------
    ShapeError
        On dtypes that differ, or are neither float32 nor float64.
    """
    given = {name: jnp.asarray(value) for name, value in inputs.items() if value is not None}
    real = np.dtype(next(x.dtype for name, x in given.items() if name.startswith("params.")))
    if real not in (np.float32, np.float64):
        raise ShapeError(f"s5ref computes in float32 or float64; got {real}.", "Cast the parameters.")
    moving = {name: x for name, x in given.items() if differentiable(name, x.dtype.kind)}
    for name, x in moving.items():
        if x.dtype not in (real, np.result_type(real, np.complex64)):
            raise ShapeError(
                f"{name} must have the dtype of the parameters, {real}; got {x.dtype}.", "Cast it."
            )
    constant = {name: jax.lax.stop_gradient(x) for name, x in given.items() if name not in moving}
    complex_ = np.result_type(real, np.complex64)
    shapes = {
        name: _Shape(shape, complex_ if is_complex else real)
        for name, (shape, is_complex) in op.outputs({name: x.shape for name, x in given.items()}).items()
    }

    def on_host(moving: Leaves, constant: Leaves) -> dict[str, Array]:
        return _contiguous(op.value_and_vjp(_arrays(moving) | _arrays(constant))[0])

    def vjp_on_host(moving: Leaves, constant: Leaves, d: Leaves) -> dict[str, Array]:
        _, vjp = op.value_and_vjp(_arrays(moving) | _arrays(constant))
        grads = vjp({name: np.conj(x) for name, x in _arrays(d).items()})
        return _contiguous({name: np.conj(grads[name]) for name in moving})

    def value(moving: Leaves, constant: Leaves) -> Any:
        return jax.pure_callback(on_host, shapes, moving, constant, vmap_method="sequential")

    reference = jax.custom_vjp(value)

    def forward(moving: Leaves, constant: Leaves) -> Any:
        return reference(moving, constant), (moving, constant)

    def backward(residuals: tuple[Leaves, Leaves], d: Leaves) -> Any:
        like = {name: _Shape(x.shape, x.dtype) for name, x in residuals[0].items()}
        return jax.pure_callback(vjp_on_host, like, *residuals, d, vmap_method="sequential"), None

    reference.defvjp(forward, backward)
    outputs: dict[str, Any] = reference(moving, constant)
    return outputs


def _arrays(leaves: Leaves) -> dict[str, Array]:
    return {name: np.asarray(x) for name, x in leaves.items()}


def _contiguous(leaves: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(x) for name, x in leaves.items()}
