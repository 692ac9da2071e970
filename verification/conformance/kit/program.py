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
from typing import IO, Any, Protocol

import numpy as np

from s5ref.tree import leaves
from s5ref.verification.conformance.kit.text import read_text, write_text
from s5ref.verification.conformance.protocol import SIGNATURES, Malformed, named_outputs


class ProgramError(Exception):
    """The program refused, ended, or said what it should not."""


class _Form(Protocol):
    def ask(self, to: IO[str], verb: str, stage: str, named: Mapping[str, Any]) -> None: ...
    def answer(self, line: str, source: IO[str]) -> dict[str, Any]: ...


class Text:
    """Everything in the stream: one line a value, numbers in hexadecimal floating point."""

    def ask(self, to: IO[str], verb: str, stage: str, named: Mapping[str, Any]) -> None:
        to.write(f"{verb} {stage} {len(named)}\n")
        write_text(to, named)

    def answer(self, line: str, source: IO[str]) -> dict[str, Any]:
        found: dict[str, Any] = read_text(source, int(line.split()[1]))
        return found


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
        with np.load(self.paths[1], allow_pickle=False) as found:
            return dict(found)


class Program:
    """The program as an object with a method for each stage that it announces."""

    framework = "numpy"

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._form: _Form = Text()
        for stage in self._start():
            if stage != "vjp" and stage not in SIGNATURES:
                raise ProgramError(f"it announces {stage!r}; stages are {', '.join(SIGNATURES)}, and vjp")
            setattr(self, stage, self._vjp if stage == "vjp" else self._stage(stage))

    def _stage(self, stage: str) -> Any:
        def call(*args: Any) -> Any:
            named = dict(zip(SIGNATURES[stage].args, args, strict=False))
            return _by_name(stage, self._exchange("call", stage, _flat(named)))

        return call

    def _vjp(self, stage: str, args: tuple[Any, ...], cotangent: Any) -> dict[str, Any]:
        named = _flat(dict(zip(SIGNATURES[stage].args, args, strict=False)))
        d = _flat({f"d.{name}": value for name, value in named_outputs(stage, cotangent).items()})
        return self._exchange("vjp", stage, named | d)

    def _exchange(self, verb: str, stage: str, named: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._form.ask(self._process.stdin, verb, stage, named)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            if line.startswith("ok"):
                return self._form.answer(line, self._process.stdout)
        except (BrokenPipeError, EOFError):
            line = ""
        except (OSError, ValueError, IndexError) as error:
            self._end()
            raise Malformed(f"the answer to {stage} is not readable: {error}") from error
        if line.startswith("unsupported"):
            raise NotImplementedError(line.removeprefix("unsupported").strip())
        if line.startswith("error"):
            raise ProgramError(line.removeprefix("error").strip() or "it answered error")
        raise ProgramError(f"it answered {line.strip()!r}" if line else f"it ended, {self._end()}")

    def _start(self) -> list[str]:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        if words[:2] != ["s5ref", "1"] or words[2:3] not in (["text"], ["npz"]):
            self._end()
            raise ProgramError(
                f"its first line must be `s5ref 1 text STAGE…` or npz; got {' '.join(words)!r}"
            )
        self._form = Text() if words[2] == "text" else Npz()
        return words[3:]

    def _end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "never started"
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        code = process.returncode
        return f"killed by signal {-code}" if code < 0 else f"with exit code {code}"


def _flat(named: Mapping[str, Any]) -> dict[str, Any]:
    """``params.B`` and so on, in order; None stays None."""
    flat: dict[str, Any] = {}
    for name, value in named.items():
        flat |= {name: None} if value is None else dict(leaves({name: value}))
    return flat


def _by_name(stage: str, found: Mapping[str, Any]) -> Any:
    """The outputs by name, or the only one; dicts from their dotted leaves."""
    outputs: dict[str, Any] = {}
    for name in SIGNATURES[stage].outputs:
        below = {key[len(name) + 1 :]: x for key, x in found.items() if key.startswith(f"{name}.")}
        if name in found:
            outputs[name] = found[name]
        elif below:
            outputs[name] = below
        else:
            raise Malformed(f"{stage} must return {', '.join(SIGNATURES[stage].outputs)}; {name} is missing")
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))
