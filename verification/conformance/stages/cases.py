"""The questions to each stage, each in float32 and float64 with the same inputs.

A case is built once in float64 from numbers that every binary float holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.tree import prefixed
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.forms import is_statistic
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
        "Lambda": n.eigenvalues(P), "B": n.complex(P, H, size=1.0), **C, "D": n(H),
        "log_step": n.log_steps(P),
    }  # fmt: skip


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


BASIC = ("M05", "M19")  # what every scan with cotangents catches


def discretize_cases() -> Cases:
    """Every method at ordinary sizes, and zero-order hold where the textbook formula fails."""
    for method in ("zoh", "bilinear"):
        yield from _discretize(method)
    yield from _zoh(
        "discretize/zoh/P4/large Lambda Delta", [-0.5 - 81j, -3.0 - 40j, -8.0 - 2j, -0.5 - 20j],
        [0.125, 0.5, 2.0, 1.0], "Products Lambda · Delta up to 20, where Euler and bilinear are far off.",
        ("M22",), "must",
    )  # fmt: skip
    yield from _zoh(
        "discretize/zoh/P6/Delta from 1e-4 to 1e-9", [-0.5 - 1.25j] * 3 + [-0.5 - 81j] * 3,
        [2.0 ** (-13), 2.0 ** (-20), 2.0 ** (-30)] * 2,
        "exp(z) − 1 cancels for small z: the gain of a textbook formula loses half of the digits here.",
        ("M23", "M18"), "should",
    )  # fmt: skip
    yield from _zoh(
        "discretize/zoh/P4/Lambda to 0",
        [0j, 2.0 ** (-40) + 0j, -2.0 ** (-30) - 2.0 ** (-31) * 1j, -1 - 1j],
        [0.25, 0.25, 0.5, 2.0 ** (-20)], "A division by Lambda gives NaN here; the gain tends to Delta.",
        ("M18",), "should",
    )  # fmt: skip
    yield from _discretize("dirac")


def _discretize(method: str) -> Cases:
    feature = () if method == "zoh" else (method,)
    usual = "may" if method == "dirac" else "should"
    for shape, words in (((4,), "P4"), ((), "P4/one Delta"), ((2, 3, 4), "N2/L3/P4/irregular")):
        name = f"discretize/{method}/{words}"
        n = Dyadic(name)
        yield from both(
            name, {"Lambda": n.eigenvalues(4), "Delta": 0.0625 + n.positive(*shape, size=0.5)},
            {"method": method},
            "Lambda_bar and the gain, where B_bar = gain · B; Delta is the step, not its logarithm.",
            catches=("M19", "M22") if method == "zoh" and shape == (4,) else (),
            level="must" if shape == (4,) and method == "zoh" else usual,
            features=(*feature, *(("irregular",) if "irregular" in words else ())),
            cotangent={"Lambda_bar": n.complex(*(shape or (4,))), "gain": n.complex(*(shape or (4,)))},
        )  # fmt: skip


def _zoh(
    name: str, Lambda: list[complex], Delta: list[float], comment: str, catches: tuple[str, ...], level: str
) -> Cases:
    n, P = Dyadic(name), len(Lambda)
    inputs = {"Lambda": np.array(Lambda, complex), "Delta": np.array(Delta)}
    d = {"Lambda_bar": n.complex(P), "gain": n.complex(P)}
    yield from both(name, inputs, {"method": "zoh"}, comment, catches=catches, level=level, cotangent=d)


def scan_cases() -> Cases:
    """Both directions, constant and varying multipliers, every length that a tile or a chunk may stumble
    on."""
    for reverse in (False, True):
        way = "reverse" if reverse else "forward"
        for L, P, catches, comment in (
            (9, 3, ("M04", "M10") if reverse else ("M06", "M10"),
             "Every input and every cotangent; L is odd."),
            (8, 3, (), "An even length."),
            (1, 3, ("M08", "M10"), "One step: the cotangent of x_last reaches it as that of x does."),
            (2, 2, (), "Two steps."),
        ):  # fmt: skip
            yield from _scan(f"scan/{way}/L{L}/P{P}", (L, P), reverse, comment, BASIC + catches)
        yield from _scan(
            f"scan/{way}/L9/P3/zero initial state", (9, 3), reverse, "Without x0.", BASIC, start=False
        )
        yield from _scan(
            f"scan/{way}/L9/P2/varying Lambda_bar", (9, 2), reverse,
            "A multiplier for every step and example.", BASIC, varying=True,
        )  # fmt: skip
        yield from _scan(
            f"scan/{way}/L70/P1", (70, 1), reverse,
            "Longer than a tile of 64, and no multiple of 8, 16 or 32.", ("M03", *BASIC), slow=True,
        )  # fmt: skip
    yield from _alone()
    yield from _resets()
    yield from _extremes()


def _scan(
    name: str,
    size: tuple[int, int],
    reverse: bool,
    comment: str,
    catches: tuple[str, ...],
    *,
    start: bool = True,
    varying: bool = False,
    slow: bool = False,
) -> Cases:
    n, (L, P) = Dyadic(name), size
    Lambda_bar: Array = n.multipliers(2, L, P) if varying else n.multipliers(P)
    if slow:  # so slowly decaying that a mistake far away still counts
        Lambda_bar = np.full(P, 0.875 - 0.4375j)
    inputs = {"Lambda_bar": Lambda_bar, "Bu": n.complex(2, L, P)}
    if start:
        inputs["x0"] = n.complex(2, P)
    cotangent = {"x": n.complex(2, L, P), "x_last": n.complex(2, P)}
    features = (*(("reverse",) if reverse else ()), *(("irregular",) if varying else ()))
    yield from both(
        name, inputs, {"reverse": reverse}, comment, catches=catches, features=features, cotangent=cotangent
    )


def _alone() -> Cases:
    name = "scan/forward/L9/P3/only x0 is not zero"
    n = Dyadic(name)
    inputs = {"Lambda_bar": n.multipliers(3), "Bu": np.zeros((2, 9, 3), complex), "x0": n.complex(2, 3)}
    yield from both(
        name, inputs, {"reverse": False},
        "x_k is the k-th power of the multiplier times x0: its gradient comes from every step, the first "
        "too.", catches=("M06", *BASIC), cotangent={"x": n.complex(2, 9, 3), "x_last": n.complex(2, 3)},
    )  # fmt: skip


def _resets() -> Cases:
    name = "scan/forward/L9/P2/resets at 0, 3, 4 and the last step"
    n = Dyadic(name)
    Lambda_bar = np.broadcast_to(n.multipliers(2), (2, 9, 2)).copy()
    Lambda_bar[:, [0, 3, 4, 8]] = 0
    inputs = {"Lambda_bar": Lambda_bar, "Bu": n.complex(2, 9, 2), "x0": n.complex(2, 2)}
    yield from both(
        name, inputs, {"reverse": False},
        "A multiplier of 0 forgets all before: the state after a reset at step k is Bu_k.",
        catches=("M26",), level="should", features=("irregular",),
        cotangent={"x": n.complex(2, 9, 2), "x_last": n.complex(2, 2)},
    )  # fmt: skip


def _extremes() -> Cases:
    for words, value, L, catches, comment in (
        ("strong decay", 2.0 ** (-8), 160, ("M17",),
         "Products of all multipliers underflow in every precision; a division by them gives NaN."),
        ("growth", 1.25, 24, (), "abs(Lambda_bar) > 1 is allowed and must not be clipped."),
        ("multiplier 1", 1.0, 24, (), "A pure sum."),
    ):  # fmt: skip
        name = f"scan/forward/L{L}/P1/{words}"
        n = Dyadic(name)
        inputs = {"Lambda_bar": np.array([value + 0j]), "Bu": n.complex(1, L, 1)}
        yield from both(
            name, inputs, {"reverse": False}, comment, catches=catches,
            level="must" if catches else "should",
            cotangent={"x": n.complex(1, L, 1), "x_last": n.complex(1, 1)},
        )  # fmt: skip


N, L, H, P = 2, 6, 2, 3  # the size of the cases of an SSM


def ssm_cases() -> Cases:
    """Every option that changes the mathematics of one SSM."""
    gaps: dict[str, Any] = {"intervals": True}
    for words, options, more, catches, level, comment in (
        ("conj_sym", {}, {}, ("M20", "M39", "M40", "M19"), "must",
         "Half of each conjugate pair is kept: y = 2 Re(C x) + D u."),
        ("all states", {"conj_sym": False}, {}, (), "should", "The full spectrum: y = Re(C x) + D u."),
        ("bidirectional", {"bidirectional": True}, {}, ("M36",), "must",
         "C1 reads the forward states, C2 the backward ones; both include u_k at step k."),
        ("bidirectional with C as one leaf", {"bidirectional": True}, {"C": "joined"}, (), "may",
         "The first half of C's columns reads the forward states."),
        ("initial state", {}, {"x0": True}, (), "should", "A state carried in, and its cotangent."),
        ("irregular", {}, gaps, ("M39",), "should",
         "Step k uses the interval before it, for Lambda_bar and gain."),
        ("irregular bidirectional", {"bidirectional": True}, gaps, ("M37",), "should",
         "Backwards, step k uses the interval after it, and 1 at the last step."),
        ("step_rescale 2", {"step_rescale": 2.0}, {}, (), "should", "Delta is doubled."),
        ("clip_eigs", {"clip_eigs": True}, {"clipped": True}, (), "should",
         "Re Lambda above −1e-4 counts as −1e-4, and has the gradient 0."),
        ("bilinear", {"discretization": "bilinear"}, {}, (), "should", "The bilinear transform."),
        ("dirac", {"discretization": "dirac"}, {}, (), "may", "Impulses: the gain is 1."),
    ):  # fmt: skip
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
        features = [w for w in ("bidirectional", "irregular", "clip_eigs", "bilinear", "dirac") if w in words]
        features += ["conj_sym"] if options.get("conj_sym", True) else ["all_states"]
        features += ["initial_state"] if "x0" in inputs else []
        yield from both(
            name, inputs, options, comment, catches=catches, level=level, features=tuple(features),
            cotangent={"y": n(N, L, H)},
        )  # fmt: skip


def layer_cases() -> Cases:
    """Activations, norms, dropout masks."""
    for activation in ("gelu", "half_glu1", "half_glu2", "full_glu"):
        for gelu in ("tanh", "erf"):
            yield from _layer(
                f"layer/{activation}/{gelu}", {"activation": activation, "gelu": gelu, "norm": "layer"},
                f"{activation} with the {gelu} form of GELU.", ("M31",) if gelu == "tanh" else (),
                "must" if gelu == "tanh" and activation.startswith("half") else "should",
                ("M35",) if activation == "half_glu2" else (),
            )  # fmt: skip
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
        "layer/layer norm of small numbers", base | {"norm": "layer"},
        "Variances of the size of LayerNorm's 1e-6: a different constant shows.", ("M32",), "should",
        size=2.0 ** (-9),
    )  # fmt: skip
    yield from _layer(
        "layer/dropout", base | {"norm": "layer", "train": True},
        "The masks are given: one per example and feature, the same at every step.", ("M34",), "should",
        masked=True,
    )  # fmt: skip
    yield from _layer(
        "layer/bidirectional",
        base | {"norm": "batch", "train": True, "bidirectional": True, "bn_momentum": 0.75},
        "Both directions inside a layer.", (), "must",
    )  # fmt: skip


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
        f"{name}/L5/H3/P2", inputs, options, comment, catches=catches + more, level=level,
        features=tuple(features), cotangent={"y": n(2, 5, 3)},
    )  # fmt: skip


CLASSES, SIZE_OF_MODEL = 3, "H3/P2"
LENGTHS = np.array([5, 3])


def model_cases() -> Cases:
    """Whole models of two layers, and the cotangent of every parameter."""
    layer, batch = {"norm": "layer"}, {"norm": "batch"}
    two = {"bidirectional": True}
    for words, options, more, catches, level, comment in (
        ("classifier", batch, {}, ("M07",), "must", "Two layers, running statistics, mean pooling."),
        ("classifier/bidirectional", batch | two, {}, ("M07", "M36"), "must",
         "Two layers, both directions."),
        ("classifier/training", batch | {"train": True}, {}, ("M07",), "must", "Statistics of the batch."),
        ("classifier/tokens", layer, {"tokens": True}, (), "must", "Whole-number inputs, one-hot encoded."),
        ("classifier/postnorm", layer | {"prenorm": False}, {}, (), "should", "LayerNorm after the skip."),
        ("classifier/last", layer | {"pooling": "last"}, {"lengths": True}, (), "may",
         "The last valid step."),
        ("classifier/padded as upstream", batch | two | {"train": True}, {"lengths": True}, (), "should",
         "Padding is excluded from the mean only: it enters the reverse scan and the statistics."),
        ("classifier/padded and masked", batch | two | {"train": True, "padding": "masked"},
         {"lengths": True}, ("M27",), "may", "What stands at padding changes no output and no gradient."),
        ("classifier/erf", layer | {"gelu": "erf"}, {}, (), "may", "The erf form of GELU throughout."),
        ("retrieval", layer | {"head": "retrieval"}, {"lengths": True}, (), "should",
         "Two documents through one encoder; features a, b, a − b, a · b."),
        ("regression", layer | {"head": "regression"}, {}, (), "should", "A value at every step."),
    ):  # fmt: skip
        name = f"model/{words}/L5/{SIZE_OF_MODEL}"
        n = Dyadic(name)
        chosen: dict[str, Any] = {
            "activation": "half_glu2", "gelu": "tanh", "train": False, "n_layers": 2, **options,
        }  # fmt: skip
        head, documents = chosen.get("head", "classifier"), (2,) if options.get("head") == "retrieval" else ()
        outputs = ("C1", "C2") if chosen.get("bidirectional") else ("C",)
        params = model_params(n, 4 if more.get("tokens") else 2, CLASSES, 2, chosen["norm"], outputs, head)
        shape = (2, *documents, 5)
        x = n.integers(4, *shape) if more.get("tokens") else n(*shape, 2)
        inputs: dict[str, Any] = {"params": params, "x": x}
        if more.get("lengths"):
            inputs["lengths"] = np.stack([LENGTHS, LENGTHS[::-1]]) if documents else LENGTHS
        d = n(*((2, 5, CLASSES) if head == "regression" else (2, CLASSES)))
        yield from both(
            name, inputs, chosen, comment, catches=catches, level=level,
            features=_features(chosen, more, head), cotangent={"log_probabilities": d},
        )  # fmt: skip


def _features(options: dict[str, Any], more: dict[str, Any], head: str) -> tuple[str, ...]:
    found = ["conj_sym", head, f"{options['norm']}_norm", f"gelu_{options['gelu']}"]
    found += [w for w in ("bidirectional", "train") if options.get(w)]
    found += [] if options.get("prenorm", True) else ["postnorm"]
    found += ["masked"] if options.get("padding") == "masked" else []
    found += ["tokens"] if more.get("tokens") else []
    return tuple(found + (["lengths"] if more.get("lengths") else []))


def step_cases() -> Cases:
    """One step of an SSM, and one step of a stack of layers, each layer with a state of its own."""
    choices: tuple[tuple[str, dict[str, Any]], ...] = (
        ("conj_sym", {}),
        ("all states", {"conj_sym": False}),
        ("step_rescale 2", {"step_rescale": 2.0}),
        ("bilinear", {"discretization": "bilinear"}),
        ("dirac", {"discretization": "dirac"}),
    )
    for words, options in choices:
        name = f"step/one SSM/{words}/H2/P3"
        n = Dyadic(name)
        features = ["all_states" if "conj_sym" in options else "conj_sym"]
        features += [words] if words in ("bilinear", "dirac") else []
        yield from both(
            name, {"params": ssm_params(n, 3, 2), "state": n.complex(2, 3), "u_k": n(2, 2)},
            {"of": "ssm", **options}, "x ← Lambda_bar x + B_bar u; y reads the new state.",
            catches=("M20", "M40") if words == "conj_sym" else (),
            level={"conj_sym": "must", "dirac": "may"}.get(words, "should"), features=tuple(features),
        )  # fmt: skip
    for norm in ("batch", "layer"):
        name = f"step/two layers/{norm} norm/{SIZE_OF_MODEL}"
        n = Dyadic(name)
        params = model_params(n, 2, 3, 2, norm)
        inputs = {"params": params, "state": (n.complex(2, 2), n.complex(2, 2)), "u_k": n(2, 2)}
        options = {"of": "model", "activation": "half_glu2", "gelu": "tanh", "norm": norm, "n_layers": 2}
        yield from both(
            name, inputs, options,
            "The state of a layer goes to that layer; y is the decoder at this step.", catches=("M01",),
            features=("conj_sym", "model_step", f"{norm}_norm", "gelu_tanh"),
        )  # fmt: skip


def init_cases() -> Cases:
    """Large enough that every moment of the draws is sharp."""
    base = {
        "n_layers": 1, "d_model": 256, "ssm_size": 128, "blocks": 4, "in_dim": 32, "n_classes": 32,
        "dt_min": 0.001, "dt_max": 0.1, "activation": "half_glu2", "seed": 0,
    }  # fmt: skip
    for words, c_init, more in (
        ("four blocks", "trunc_standard_normal", {}),
        ("one block", "lecun_normal", {"blocks": 1, "ssm_size": 64}),
        ("all states", "trunc_standard_normal", {"conj_sym": False, "ssm_size": 64}),
    ):
        options = base | more | {"c_init": c_init}
        catches = ("M02", "M21", "M25") if words == "four blocks" else ("M21", "M25")
        for dtype in ("float32", "float64"):
            yield from both(
                f"init/{words}/{c_init}", {}, options | {"dtype": dtype},
                "Eigenvalues of HiPPO-N block by block, the half with negative imaginary parts; moments "
                "of every draw.", catches=catches, level="must" if words == "four blocks" else "should",
                features=("all_states",) if "conj_sym" in more else ("conj_sym",),
            )  # fmt: skip


def update_cases() -> Cases:
    """AdamW with the groups of upstream: the first update and a later one, and one with gradients of zero."""
    rates = {"ssm_lr": 2.0**-8, "lr": 2.0**-6, "weight_decay": 2.0**-4}
    for opt_config in ("standard", "BandCdecay", "BfastandCdecay", "noBCdecay"):
        for k, zero, dt_global in ((0, False, False), (5, False, opt_config == "standard"), (5, True, False)):
            words = "gradients of zero" if zero else f"update {k}" + ("/dt_global" if dt_global else "")
            name = f"update/{opt_config}/{words}"
            n = Dyadic(name)
            params = model_params(n, 2, 3, 1, "layer")
            assert not any(map(is_statistic, params))
            grads = {name: 0 * leaf if zero else _like(n, leaf) for name, leaf in params.items()}
            moments = {"first": grads, "second": {name: 0 * leaf for name, leaf in params.items()}}
            if k and not zero:
                moments = {
                    "first": {name: _like(n, leaf) for name, leaf in params.items()},
                    "second": {name: _positive_like(n, leaf) for name, leaf in params.items()},
                }
            elif not zero:
                moments["first"] = moments["second"]
            joined = prefixed("first", moments["first"]) | prefixed("second", moments["second"])
            yield from both(
                name, {"params": params, "grads": grads, "moments": joined},
                {"opt_config": opt_config, "dt_global": dt_global, "k": k, **rates},
                "Which leaf takes which rate and decay; decay never enters the moments.",
                catches=("M16",) if zero and opt_config == "standard" else ("M38",) if not zero else (),
                level="must" if opt_config == "standard" and (not dt_global) else "should",
                features=("optimizer", *(("dt_global",) if dt_global else ())),
            )  # fmt: skip


def _like(n: Dyadic, leaf: Any) -> Any:
    return (n.complex if leaf.dtype.kind == "c" else n)(*leaf.shape, size=1.0)


def _positive_like(n: Dyadic, leaf: Any) -> Any:
    z = np.abs(n(*leaf.shape, size=1.0))
    return z + 1j * np.abs(n(*leaf.shape, size=1.0)) if leaf.dtype.kind == "c" else z
