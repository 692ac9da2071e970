"""The questions to each stage, each in float32 and float64 with the same inputs.

A case is built once in float64 from numbers that every binary float holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.model.leaves import GATES
from s5ref.tree import prefixed
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Arrays, Case, Options
from s5ref.verification.rounding.budget import cast

SHORT = {"float32": "f32", "float64": "f64"}
Cases = Iterator[Case]


def standing() -> Cases:
    """What is asked about one option at a time, stage by stage in the order of a computation."""
    return chain(
        discretize_cases(), scan_cases(), ssm_cases(), layer_cases(), model_cases(), step_cases(),
        init_cases(), update_cases(),
    )  # fmt: skip


def both(
    n: Dyadic, inputs: dict[str, Any], options: Options, comment: str, *, catches: tuple[str, ...] = (),
    level: str = "must", features: tuple[str, ...] = (), cotangent: Arrays | None = None,
) -> Cases:  # fmt: skip
    """The case that ``n`` draws for, in float32 and float64; the stage is the first word of its name."""
    stage = n.name.split("/")[0]
    for dtype, short in SHORT.items():
        given = {**options, "dtype": dtype} if stage == "init" else options
        yield Case(
            f"{n.name}/{short}", stage, cast(inputs, dtype), given, comment, catches, level, features, dtype,
            n.name, cast(cotangent or {}, dtype),
        )  # fmt: skip


def ssm_params(n: Dyadic, P: int, H: int, bidirectional: bool = False) -> dict[str, Array]:
    """Joined parameters of one SSM with P kept states."""
    C = {name: n.complex(H, P, size=1.0) for name in (("C1", "C2") if bidirectional else ("C",))}
    return {
        "Lambda": n.eigenvalues(P), "B": n.complex(P, H, size=1.0), **C, "D": n(H),
        "log_step": n.log_steps(P),
    }  # fmt: skip


def layer_params(
    n: Dyadic, P: int, H: int, activation: str, norm: str, bidirectional: bool = False
) -> dict[str, Array]:
    """Joined parameters of one layer, running statistics included."""
    params = prefixed("seq", ssm_params(n, P, H, bidirectional))
    params |= {"norm.scale": 0.5 + n.positive(H, size=1.0), "norm.bias": n(H, size=1.0)}
    if norm == "batch":
        params |= {"norm.mean": n(H, size=0.5), "norm.var": 0.5 + n.positive(H, size=1.0)}
    for gate in GATES[activation]:
        params |= _dense(n, gate, H, H)
    return params


def model_params(
    n: Dyadic, inputs: int, layers: int, norm: str, bidirectional: bool = False, head: str = "classifier",
    activation: str = "half_glu2",
) -> dict[str, Array]:  # fmt: skip
    """Joined parameters of a whole model of H = 3 features and P = 2 states a layer."""
    H, P = 3, 2
    params = _dense(n, "encoder", inputs, H)
    for i in range(layers):
        params |= prefixed(f"layers_{i}", layer_params(n, P, H, activation, norm, bidirectional))
    if head == "none":
        return params
    if head == "retrieval":
        return params | _dense(n, "decoder.layer1", 4 * H, H) | _dense(n, "decoder.layer2", H, CLASSES)
    return params | _dense(n, "decoder", H, CLASSES)


def _dense(n: Dyadic, name: str, inputs: int, outputs: int) -> dict[str, Array]:
    return {f"{name}.kernel": n(inputs, outputs, size=1.0), f"{name}.bias": n(outputs, size=0.5)}


def _spectrum(options: Options) -> str:
    """The feature: whether half of the conjugate pairs is kept, or all states."""
    return "conj_sym" if options.get("conj_sym", True) else "all_states"


def discretize_cases() -> Cases:
    """Every method at ordinary sizes, and zero-order hold where the textbook formula fails."""
    yield from _ordinary("zoh")
    yield from _ordinary("bilinear")
    for words, Lambda, Delta, comment, catches, level in (
        ("P4/large Lambda Delta", [-0.5 - 81j, -3.0 - 40j, -8.0 - 2j, -0.5 - 20j], [0.125, 0.5, 2.0, 1.0],
         "Products Lambda · Delta up to 20, where Euler and bilinear are far off.", ("M22",), "must"),
        ("P6/Delta from 1e-4 to 1e-9", [-0.5 - 1.25j] * 3 + [-0.5 - 81j] * 3,
         [2.0**-13, 2.0**-20, 2.0**-30] * 2,
         "exp(z) − 1 cancels for small z: the gain of a textbook formula loses half of the digits here.",
         ("M23", "M18"), "should"),
        ("P4/Lambda to 0", [0j, 2.0**-40 + 0j, -(2.0**-30) - 2.0**-31 * 1j, -1 - 1j],
         [0.25, 0.25, 0.5, 2.0**-20], "A division by Lambda gives NaN here; the gain tends to Delta.",
         ("M18",), "should"),
    ):  # fmt: skip
        n = Dyadic(f"discretize/zoh/{words}")
        yield from _discretize(n, np.array(Lambda), np.array(Delta), "zoh", comment, catches, level)
    yield from _ordinary("dirac")


def _ordinary(method: str) -> Cases:
    for words, shape in (("P4", (4,)), ("P4/one Delta", ()), ("N2/L3/P4/irregular", (2, 3, 4))):
        n = Dyadic(f"discretize/{method}/{words}")
        first = (method, words) == ("zoh", "P4")
        features = () if method == "zoh" else (method,)
        catches = ("M19", "M22") if first else ("M48",) if method == "bilinear" else ()
        yield from _discretize(
            n, n.eigenvalues(4), 0.0625 + n.positive(*shape, size=0.5), method,
            "Lambda_bar and the gain, where B_bar = gain · B; Delta is the step, not its logarithm.",
            catches, "must" if first else "may" if method == "dirac" else "should",
            (*features, "irregular") if "irregular" in words else features,
        )  # fmt: skip


def _discretize(
    n: Dyadic, Lambda: Array, Delta: Array, method: str, comment: str, catches: tuple[str, ...], level: str,
    features: tuple[str, ...] = (),
) -> Cases:  # fmt: skip
    shape = Delta.shape or Lambda.shape
    yield from both(
        n, {"Lambda": Lambda, "Delta": Delta}, {"method": method}, comment, catches=catches, level=level,
        features=features, cotangent={"Lambda_bar": n.complex(*shape), "gain": n.complex(*shape)},
    )  # fmt: skip


BASIC = ("M05", "M11", "M19")  # what every scan of several steps with all its cotangents catches


def scan_cases() -> Cases:
    """Both directions, constant and varying multipliers, every length that a tile or a chunk may stumble
    on."""
    catches: tuple[str, ...]
    for reverse in (False, True):
        way, own = ("reverse", ("M04", "M50")) if reverse else ("forward", ("M06",))
        for L, P, words, catches, comment in (
            (9, 3, "", (*BASIC, *own, "M10", "M49"), "Every input and every cotangent; L is odd."),
            (8, 3, "", BASIC, "An even length."),
            (1, 3, "", (*BASIC, "M08", "M10", "M49"),
             "One step: the cotangent of x_last reaches it as that of x does."),
            (2, 2, "", BASIC, "Two steps."),
            (9, 3, "/zero initial state", BASIC, "Without x0."),
            (9, 2, "/varying Lambda_bar", BASIC, "A multiplier for every step and example."),
            (70, 1, "", ("M03", *BASIC), "Longer than a tile of 64, and no multiple of 8, 16 or 32."),
        ):  # fmt: skip
            n, varying = Dyadic(f"scan/{way}/L{L}/P{P}{words}"), "varying" in words
            Lambda_bar = n.multipliers(*((2, L, P) if varying else (P,)))
            if L == 70:  # so slowly decaying that a mistake far away still counts
                Lambda_bar = np.full(P, 0.875 - 0.4375j)
            Bu = n.complex(2, L, P)
            yield from _scan(
                n, Lambda_bar, Bu, {} if "zero" in words else {"x0": n.complex(2, P)}, comment, catches,
                features=(*(("reverse",) if reverse else ()), *(("irregular",) if varying else ())),
            )  # fmt: skip
    n = Dyadic("scan/forward/L9/P3/only x0 is not zero")
    yield from _scan(
        n, n.multipliers(3), np.zeros((2, 9, 3), complex), {"x0": n.complex(2, 3)},
        "x_k is the k-th power of the multiplier times x0: its gradient comes from every step, the first "
        "too.", ("M06", *BASIC),
    )  # fmt: skip
    n = Dyadic("scan/forward/L9/P2/resets at 0, 3, 4 and the last step")
    Lambda_bar = np.broadcast_to(n.multipliers(2), (2, 9, 2)).copy()
    Lambda_bar[:, [0, 3, 4, 8]] = 0
    yield from _scan(
        n, Lambda_bar, n.complex(2, 9, 2), {"x0": n.complex(2, 2)},
        "A multiplier of 0 forgets all before: the state after a reset at step k is Bu_k.", ("M26",),
        "should", ("irregular",),
    )  # fmt: skip
    for words, way, L, catches, comment in (
        ("resets", "forward", 9, ("M41", "M67"),
         "At 0, where they win over x0, at two neighbours and at the last step: the state before is zero."),
        ("resets to a state", "forward", 9, ("M41", "M51"),
         "The same, from reset_state; another row, other flags."),
        ("resets to a state", "reverse", 9, ("M41", "M51"),
         "The state that comes from the step after is replaced."),
        ("resets to a state/varying Lambda_bar", "forward", 9, ("M26", "M41"),
         "The multiplier of the reset's own step acts on reset_state."),
        ("resets to a state/varying Lambda_bar", "reverse", 9, ("M26", "M41"), "The same, backwards."),
        ("resets to a state", "forward", 1, (), "A single step, reset in one row and not in the other."),
        ("resets to a state", "forward", 70, ("M41",), "Beside and at the border of a tile of 64."),
    ):  # fmt: skip
        n = Dyadic(f"scan/{way}/L{L}/P2/{words}")
        resets = np.zeros((2, L), bool)
        rows: tuple[list[int], list[int]] = ([0, 3, 4, 8], [1, 5])
        if L != 9:
            rows = ([0], []) if L == 1 else ([1, 63, 64], [32, 65])
        resets[0, rows[0]] = resets[1, rows[1]] = True
        more = {"resets": resets} | ({"reset_state": n.complex(2)} if "state" in words else {})
        varying = "varying" in words
        features = (
            *(("reverse",) if way == "reverse" else ()), "resets", *(("irregular",) if varying else ()),
        )  # fmt: skip
        yield from _scan(
            n, n.multipliers(*((2, L, 2) if varying else (2,))), n.complex(2, L, 2),
            {"x0": n.complex(2, 2), **more}, comment, (*BASIC, *catches), "should", features,
        )  # fmt: skip
    for words, value, L, catches, level, comment in (
        ("strong decay", 2.0**-8, 160, ("M17",), "must",
         "Products of all multipliers underflow in every precision; a division by them gives NaN."),
        ("growth", 1.25, 24, (), "should", "abs(Lambda_bar) > 1 is allowed and must not be clipped."),
        ("multiplier 1", 1.0, 24, (), "should", "A pure sum."),
    ):  # fmt: skip
        n = Dyadic(f"scan/forward/L{L}/P1/{words}")
        yield from _scan(n, np.array([value + 0j]), n.complex(1, L, 1), {}, comment, catches, level)


def _scan(
    n: Dyadic, Lambda_bar: Array, Bu: Array, more: Arrays, comment: str, catches: tuple[str, ...],
    level: str = "must", features: tuple[str, ...] = (),
) -> Cases:  # fmt: skip
    N, _, P = Bu.shape
    inputs = {"Lambda_bar": Lambda_bar, "Bu": Bu, **more}
    options, d = {"reverse": "reverse" in features}, {"x": n.complex(*Bu.shape), "x_last": n.complex(N, P)}
    yield from both(n, inputs, options, comment, catches=catches, level=level, features=features, cotangent=d)


RULES = ("bilinear", "dirac", "async", "foh")
ASYNC, FOH = {"discretization": "async"}, {"discretization": "foh"}
DIRAC = {"discretization": "dirac"}
FINAL = {"final_state": True}


def ssm_cases() -> Cases:
    """Every option that changes the mathematics of one SSM."""
    N, H, P = 2, 2, 3
    two, learned = {"bidirectional": True}, {"learn_initial_state": True}
    for words, options, catches, level, comment in (
        ("conj_sym", {}, ("M20", "M39", "M40", "M19", "M60"), "must",
         "Half of each conjugate pair is kept: y = 2 Re(C x) + D u."),
        ("all states", {"conj_sym": False}, (), "should", "The full spectrum: y = Re(C x) + D u."),
        ("bidirectional", two, ("M36", "M50"), "must",
         "C1 reads the forward states, C2 the backward ones; both include u_k at step k."),
        ("bidirectional with C as one leaf", two, (), "may",
         "The first half of C's columns reads the forward states."),
        ("initial state", {}, ("M49",), "should", "A state carried in, and its cotangent."),
        ("irregular", {}, ("M39", "M63"), "should",
         "Step k uses the interval before it, for Lambda_bar and gain."),
        ("irregular bidirectional", two, ("M37",), "should",
         "Backwards, step k uses the interval after it, and 1 at the last step."),
        ("step_rescale 2", {"step_rescale": 2.0}, ("M64",), "should", "Delta is doubled."),
        ("clip_eigs", {"clip_eigs": True}, ("M68", "M75"), "should",
         "Re Lambda above −1e-4 counts as −1e-4, and has the gradient 0."),
        ("bilinear", {"discretization": "bilinear"}, ("M48",), "should", "The bilinear transform."),
        ("bilinear irregular", {"discretization": "bilinear"}, (), "should", "Both depend on the interval."),
        ("dirac", DIRAC, (), "may", "Impulses: the gain is 1."),
        ("dirac irregular", DIRAC, (), "may", "The interval enters Lambda_bar alone. Some are 0."),
        ("dirac irregular bidirectional", DIRAC | two, (), "may", "Each direction decays over its interval."),
        ("async", ASYNC, (), "may", "Without intervals it is zero-order hold."),
        ("async irregular", ASYNC, ("M44",), "may",
         "The interval enters Lambda_bar alone; the gain is zero-order hold's over one step. Some are 0."),
        ("async irregular bidirectional", two | ASYNC, ("M44",), "may",
         "Backwards, step k decays over the interval after it."),
        ("foh", FOH, ("M45",), "may", "First-order hold: u is linear between steps, 0 before the first."),
        ("foh bidirectional", FOH | two, ("M45",), "may", "Backwards, the other sample is the next one."),
        ("foh irregular", FOH, ("M45",), "may", "Both gains are those of the interval before the step."),
        ("foh irregular bidirectional", two | FOH, ("M45",), "may",
         "Backwards, u of the next step and the interval after this one; 0 and 1 at the last."),
        ("foh initial state", FOH, ("M45",), "may",
         "The state carried in is x, followed by B u of the step before, without gain."),
        ("resets", {}, ("M41",), "should", "An episode does not see the one before it."),
        ("resets bidirectional irregular", two, ("M41", "M42"), "should",
         "Backwards the state is replaced at the step before a reset, after which the interval is 1."),
        ("foh resets", FOH, ("M41", "M45"), "may", "At a reset the input of the step before counts as 0."),
        ("foh resets bidirectional irregular", FOH | two, ("M41", "M45"), "may",
         "The same in both directions, each with its own intervals."),
        ("resets to a learned state", learned, ("M41", "M51"), "may",
         "Sequences and episodes start from the leaf x0."),
        ("resets to a learned state bidirectional", learned | two, ("M41", "M42"), "may",
         "The directions start from leaves of their own, x0_1 and x0_2."),
        ("final state", FINAL, ("M11",), "should", "The state after the last step is returned too."),
        ("initial and final state", FINAL, ("M06", "M10", "M11", "M49"), "should",
         "A state carried in and out, and the cotangents of both: what a chunk of a sequence is."),
        ("initial and final state of one step", FINAL, ("M06", "M08", "M10"), "should",
         "The shortest chunk: the cotangent of the state carried out reaches everything."),
        ("initial and final state irregular", FINAL, ("M10",), "should", "The same between unequal steps."),
        ("initial and final state, all states", FINAL | {"conj_sym": False}, ("M10",), "should",
         "The same with the full spectrum."),
        ("foh initial and final state", FINAL | FOH, ("M10", "M45"), "may",
         "B u of the last step is carried out with x."),
        ("resets, initial and final state", FINAL, ("M10", "M41"), "should",
         "The state carried in counts until the first reset; the one carried out is the last episode's."),
        ("resets to a learned state, initial and final state", FINAL | learned, ("M10", "M41"), "may",
         "A state that is given comes before the learned one; an episode after a reset starts from it."),
    ):  # fmt: skip
        L = 1 if "one step" in words else 6
        n = Dyadic(f"ssm/{words}/L{L}/H{H}/P{P}")
        params = ssm_params(n, P, H, "bidirectional" in options)
        if "C as one leaf" in words:
            params["C"] = np.concatenate([params.pop("C1"), params.pop("C2")], axis=1)
        if words == "clip_eigs":
            params["Lambda"] = np.array([0.25, -(2.0**-20), -0.5]) + 1j * params["Lambda"].imag
        inputs: dict[str, Any] = {"params": params, "u": n(N, L, H)}
        if "initial" in words:
            inputs["x0"] = n.complex(N, 2 * P if "foh" in words else P)
        if "irregular" in words:
            inputs["intervals"] = 0.5 + n.positive(N, L)
        if "irregular" in words and ("async" in words or "dirac" in words):
            inputs["intervals"][:, 2] = 0
        if "learned" in words:
            starts = ("x0_1", "x0_2") if "bidirectional" in words else ("x0",)
            params |= {name: n.complex(P) for name in starts}
        if "resets" in words:
            inputs["resets"] = np.array([[False, True, False, False, True, True], [True, *[False] * 5]])
        features = [w for w in ("bidirectional", "irregular", "clip_eigs", "resets", *RULES) if w in words]
        features += [_spectrum(options), *(["initial_state"] if "x0" in inputs else [])]
        cotangent = {"y": n(N, L, H)}
        if "final_state" in options:
            features.append("final_state")
            cotangent["x_last"] = n.complex(N, 2 * P if "foh" in words else P)
        yield from both(
            n, inputs, options, comment, catches=catches, level=level, features=tuple(features),
            cotangent=cotangent,
        )  # fmt: skip


def layer_cases() -> Cases:
    """Activations, norms, dropout masks."""
    for activation, gelu in product(("gelu", "half_glu1", "half_glu2", "full_glu"), ("tanh", "erf")):
        catches = (("M31", gelu == "tanh"), ("M35", activation == "half_glu2"))
        yield from _layer(
            f"{activation}/{gelu}", {"activation": activation, "gelu": gelu, "norm": "layer"},
            f"{activation} with the {gelu} form of GELU.", tuple(id_ for id_, does in catches if does),
            "must" if gelu == "tanh" and activation.startswith("half") else "should",
        )  # fmt: skip
    base = {"activation": "half_glu2", "gelu": "tanh"}
    for norm, prenorm, train in product(("batch", "layer"), (True, False), (True, False)):
        words = f"{'prenorm' if prenorm else 'postnorm'}/{'training' if train else 'evaluation'}"
        yield from _layer(
            f"{norm} norm/{words}",
            base | {"norm": norm, "prenorm": prenorm, "train": train, "bn_momentum": 0.75},
            f"{norm} norm, where the norm stands, and which statistics it uses.",
            ("M52", "M53", "M54", "M66", *(("M33",) if norm == "batch" and train else ())),
        )
    yield from _layer(
        "layer norm of small numbers", base | {"norm": "layer"},
        "Variances of the size of LayerNorm's 1e-6: a different constant shows.", ("M32",), "should",
        size=2.0**-9,
    )  # fmt: skip
    yield from _layer(
        "dropout", base | {"norm": "layer", "train": True},
        "The masks are given: one per example and feature, the same at every step.", ("M34",), "should",
    )  # fmt: skip
    yield from _layer(
        "bidirectional",
        base | {"norm": "batch", "train": True, "bidirectional": True, "bn_momentum": 0.75},
        "Both directions inside a layer.",
    )  # fmt: skip


def _layer(
    words: str, options: dict[str, Any], comment: str, catches: tuple[str, ...] = (), level: str = "must",
    size: float = 2.0,
) -> Cases:  # fmt: skip
    n = Dyadic(f"layer/{words}", "/L5/H3/P2")
    options = {"train": False} | options
    params = layer_params(n, 2, 3, options["activation"], options["norm"], "bidirectional" in options)
    inputs: dict[str, Any] = {"params": params, "x": n(2, 5, 3, size=size)}
    features = [options["activation"], f"{options['norm']}_norm", f"gelu_{options['gelu']}", "conj_sym"]
    features += [] if options.get("prenorm", True) else ["postnorm"]
    features += [word for word in ("train", "bidirectional") if options.get(word)]
    if words == "dropout":
        inputs["masks"] = tuple(2.0 * n.integers(2, 2, 1, 3) for _ in range(2))
        features.append("dropout")
    yield from both(
        n, inputs, options, comment, catches=catches, level=level, features=tuple(features),
        cotangent={"y": n(2, 5, 3)},
    )  # fmt: skip


CLASSES = 3
LENGTHS = np.array([5, 3])
SEGMENTS = np.array([[2, 2, 1, 1, 1], [0, 0, 0, 0, -1]])  # a row of two sequences, and one of one and padding


def model_cases() -> Cases:
    """Whole models of two layers, and the cotangent of every parameter."""
    layer, batch = {"norm": "layer"}, {"norm": "batch"}
    two, half = {"bidirectional": True}, {"event_stride": 2}
    for words, options, more, catches, level, comment in (
        ("classifier", batch, (), ("M07",), "must", "Two layers, running statistics, mean pooling."),
        ("classifier/bidirectional", batch | two, (), ("M07", "M36"), "must", "Two layers, both directions."),
        ("classifier/training", batch | {"train": True}, (), ("M07",), "must", "Statistics of the batch."),
        ("classifier/tokens", layer, ("tokens",), (), "must", "Whole-number inputs, one-hot encoded."),
        ("classifier/postnorm", layer | {"prenorm": False}, (), (), "should", "LayerNorm after the skip."),
        ("classifier/last", layer | {"pooling": "last"}, ("lengths",), ("M61",), "may",
         "The last valid step."),
        ("classifier/padded as upstream", batch | two | {"train": True}, ("lengths",), (), "should",
         "Padding is excluded from the mean only: it enters the reverse scan and the statistics."),
        ("classifier/padded and masked", batch | two | {"train": True, "padding": "masked"}, ("lengths",),
         ("M27",), "may", "What stands at padding changes no output and no gradient."),
        ("classifier/erf", layer | {"gelu": "erf"}, (), (), "may", "The erf form of GELU throughout."),
        ("retrieval", layer | {"head": "retrieval"}, ("lengths",), (), "should",
         "Two documents through one encoder; features a, b, a − b, a · b."),
        ("without a head", layer | two | {"head": "none"}, (), (), "should",
         "Encoder and layers: what the last layer gives at every step."),
        ("regression", layer | {"head": "regression"}, (), (), "should", "A value at every step."),
        ("classifier/max", layer | {"pooling": "max"}, ("lengths",), (), "may",
         "The largest valid step of each feature; of equal ones the first has the gradient."),
        ("pooled regression", layer | {"head": "pooled_regression"}, ("lengths",), (), "may",
         "A value of the whole sequence."),
        ("pooled regression/mean and max", batch | {"head": "pooled_regression", "pooling": "mean+max"},
         ("lengths",), (), "may", "The sum of the mean and the largest valid step."),
        ("classifier/packed", batch | two | {"train": True}, ("packed",), ("M46", "M47"), "may",
         "Rows of several sequences give what these give one by one: states, statistics and pooling."),
        ("classifier/packed/last", layer | {"pooling": "last"}, ("packed",), ("M46", "M61"), "may",
         "The last step of each sequence."),
        ("classifier/irregular", batch | two, ("irregular",), ("M37",), "should",
         "The intervals reach every layer, in both directions."),
        ("regression/resets", layer | {"head": "regression"}, ("resets",), ("M41",), "should",
         "Every layer begins anew at a reset."),
        ("classifier/event pooling mean", layer | half, ("event_pooling",), (), "may",
         "Two steps become their mean behind the first layer; the last window has one step, and the second "
         "layer's intervals are 2, 2, 1."),
        ("classifier/event pooling last", batch | two | half | {"event_pooling": "last", "train": True},
         ("event_pooling", "irregular"), ("M65",), "may",
         "The last step of a window stands for it; its interval is the sum of theirs."),
        ("classifier/event pooling mean, padded and masked",
         batch | two | half | {"train": True, "padding": "masked"},
         ("event_pooling", "lengths", "irregular"), (), "may",
         "A window at the end of a sequence has its valid steps only."),
        ("classifier/event pooling last, resets", layer | half | {"event_pooling": "last"},
         ("event_pooling", "resets"), ("M65",), "may", "Episodes that begin with a window."),
    ):  # fmt: skip
        n = Dyadic(f"model/{words}/L5/H3/P2")
        chosen: dict[str, Any] = {
            "activation": "half_glu2", "gelu": "tanh", "train": False, "n_layers": 2, **options,
        }  # fmt: skip
        head, bidirectional = chosen.get("head", "classifier"), "bidirectional" in options
        tokens, documents = "tokens" in more, (2,) if head == "retrieval" else ()
        params = model_params(n, 4 if tokens else 2, 2, chosen["norm"], bidirectional, head)
        shape = (2, *documents, 5)
        inputs: dict[str, Any] = {"params": params, "x": n.integers(4, *shape) if tokens else n(*shape, 2)}
        if "lengths" in more:
            inputs["lengths"] = np.stack([LENGTHS, LENGTHS[::-1]]) if documents else LENGTHS
        if "packed" in more:
            inputs["segments"] = SEGMENTS
        if "irregular" in more:
            inputs["intervals"] = 0.5 + n.positive(2, 5)
        if "resets" in more:
            inputs["resets"] = np.array([[False, False, True, False, False], [True, *[False] * 3, True]])
        answers = (2, 5) if head in ("regression", "none") else (3,) if "packed" in more else (2,)
        features = [
            "conj_sym",
            "without_head" if head == "none" else head,
            f"{chosen['norm']}_norm",
            f"gelu_{chosen['gelu']}",
        ]
        features += [word for word in ("bidirectional", "train") if chosen.get(word)]
        features += [word for word in ("postnorm", "masked") if word in words]
        yield from both(
            n, inputs, chosen, comment, catches=catches, level=level, features=(*features, *more),
            cotangent={"log_probabilities": n(*answers, CLASSES)},
        )  # fmt: skip


def step_cases() -> Cases:
    """One step of an SSM, and one step of a stack of layers, each layer with a state of its own."""
    choices: dict[str, dict[str, Any]] = {
        "conj_sym": {},
        "all states": {"conj_sym": False},
        "step_rescale 2": {"step_rescale": 2.0},
        "bilinear": {"discretization": "bilinear"},
        "dirac": {"discretization": "dirac"},
        "foh": FOH,
    }
    for words, options in choices.items():
        n = Dyadic(f"step/one SSM/{words}/H2/P3")
        features = (_spectrum(options), *(word for word in RULES if word == words))
        yield from both(
            n,
            {
                "params": ssm_params(n, 3, 2), "state": n.complex(2, 6 if words == "foh" else 3),
                "u_k": n(2, 2),
            },
            {"of": "ssm", **options}, "x ← Lambda_bar x + B_bar u; y reads the new state.",
            catches={"conj_sym": ("M20", "M40"), "foh": ("M45",)}.get(words, ()),
            level={"conj_sym": "must", "dirac": "may", "foh": "may"}.get(words, "should"), features=features,
        )  # fmt: skip
    for norm, head in (("batch", "classifier"), ("layer", "classifier"), ("layer", "none")):
        without = head == "none"
        n = Dyadic(f"step/two layers/{norm} norm{'/without a head' * without}/H3/P2")
        params = model_params(n, 2, 2, norm, head=head)
        yield from both(
            n, {"params": params, "state": (n.complex(2, 2), n.complex(2, 2)), "u_k": n(2, 2)},
            {"of": "model", "activation": "half_glu2", "gelu": "tanh", "norm": norm, "n_layers": 2}
            | ({"head": head} if without else {}),
            "y is the last layer's at this step." if without
            else "The state of a layer goes to that layer; y is the decoder at this step.", catches=("M01",),
            features=("conj_sym", "model_step", f"{norm}_norm", "gelu_tanh", *["without_head"] * without),
        )  # fmt: skip


INIT_FEATURES = ("bidirectional", "complex_normal")


def init_cases() -> Cases:
    """Large enough that every moment of the draws is sharp. Two layers have draws of their own."""
    base = {
        "n_layers": 2, "d_model": 256, "ssm_size": 128, "blocks": 4, "in_dim": 32, "n_classes": 32,
        "dt_min": 0.001, "dt_max": 0.1, "activation": "half_glu2", "seed": 0,
    }  # fmt: skip
    always, two = ("M21", "M56", "M58", "M59", "M76"), base | {"bidirectional": True, "ssm_size": 64}
    for words, c_init, options, catches, level in (
        ("four blocks", "trunc_standard_normal", base, (*always, "M25", "M57"), "must"),
        ("one block", "lecun_normal", base | {"blocks": 1, "ssm_size": 64}, (*always, "M25"), "should"),
        ("all states", "trunc_standard_normal", base | {"conj_sym": False, "ssm_size": 64},
         (*always, "M02", "M57"), "should"),
        ("four blocks", "lecun_normal", base, (*always, "M25"), "should"),
        ("four blocks", "complex_normal", base, (*always, "M25", "M77"), "may"),
        ("bidirectional", "trunc_standard_normal", two, (*always, "M25", "M55", "M57"), "should"),
        ("bidirectional", "lecun_normal", two, (*always, "M25", "M55"), "should"),
        ("bidirectional", "complex_normal", two, (*always, "M25", "M55", "M77"), "may"),
        ("all states", "complex_normal", base | {"conj_sym": False, "ssm_size": 64},
         (*always, "M02", "M77"), "may"),
    ):  # fmt: skip
        yield from both(
            Dyadic(f"init/{words}/{c_init}"), {}, {**options, "c_init": c_init},
            "Eigenvalues of HiPPO-N in any order, the half with negative imaginary parts; moments of every "
            "draw.", catches=catches, level=level,
            features=(_spectrum(options), *(w for w in INIT_FEATURES if w in (*options, c_init))),
        )  # fmt: skip


def update_cases() -> Cases:
    """AdamW with the groups of upstream: the first update and a later one, and one with gradients of zero."""
    rates = {"ssm_lr": 2.0**-8, "lr": 2.0**-6, "weight_decay": 2.0**-4}
    for opt_config in ("standard", "BandCdecay", "BfastandCdecay", "noBCdecay"):
        standard = opt_config == "standard"
        for k, zero, dt_global in ((0, False, False), (5, False, standard), (5, True, False)):
            words = "gradients of zero" if zero else f"update {k}/dt_global" if dt_global else f"update {k}"
            n = Dyadic(f"update/{opt_config}/{words}")
            params = model_params(n, 2, 1, "layer")
            grads = first = second = {name: 0 * leaf for name, leaf in params.items()}
            if not zero:
                grads = {name: _like(n, leaf) for name, leaf in params.items()}
            if k and not zero:
                first = {name: _like(n, leaf) for name, leaf in params.items()}
                second = {name: _positive_like(n, leaf) for name, leaf in params.items()}
            moments = prefixed("first", first) | prefixed("second", second)
            yield from both(
                n, {"params": params, "grads": grads, "moments": moments},
                {"opt_config": opt_config, "dt_global": dt_global, "k": k, **rates},
                "Which leaf takes which rate and decay; decay never enters the moments.",
                catches=_caught(zero, standard, dt_global),
                level="must" if standard and not dt_global else "should",
                features=("optimizer", "dt_global") if dt_global else ("optimizer",),
            )  # fmt: skip


def _caught(zero: bool, standard: bool, dt_global: bool) -> tuple[str, ...]:
    if zero:
        return ("M16",) if standard else ()
    return ("M38", "M62") if dt_global else ("M15", "M38", "M62")


def _like(n: Dyadic, leaf: Array) -> Array:
    return np.asarray((n.complex if leaf.dtype.kind == "c" else n)(*leaf.shape, size=1.0))


def _positive_like(n: Dyadic, leaf: Array) -> Array:
    z = n.positive(*leaf.shape, size=1.0)
    return np.asarray(z + 1j * n.positive(*leaf.shape, size=1.0) if leaf.dtype.kind == "c" else z)
