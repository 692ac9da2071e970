"""The names and shapes of a model's parameters and running statistics, from its configuration alone."""

from __future__ import annotations

import math

from s5ref.model.config import ModelConfig
from s5ref.ssm.ssm import initial_state_names
from s5ref.tree import prefixed

Shapes = dict[str, tuple[int, ...]]

MAPS, HIDDEN = 12, 30  # of the image encoder: channels of both convolutions, width of the dense layer
GATES = {"gelu": (), "half_glu1": ("out2",), "half_glu2": ("out2",), "full_glu": ("out1", "out2")}


def parameter_shapes(config: ModelConfig, joined_C: bool | None = None) -> Shapes:
    """Leaf name → shape.

    A bidirectional C is two leaves C1, C2, or joined into one (None: joined with complex_normal only, as
    upstream stores it).
    """
    H, kept = config.d_model, config.kept
    if joined_C is None:
        joined_C = config.c_init == "complex_normal"
    if not config.bidirectional:
        C: Shapes = {"C": (H, kept, 2)}
    elif joined_C:
        C = {"C": (H, 2 * kept, 2)}
    else:
        C = {"C1": (H, kept, 2), "C2": (H, kept, 2)}
    seq = {"Lambda_re": (kept,), "Lambda_im": (kept,), "B": (kept, H, 2), **C, "D": (H,)}
    seq["log_step"] = (config.timescales,)
    seq |= dict.fromkeys(initial_state_names(config.ssm_options()), (kept, 2))
    layer = prefixed("seq", seq) | {"norm.scale": (H,), "norm.bias": (H,)}
    for gate in GATES[config.activation]:
        layer |= prefixed(gate, _dense(H, H))
    encoder = image_shapes(config) if config.encoder == "image" else _dense(config.in_dim, H)
    shapes = prefixed("encoder", encoder)
    for i in range(config.n_layers):
        shapes |= prefixed(f"layers_{i}", layer)
    if config.head == "retrieval":
        decoder = _two_layers(4 * H, H, config.n_classes)
    elif config.head == "gaussian_regression":
        parts = (prefixed(part, _two_layers(H, H, config.n_classes)) for part in ("mean", "variance"))
        decoder = {name: shape for part in parts for name, shape in part.items()}
    else:
        decoder = _dense(H, config.n_classes)
    return shapes | prefixed("decoder", decoder)


def image_shapes(config: ModelConfig) -> Shapes:
    """The leaves of the image encoder. Its poolings and its second convolution halve the side three times."""
    maps = MAPS * config.in_dim // 64
    convolutions = prefixed("conv1", _of_kernel((5, 5, 1, MAPS))) | prefixed(
        "conv2", _of_kernel((3, 3, MAPS, MAPS))
    )
    last = HIDDEN + (config.intervals == "appended")
    return convolutions | prefixed("dense", _dense(maps, HIDDEN)) | _dense(last, config.d_model)


def parameter_count(config: ModelConfig) -> int:
    """The number of parameters that `Model.init` would make, without making them."""
    return sum(map(math.prod, parameter_shapes(config).values()))


def statistics_shapes(config: ModelConfig) -> Shapes:
    """Leaf name → shape of the running statistics; {} with LayerNorm."""
    if config.norm != "batch":
        return {}
    names = [f"layers_{i}.norm.{leaf}" for i in range(config.n_layers) for leaf in ("mean", "var")]
    return dict.fromkeys(names, (config.d_model,))


def _two_layers(inputs: int, hidden: int, outputs: int) -> Shapes:
    return prefixed("layer1", _dense(inputs, hidden)) | prefixed("layer2", _dense(hidden, outputs))


def _dense(inputs: int, outputs: int) -> Shapes:
    return _of_kernel((inputs, outputs))


def _of_kernel(shape: tuple[int, ...]) -> Shapes:
    return {"kernel": shape, "bias": shape[-1:]}
