"""The cases of ssm and layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.verification.conformance.stages.build import Cases, both, layer_params, ssm_params
from s5ref.verification.conformance.stages.draws import Dyadic

N, L, H, P = 2, 6, 2, 3


def ssm_cases() -> Cases:
    """Every option that changes the mathematics of one SSM."""
    gaps: dict[str, Any] = {"intervals": True}
    for words, options, more, catches, level, comment in (
        (
            "conj_sym",
            {},
            {},
            ("M20", "M39", "M40", "M19"),
            "must",
            "Half of each conjugate pair is kept: y = 2 Re(C x) + D u.",
        ),
        ("all states", {"conj_sym": False}, {}, (), "should", "The full spectrum: y = Re(C x) + D u."),
        (
            "bidirectional",
            {"bidirectional": True},
            {},
            ("M36",),
            "must",
            "C1 reads the forward states, C2 the backward ones; both include u_k at step k.",
        ),
        (
            "bidirectional with C as one leaf",
            {"bidirectional": True},
            {"C": "joined"},
            (),
            "may",
            "The first half of C's columns reads the forward states.",
        ),
        ("initial state", {}, {"x0": True}, (), "should", "A state carried in, and its cotangent."),
        (
            "irregular",
            {},
            gaps,
            ("M39",),
            "should",
            "Step k uses the interval before it, for Lambda_bar and gain.",
        ),
        (
            "irregular bidirectional",
            {"bidirectional": True},
            gaps,
            ("M37",),
            "should",
            "Backwards, step k uses the interval after it, and 1 at the last step.",
        ),
        ("step_rescale 2", {"step_rescale": 2.0}, {}, (), "should", "Delta is doubled."),
        (
            "clip_eigs",
            {"clip_eigs": True},
            {"clipped": True},
            (),
            "should",
            "Re Lambda above −1e-4 counts as −1e-4, and has the gradient 0.",
        ),
        ("bilinear", {"discretization": "bilinear"}, {}, (), "should", "The bilinear transform."),
    ):
        name = f"ssm/{words}/L{L}/H{H}/P{P}"
        n = Dyadic(name)
        outputs = ("C1", "C2") if "bidirectional" in options else ("C",)
        params = ssm_params(n, P, H, outputs)
        if more.get("C") == "joined":
            both_C = [params.pop("C1"), params.pop("C2")]
            params["C"] = np.concatenate(both_C, axis=1)
        if more.get("clipped"):
            params["Lambda"] = np.array([0.25, -(2.0**-20), -0.5]) + 1j * params["Lambda"].imag
        inputs: dict[str, Any] = {"params": params, "u": n(N, L, H)}
        if more.get("x0"):
            inputs["x0"] = n.complex(N, P)
        if more.get("intervals"):
            inputs["intervals"] = 0.5 + n.positive(N, L)
        features = [w for w in ("bidirectional", "irregular", "clip_eigs", "bilinear") if w in words]
        features += ["conj_sym"] if options.get("conj_sym", True) else ["all_states"]
        features += ["initial_state"] if "x0" in inputs else []
        yield from both(
            name,
            inputs,
            options,
            comment,
            catches=catches,
            level=level,
            features=tuple(features),
            cotangent={"y": n(N, L, H)},
        )


def layer_cases() -> Cases:
    """Activations, norms, dropout masks."""
    for activation in ("gelu", "half_glu1", "half_glu2", "full_glu"):
        for gelu in ("tanh", "erf"):
            yield from _layer(
                f"layer/{activation}/{gelu}",
                {"activation": activation, "gelu": gelu, "norm": "layer"},
                f"{activation} with the {gelu} form of GELU.",
                ("M31",) if gelu == "tanh" else (),
                "must" if gelu == "tanh" and activation.startswith("half") else "should",
                ("M35",) if activation == "half_glu2" else (),
            )
    base = {"activation": "half_glu2", "gelu": "tanh"}
    for norm in ("batch", "layer"):
        for prenorm in (True, False):
            for train in (True, False):
                words = f"{'prenorm' if prenorm else 'postnorm'}/{'training' if train else 'evaluation'}"
                yield from _layer(
                    f"layer/{norm} norm/{words}",
                    base | {"norm": norm, "prenorm": prenorm, "train": train, "bn_momentum": 0.75},
                    f"{norm} norm, where the norm stands, and which statistics it uses.",
                    ("M33",) if norm == "batch" and train else (),
                )
    yield from _layer(
        "layer/layer norm of small numbers",
        base | {"norm": "layer"},
        "Variances of the size of LayerNorm's 1e-6: a different constant shows.",
        ("M32",),
        "should",
        size=2.0**-9,
    )
    yield from _layer(
        "layer/dropout",
        base | {"norm": "layer", "train": True},
        "The masks are given: one per example and feature, the same at every step.",
        ("M34",),
        "should",
        masked=True,
    )
    yield from _layer(
        "layer/bidirectional",
        base | {"norm": "batch", "train": True, "bidirectional": True, "bn_momentum": 0.75},
        "Both directions inside a layer.",
        (),
        "must",
    )


def _layer(
    name: str,
    options: dict[str, Any],
    comment: str,
    catches: tuple[str, ...],
    level: str = "must",
    more: tuple[str, ...] = (),
    *,
    size: float = 2.0,
    masked: bool = False,
) -> Cases:
    n = Dyadic(name)
    outputs = ("C1", "C2") if options.get("bidirectional") else ("C",)
    options = {"train": False, **options}
    params = layer_params(n, 2, 3, options["activation"], options["norm"], outputs)
    inputs: dict[str, Any] = {"params": params, "x": n(2, 5, 3, size=size)}
    features = [options["activation"], f"{options['norm']}_norm", f"gelu_{options['gelu']}", "conj_sym"]
    features += [] if options.get("prenorm", True) else ["postnorm"]
    features += ["train"] if options["train"] else []
    features += ["bidirectional"] if options.get("bidirectional") else []
    if masked:
        inputs["masks"] = tuple(2.0 * n.integers(2, 2, 1, 3) for _ in range(2))
        features.append("dropout")
    yield from both(
        f"{name}/L5/H3/P2",
        inputs,
        options,
        comment,
        catches=catches + more,
        level=level,
        features=tuple(features),
        cotangent={"y": n(2, 5, 3)},
    )
