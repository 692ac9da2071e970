"""A candidate that is a program in any language, spoken to over its standard input and output.

It speaks first: ``s5ref 1 text discretize scan`` (or ``npz`` for ``text``; ``vjp`` among the stages if it has
one). docs/conformance.md describes both forms; tests/verification/conformance/kit/s5.c is a whole program
in C.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from s5ref import npz
from s5ref.errors import DataError
from s5ref.tree import leaves
from s5ref.verification.conformance.kit.text import read_text, write_text
from s5ref.verification.conformance.protocol import SIGNATURES, Malformed, named_outputs
from s5ref.verification.conformance.stages.stage import nested


class ProgramError(Exception):
    """The program refused, ended, or said what it should not."""


class Text:
    """Everything in the stream: one line a value, numbers in hexadecimal floating point."""

    def ask(self, to: IO[str], verb: str, stage: str, named: Mapping[str, Any]) -> None:
        to.write(f"{verb} {stage} {len(named)}\n")
        write_text(to, named)

    def answer(self, line: str, source: IO[str]) -> dict[str, Any]:
        return dict(read_text(source, int(line.split()[1])))


class Npz:
    """Arrays in two .npz files (uncompressed), plain values in the line that names the files."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="s5ref-")
        self.paths = [Path(self.folder.name) / name for name in ("in.npz", "out.npz")]

    def ask(self, to: IO[str], verb: str, stage: str, named: Mapping[str, Any]) -> None:
        arrays = {name: value for name, value in named.items() if isinstance(value, np.ndarray)}
        plain = {k: v for k, v in named.items() if v is not None and k not in arrays}
        words = [f"{name}={int(v) if isinstance(v, bool) else v}" for name, v in plain.items()]
        np.savez(self.paths[0], allow_pickle=False, **arrays)
        self.paths[1].unlink(missing_ok=True)
        to.write(" ".join([verb, stage, *map(str, self.paths), *words]) + "\n")

    def answer(self, line: str, source: IO[str]) -> dict[str, Any]:
        return npz.loads(self.paths[1].read_bytes(), "its .npz", "Write it with numpy.savez.", deflated=True)


class Program:
    """The program as an object with a method for each stage that it announces."""

    framework = "numpy"

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._form: Text | Npz = Text()
        self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if words[:2] != ["s5ref", "1"] or words[2:3] not in (["text"], ["npz"]):
            self._end(process)
            raise ProgramError(
                f"its first line must be `s5ref 1 text STAGE…` or npz; got {' '.join(words)!r}"
            )
        self._form = Text() if words[2] == "text" else Npz()
        for stage in words[3:]:
            if stage != "vjp" and stage not in SIGNATURES:
                raise ProgramError(f"it announces {stage!r}; stages are {', '.join(SIGNATURES)}, and vjp")
            setattr(self, stage, self._vjp if stage == "vjp" else self._stage(stage))
        return process

    def _stage(self, stage: str) -> Any:
        return lambda *args: _by_name(stage, self._exchange("call", stage, _named(stage, args)))

    def _vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any) -> dict[str, Any]:
        d = _flat({f"d.{name}": value for name, value in named_outputs(stage, cotangent, {}).items()})
        return self._exchange("vjp", stage, _named(stage, args) | d)

    def _exchange(self, verb: str, stage: str, named: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            self._form.ask(process.stdin, verb, stage, named)
            process.stdin.flush()
            line = process.stdout.readline()
            if line.startswith("ok"):
                return self._form.answer(line, process.stdout)
        except (BrokenPipeError, EOFError):
            line = ""
        except (OSError, ValueError, IndexError, DataError) as error:
            self._end(process)
            raise Malformed(f"the answer to {stage} is not readable: {error}") from error
        if line.startswith("unsupported"):
            raise NotImplementedError(line.removeprefix("unsupported").strip())
        if line.startswith("error"):
            raise ProgramError(line.removeprefix("error").strip() or "it answered error")
        raise ProgramError(f"it answered {line.strip()!r}" if line else f"it ended, {self._end(process)}")

    def _end(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of the process, or end it; how it ended."""
        self._process = None
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        code = process.returncode
        return f"killed by signal {-code}" if code < 0 else f"with exit code {code}"


def _named(stage: str, args: tuple[Any, ...]) -> dict[str, Any]:
    return _flat(dict(zip(SIGNATURES[stage].args, args, strict=False)))


def _flat(named: Mapping[str, Any]) -> dict[str, Any]:
    """``params.B`` and so on, in order; None stays None."""
    flat: dict[str, Any] = {}
    for name, value in named.items():
        flat |= {name: None} if value is None else dict(leaves({name: value}))
    return flat


def _by_name(stage: str, flat: Mapping[str, Any]) -> Any:
    """The outputs by name, or the only one; dicts from their dotted leaves."""
    names, outputs = SIGNATURES[stage].outputs, nested(flat)
    for name in names:
        if name not in outputs:
            raise Malformed(f"{stage} must return {', '.join(names)}; {name} is missing")
    return {name: outputs[name] for name in names} if len(names) > 1 else outputs[names[0]]
