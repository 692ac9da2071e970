"""The kernels' text, and the options it is compiled with."""

from __future__ import annotations

import functools
from importlib.resources import files

FILES = ("scan", "hold", "elementwise", "tail", "norm", "layer_norm", "embed", "adamw")
CHAINED = ("common", "chain", "walk")
BEFORE = {"scan": CHAINED, "hold": CHAINED}  # what a file begins with, if not with common.cu alone


@functools.cache
def source(file: str) -> str:
    """kernels/FILE.cu behind what it begins with; line numbers of messages are those of the files."""
    folder = files("s5ref.gpu") / "kernels"
    parts = [
        f'#line 1 "{name}.cu"\n{(folder / f"{name}.cu").read_text("utf-8")}'
        for name in (*BEFORE.get(file, ("common",)), file)
    ]
    return "\n".join(parts)


def options(real: str, macros: dict[str, int] | None = None, strict: bool = False) -> tuple[str, ...]:
    """``real`` is float or double; ``strict``: a·b + c is rounded twice, as written, and never fused into one
    rounding. No fast maths in either mode: the budgets count on /, √ and exp.
    """
    given = [f"-D{name}={value}" for name, value in (macros or {}).items()]
    return ("-std=c++17", f"-DREAL={real}", *given, *(["--fmad=false"] if strict else []))
