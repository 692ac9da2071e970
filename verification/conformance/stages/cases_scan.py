"""The cases of discretize and scan."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.stages.build import Cases, both
from s5ref.verification.conformance.stages.draws import Dyadic

BASIC = ("M05", "M19")  # what every scan with cotangents catches


def discretize_cases() -> Cases:
    """Both methods at ordinary sizes, and zero-order hold where the textbook formula fails."""
    for method in ("zoh", "bilinear"):
        feature = () if method == "zoh" else ("bilinear",)
        for shape, words in (((4,), "P4"), ((), "P4/one Delta"), ((2, 3, 4), "N2/L3/P4/irregular")):
            name = f"discretize/{method}/{words}"
            n = Dyadic(name)
            yield from both(
                name,
                {"Lambda": n.eigenvalues(4), "Delta": 0.0625 + n.positive(*shape, size=0.5)},
                {"method": method},
                "Lambda_bar and the gain, where B_bar = gain · B; Delta is the step, not its logarithm.",
                catches=("M19", "M22") if method == "zoh" and shape == (4,) else (),
                level="must" if shape == (4,) and method == "zoh" else "should",
                features=(*feature, *(("irregular",) if "irregular" in words else ())),
                cotangent={
                    "Lambda_bar": n.complex(*(shape or (4,))),
                    "gain": n.complex(*(shape or (4,))),
                },
            )
    yield from _zoh(
        "discretize/zoh/P4/large Lambda Delta",
        [-0.5 - 81j, -3.0 - 40j, -8.0 - 2j, -0.5 - 20j],
        [0.125, 0.5, 2.0, 1.0],
        "Products Lambda · Delta up to 20, where Euler and bilinear are far off.",
        ("M22",),
        "must",
    )
    yield from _zoh(
        "discretize/zoh/P6/Delta from 1e-4 to 1e-9",
        [-0.5 - 1.25j] * 3 + [-0.5 - 81j] * 3,
        [2.0**-13, 2.0**-20, 2.0**-30] * 2,
        "exp(z) − 1 cancels for small z: the gain of a textbook formula loses half of the digits here.",
        ("M23", "M18"),
        "should",
    )
    yield from _zoh(
        "discretize/zoh/P4/Lambda to 0",
        [0j, 2.0**-40 + 0j, -(2.0**-30) - 2.0**-31 * 1j, -1 - 1j],
        [0.25, 0.25, 0.5, 2.0**-20],
        "A division by Lambda gives NaN here; the gain tends to Delta.",
        ("M18",),
        "should",
    )


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
            (
                9,
                3,
                ("M04", "M10") if reverse else ("M06", "M10"),
                "Every input and every cotangent; L is odd.",
            ),
            (8, 3, (), "An even length."),
            (1, 3, ("M08", "M10"), "One step: the cotangent of x_last reaches it as that of x does."),
            (2, 2, (), "Two steps."),
        ):
            yield from _scan(f"scan/{way}/L{L}/P{P}", (L, P), reverse, comment, BASIC + catches)
        yield from _scan(
            f"scan/{way}/L9/P3/zero initial state", (9, 3), reverse, "Without x0.", BASIC, start=False
        )
        yield from _scan(
            f"scan/{way}/L9/P2/varying Lambda_bar",
            (9, 2),
            reverse,
            "A multiplier for every step and example.",
            BASIC,
            varying=True,
        )
        yield from _scan(
            f"scan/{way}/L70/P1",
            (70, 1),
            reverse,
            "Longer than a tile of 64, and no multiple of 8, 16 or 32.",
            ("M03", *BASIC),
            slow=True,
        )
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
        name,
        inputs,
        {"reverse": False},
        "x_k is the k-th power of the multiplier times x0: its gradient comes from every step, the first "
        "too.",
        catches=("M06", *BASIC),
        cotangent={"x": n.complex(2, 9, 3), "x_last": n.complex(2, 3)},
    )


def _resets() -> Cases:
    name = "scan/forward/L9/P2/resets at 0, 3, 4 and the last step"
    n = Dyadic(name)
    Lambda_bar = np.broadcast_to(n.multipliers(2), (2, 9, 2)).copy()
    Lambda_bar[:, [0, 3, 4, 8]] = 0
    inputs = {"Lambda_bar": Lambda_bar, "Bu": n.complex(2, 9, 2), "x0": n.complex(2, 2)}
    yield from both(
        name,
        inputs,
        {"reverse": False},
        "A multiplier of 0 forgets all before: the state after a reset at step k is Bu_k.",
        catches=("M26",),
        level="should",
        features=("irregular",),
        cotangent={"x": n.complex(2, 9, 2), "x_last": n.complex(2, 2)},
    )


def _extremes() -> Cases:
    for words, value, L, catches, comment in (
        (
            "strong decay",
            2.0**-8,
            160,
            ("M17",),
            "Products of all multipliers underflow in every precision; a division by them gives NaN.",
        ),
        ("growth", 1.25, 24, (), "abs(Lambda_bar) > 1 is allowed and must not be clipped."),
        ("multiplier 1", 1.0, 24, (), "A pure sum."),
    ):
        name = f"scan/forward/L{L}/P1/{words}"
        n = Dyadic(name)
        inputs = {"Lambda_bar": np.array([value + 0j]), "Bu": n.complex(1, L, 1)}
        yield from both(
            name,
            inputs,
            {"reverse": False},
            comment,
            catches=catches,
            level="must" if catches else "should",
            cotangent={"x": n.complex(1, L, 1), "x_last": n.complex(1, 1)},
        )
