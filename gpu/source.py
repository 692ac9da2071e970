"""The text of the kernels and the options of their compilation."""

from __future__ import annotations

import functools
from importlib.resources import files

SCANS = ("common", "decoupled_lookback", "row_loop")  # what a file of scans begins with
BEFORE = {"scan": SCANS, "irregular_scan": SCANS}
FILES = (*BEFORE, "elementwise", "tail", "norm", "layer_norm", "embed", "adamw")


@functools.cache
def source(file: str) -> str:
    """The text of kernels/FILE.cu after the files that it builds on (`BEFORE`, else common.cu). Compiler
    messages name the line of the .cu file.
    """
    folder = files("s5ref.gpu") / "kernels"
    parts = [
        f'#line 1 "{name}.cu"\n{(folder / f"{name}.cu").read_text("utf-8")}'
        for name in (*BEFORE.get(file, ("common",)), file)
    ]
    return "\n".join(parts)


def options(real: str, macros: dict[str, int] | None = None, strict: bool = False) -> tuple[str, ...]:
    """``real`` is float or double. ``strict``: a·b + c is rounded twice, as written, and never contracted to
    one rounding. No mode uses fast maths: the budgets rely on /, √ and exp.
    """
    given = [f"-D{name}={value}" for name, value in (macros or {}).items()]
    return ("-std=c++17", f"-DREAL={real}", *given, *(["--fmad=false"] if strict else []))
