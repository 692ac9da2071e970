"""How a case is built: once in float64, then given in both precisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from s5ref.arrays import Array
from s5ref.tree import prefixed
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Arrays, Case
from s5ref.verification.rounding.budget import cast

SHORT = {"float32": "f32", "float64": "f64"}
MODEL_SIZE = 2, 3  # P and H of the cases of models
Cases = Iterator[Case]


def both(
    name: str,
    inputs: dict[str, Any],
    options: dict[str, Any],
    comment: str,
    *,
    catches: tuple[str, ...] = (),
    level: str = "must",
    features: tuple[str, ...] = (),
    cotangent: Arrays | None = None,
) -> Cases:
    """The case ``name`` in float32 and float64, or in the dtype of its options; the stage is the first word
    of its name."""
    for dtype in [options["dtype"]] if "dtype" in options else SHORT:
        yield Case(
            f"{name}/{SHORT[dtype]}",
            name.split("/")[0],
            cast(inputs, dtype),
            options,
            comment,
            catches,
            level,
            features,
            dtype,
            name,
            cast(cotangent or {}, dtype),
        )


def ssm_params(n: Dyadic, P: int, H: int, outputs: tuple[str, ...] = ("C",)) -> dict[str, Array]:
    """Joined parameters of one SSM with P kept states."""
    C = {name: n.complex(H, P, size=1.0) for name in outputs}
    return {
        "Lambda": n.eigenvalues(P),
        "B": n.complex(P, H, size=1.0),
        **C,
        "D": n(H),
        "log_step": n.log_steps(P),
    }


def layer_params(
    n: Dyadic, P: int, H: int, activation: str, norm: str, outputs: tuple[str, ...] = ("C",)
) -> dict[str, Array]:
    """Joined parameters of one layer, running statistics included."""
    params = prefixed("seq", ssm_params(n, P, H, outputs))
    params |= {"norm.scale": 0.5 + n.positive(H, size=1.0), "norm.bias": n(H, size=1.0)}
    if norm == "batch":
        params |= {"norm.mean": n(H, size=0.5), "norm.var": 0.5 + n.positive(H, size=1.0)}
    gates = {"gelu": (), "full_glu": ("out1", "out2")}.get(activation, ("out2",))
    for gate in gates:
        params |= {f"{gate}.kernel": n(H, H, size=1.0), f"{gate}.bias": n(H, size=0.5)}
    return params


def model_params(
    n: Dyadic,
    inputs: int,
    classes: int,
    layers: int,
    norm: str,
    outputs: tuple[str, ...] = ("C",),
    head: str = "classifier",
) -> dict[str, Array]:
    """Joined parameters of a whole model with half_glu2."""
    P, H = MODEL_SIZE
    params = {"encoder.kernel": n(inputs, H, size=1.0), "encoder.bias": n(H, size=0.5)}
    for i in range(layers):
        params |= prefixed(f"layers_{i}", layer_params(n, P, H, "half_glu2", norm, outputs))
    shapes = {"decoder": (H, classes)}
    if head == "retrieval":
        shapes = {"decoder.layer1": (4 * H, H), "decoder.layer2": (H, classes)}
    for name, shape in shapes.items():
        params |= {f"{name}.kernel": n(*shape, size=1.0), f"{name}.bias": n(shape[1], size=0.5)}
    return params
