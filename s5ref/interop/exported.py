"""Exported files at work: an ONNX model by onnxruntime, a C file by the machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import MissingDependency, optional
from s5ref.interop.c import example

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2")


def session(model: Any) -> Any:
    """The onnxruntime.InferenceSession of a ModelProto.

    Raises
    ------
    MissingDependency
        Without onnxruntime.
    """
    return optional("onnxruntime", "dev").InferenceSession(model.SerializeToString())


def onnx_output(model: Any, feed: Mapping[str, Array]) -> Array:
    """The output of whole sequences; ``feed`` has the inputs by name."""
    return np.asarray(session(model).run(["output"], dict(feed))[0])


def onnx_outputs(model: Any, inputs: Array) -> Array:
    """(N, L, K) the output of a step after every step; inputs (N, L) or (N, L, in_dim)."""
    step, outputs = session(model), []
    width = next(i.shape[1] for i in step.get_inputs() if i.name == "state")
    state = np.zeros((len(inputs), width), np.float32)
    for k in range(inputs.shape[1]):
        output, state = step.run(["output", "new_state"], {"inputs": inputs[:, k], "state": state})
        outputs.append(output)
    return np.stack(outputs, axis=1)


def c_outputs(source: str, inputs: Array, name: str = "s5") -> Array:
    """As `onnx_outputs`, by the program of the comment at the head of a C file.

    Raises
    ------
    MissingDependency
        Without a C compiler called cc.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingDependency("There is no C compiler called cc.", "Install gcc or clang.")
    tokens = inputs.ndim == 2
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / f"{name}.c").write_text(source, encoding="utf-8")
        (folder / "main.c").write_text(example(tokens, name), encoding="utf-8")
        program = folder / "main"
        subprocess.run([compiler, *FLAGS, str(folder / "main.c"), "-o", str(program), "-lm"], check=True)
        return np.stack([_said(program, sequence) for sequence in inputs])


def _said(program: Path, inputs: Array) -> Array:
    """(L, K) what a program says of one sequence; nine digits are a float32, exactly."""
    words = " ".join(f"{x:.9g}" for x in inputs.ravel().tolist())
    said = subprocess.run([str(program)], input=words, capture_output=True, text=True, check=True).stdout
    return np.array([line.split() for line in said.splitlines()], np.float32)
