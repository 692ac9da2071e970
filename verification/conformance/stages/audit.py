"""What must hold of initial parameters whatever the random numbers are: Λ, and the moments of every draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array

SIGMAS = 6.0  # a moment may be so many standard deviations off


def audit(params: Mapping[str, Array], options: Mapping[str, Any]) -> dict[str, Array]:
    """Numbers of the first layer and the encoder of joined parameters: those of `expected`.

    Phases of eigenvectors are arbitrary, and so are B̃ and C̃ one by one: their mean squares are not.
    """
    p = {name: np.asarray(leaf) for name, leaf in params.items()}
    low, high = (math.log(options[name]) for name in ("dt_min", "dt_max"))
    place = (_of(p, "log_step").astype(np.float64) - low) / (high - low)
    kernels = {
        "encoder": p["encoder.kernel"],
        "decoder": p["decoder.kernel"],
        "gate": p["layers_0.out2.kernel"],
    }
    constants = [p[n] for n in ("encoder.bias", "decoder.bias", "layers_0.out2.bias", "layers_0.norm.bias")]
    constants.append(p["layers_0.norm.scale"] - 1)
    outside = max(0.0, -float(place.min()), float(place.max()) - 1)
    found = {
        "Lambda": _of(p, "Lambda"),
        "B.mean_square": _mean_square(_of(p, "B")),
        "C.mean_square": _mean_square(_of(p, "C")),
        "D.mean": np.asarray(np.mean(_of(p, "D").astype(np.float64))),
        "D.mean_square": _mean_square(_of(p, "D")),
        "log_step.mean_place": np.asarray(np.mean(place)),
        "log_step.outside": np.asarray(outside if outside > 1e-6 else 0.0),
        "constant.largest_error": np.asarray(max(float(np.max(np.abs(c))) for c in constants)),
    }
    return found | {f"kernel.{name}.mean_square": _mean_square(k) for name, k in kernels.items()}


def expected(options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """{number: (what it is on average, how far off it may be)}, Λ left out."""
    H, P, inputs = options["d_model"], options["ssm_size"], options["in_dim"]
    kept = P // 2 if options.get("conj_sym", True) else P
    lecun = options["c_init"] == "lecun_normal"
    outputs = options["n_classes"]

    def square(value: float, draws: int) -> tuple[float, float]:
        return value, SIGMAS * value * math.sqrt(2 / draws)  # at most the kurtosis of a normal

    return {
        "B.mean_square": square(1 / P, kept * H),
        "C.mean_square": square(2 / (H * P) if lecun else 2 / P, kept * H),
        "D.mean": (0.0, SIGMAS / math.sqrt(H)),
        "D.mean_square": square(1.0, H),
        "log_step.mean_place": (0.5, SIGMAS / math.sqrt(12 * kept)),
        "log_step.outside": (0.0, 0.0),
        "constant.largest_error": (0.0, 0.0),
        "kernel.encoder.mean_square": square(1 / inputs, inputs * H),
        "kernel.decoder.mean_square": square(1 / H, H * outputs),
        "kernel.gate.mean_square": square(1 / H, H * H),
    }


def _of(params: Mapping[str, Array], leaf: str) -> Array:
    return params[f"layers_0.seq.{leaf}"]


def _mean_square(x: Array) -> Array:
    wide = x.astype(np.result_type(x.dtype, np.float64))
    return np.asarray(np.mean(wide.real**2 + wide.imag**2))
