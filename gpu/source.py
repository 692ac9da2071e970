"""The kernels' text, and the options it is compiled with."""

from __future__ import annotations

import functools
from importlib.resources import files

FILES = ("scan", "elementwise", "tail", "norm", "layer_norm", "embed", "adamw")


@functools.cache
def source(file: str) -> str:
    """kernels/FILE.cu behind what every file begins with; line numbers of messages are those of the files."""
    folder = files("s5ref.gpu") / "kernels"
    parts = [
        f'#line 1 "{name}.cu"\n{(folder / f"{name}.cu").read_text("utf-8")}' for name in ("common", file)
    ]
    return "\n".join(parts)


def options(real: str, macros: dict[str, int] | None = None) -> tuple[str, ...]:
    """``real`` is float or double. No fast maths: the budgets count on /, √ and exp."""
    return ("-std=c++17", f"-DREAL={real}", *(f"-D{name}={value}" for name, value in (macros or {}).items()))
