"""The cases of model, step, init and update."""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.tree import prefixed
from s5ref.verification.conformance.stages.build import MODEL_SIZE, Cases, both, model_params, ssm_params
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.forms import is_statistic

(P, H), CLASSES = MODEL_SIZE, 3
LENGTHS = np.array([5, 3])


def model_cases() -> Cases:
    """Whole models of two layers, and the cotangent of every parameter."""
    layer, batch = {"norm": "layer"}, {"norm": "batch"}
    two = {"bidirectional": True}
    for words, options, more, catches, level, comment in (
        ("classifier", batch, {}, ("M07",), "must", "Two layers, running statistics, mean pooling."),
        ("classifier/bidirectional", batch | two, {}, ("M07", "M36"), "must", "Two layers, both directions."),
        ("classifier/training", batch | {"train": True}, {}, ("M07",), "must", "Statistics of the batch."),
        ("classifier/tokens", layer, {"tokens": True}, (), "must", "Whole-number inputs, one-hot encoded."),
        ("classifier/postnorm", layer | {"prenorm": False}, {}, (), "should", "LayerNorm after the skip."),
        (
            "classifier/last",
            layer | {"pooling": "last"},
            {"lengths": True},
            (),
            "may",
            "The last valid step.",
        ),
        (
            "classifier/padded as upstream",
            batch | two | {"train": True},
            {"lengths": True},
            (),
            "should",
            "Padding is excluded from the mean only: it enters the reverse scan and the statistics.",
        ),
        (
            "classifier/padded and masked",
            batch | two | {"train": True, "padding": "masked"},
            {"lengths": True},
            ("M27",),
            "may",
            "What stands at padding changes no output and no gradient.",
        ),
        ("classifier/erf", layer | {"gelu": "erf"}, {}, (), "may", "The erf form of GELU throughout."),
        (
            "retrieval",
            layer | {"head": "retrieval"},
            {"lengths": True},
            (),
            "should",
            "Two documents through one encoder; features a, b, a − b, a · b.",
        ),
        ("regression", layer | {"head": "regression"}, {}, (), "should", "A value at every step."),
    ):
        name = f"model/{words}/L5/H{H}/P{P}"
        n = Dyadic(name)
        chosen: dict[str, Any] = {
            "activation": "half_glu2",
            "gelu": "tanh",
            "train": False,
            "n_layers": 2,
            **options,
        }
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
            name,
            inputs,
            chosen,
            comment,
            catches=catches,
            level=level,
            features=_features(chosen, more, head),
            cotangent={"log_probabilities": d},
        )


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
    )
    for words, options in choices:
        name = f"step/one SSM/{words}/H2/P3"
        n = Dyadic(name)
        features = ["all_states" if "conj_sym" in options else "conj_sym"]
        features += ["bilinear"] if words == "bilinear" else []
        yield from both(
            name,
            {"params": ssm_params(n, 3, 2), "state": n.complex(2, 3), "u_k": n(2, 2)},
            {"of": "ssm", **options},
            "x ← Lambda_bar x + B_bar u; y reads the new state.",
            catches=("M20", "M40") if words == "conj_sym" else (),
            level="must" if words == "conj_sym" else "should",
            features=tuple(features),
        )
    for norm in ("batch", "layer"):
        name = f"step/two layers/{norm} norm/H{H}/P{P}"
        n = Dyadic(name)
        params = model_params(n, 2, 3, 2, norm)
        inputs = {"params": params, "state": (n.complex(2, P), n.complex(2, P)), "u_k": n(2, 2)}
        options = {"of": "model", "activation": "half_glu2", "gelu": "tanh", "norm": norm, "n_layers": 2}
        yield from both(
            name,
            inputs,
            options,
            "The state of a layer goes to that layer; y is the decoder at this step.",
            catches=("M01",),
            features=("conj_sym", "model_step", f"{norm}_norm", "gelu_tanh"),
        )


def init_cases() -> Cases:
    """Large enough that every moment of the draws is sharp."""
    base = {
        "n_layers": 1,
        "d_model": 256,
        "ssm_size": 128,
        "blocks": 4,
        "in_dim": 32,
        "n_classes": 32,
        "dt_min": 0.001,
        "dt_max": 0.1,
        "activation": "half_glu2",
        "seed": 0,
    }
    for words, c_init, more in (
        ("four blocks", "trunc_standard_normal", {}),
        ("one block", "lecun_normal", {"blocks": 1, "ssm_size": 64}),
        ("all states", "trunc_standard_normal", {"conj_sym": False, "ssm_size": 64}),
    ):
        options = base | more | {"c_init": c_init}
        catches = ("M02", "M21", "M25") if words == "four blocks" else ("M21", "M25")
        for dtype in ("float32", "float64"):
            yield from both(
                f"init/{words}/{c_init}",
                {},
                options | {"dtype": dtype},
                "Eigenvalues of HiPPO-N block by block, the half with negative imaginary parts; moments "
                "of every draw.",
                catches=catches,
                level="must" if words == "four blocks" else "should",
                features=("all_states",) if "conj_sym" in more else ("conj_sym",),
            )


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
                name,
                {"params": params, "grads": grads, "moments": joined},
                {"opt_config": opt_config, "dt_global": dt_global, "k": k, **rates},
                "Which leaf takes which rate and decay; decay never enters the moments.",
                catches=("M16",) if zero and opt_config == "standard" else ("M38",) if not zero else (),
                level="must" if opt_config == "standard" and not dt_global else "should",
                features=("optimizer", *(("dt_global",) if dt_global else ())),
            )


def _like(n: Dyadic, leaf: Any) -> Any:
    return (n.complex if leaf.dtype.kind == "c" else n)(*leaf.shape, size=1.0)


def _positive_like(n: Dyadic, leaf: Any) -> Any:
    z = np.abs(n(*leaf.shape, size=1.0))
    return z + 1j * np.abs(n(*leaf.shape, size=1.0)) if leaf.dtype.kind == "c" else z
