"""Programs of other languages: the one in C, and a small one over .npz; what they do wrong is named."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s5ref.verification.conformance.kit import check
from s5ref.verification.conformance.kit.program import Npz
from s5ref.verification.conformance.kit.text import read_text, write_text
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent
SCANS = [c for c in cases() if c.id.startswith("scan/forward/L")]
NPZ = """#!{python}
import sys
import numpy as np
print("s5ref 1 npz scan vjp", flush=True)
for line in sys.stdin:
    verb, stage, source, target, *words = line.split()
    given = dict(np.load(source))
    a, b, x0 = given["Lambda_bar"], given["Bu"], given.get("x0")
    if b.shape[1] == 8 and {ends}: sys.exit(3)
    if verb == "vjp" or words != ["reverse=0"]:
        print("unsupported only forward values", flush=True)
        continue
    state, x = (0 * b[:, 0] if x0 is None else x0), np.empty_like(b)
    for k in range(b.shape[1]):
        state = (a if a.ndim == 1 else a[:, k]) * state + b[:, k]
        x[:, k] = state
    np.savez(target, x=x, x_last=state)
    print("ok", flush=True)
"""


@pytest.mark.cxx
def test_the_program_in_c_agrees(tmp_path: Path) -> None:
    compiler = next(name for name in ("gcc", "cc", "clang", "g++", "clang++") if shutil.which(name))
    flags = ["-x", "c", "-std=c99", "-Wall", "-Werror", "-O2", "-ffp-contract=off"]
    subprocess.run([compiler, *flags, str(HERE / "s5.c"), "-o", str(tmp_path / "s5"), "-lm"], check=True)
    result = check("./s5", folder=tmp_path)
    assert (result.verdict, result.ran, result.count("passed")) == ("agrees", 65, 65)
    assert {o.stage for o in result.of("passed")} == {"discretize", "scan", "behaviour"}


@pytest.mark.parametrize("ends", [False, True])
def test_a_program_over_npz(tmp_path: Path, ends: bool) -> None:
    program = tmp_path / "s5"
    program.write_text(
        NPZ.replace("{python}", sys.executable).replace("{ends}", str(ends)).replace("scan vjp", "scan")
    )
    program.chmod(0o755)
    result = check("./s5", folder=tmp_path, questions=SCANS[:6])
    assert result.ran == 6
    died = [o for o in result.outcomes if o.fault]
    assert len(died) == (2 if ends else 0)
    assert all("it ended, with exit code 3" in o.fault for o in died)
    assert result.count("passed") == 6 - len(died)


@pytest.mark.parametrize(
    ("bytes_", "words"),
    [
        ("b''", "is not readable as a zip"),
        ("b'PK no zip'", "is not readable as a zip"),
        ("packed(np.zeros(2**22))", "must take at most 16777216 bytes"),
        ("packed(np.array(['text']))", "must hold numbers or booleans"),
    ],
)
def test_an_npz_answer_that_is_none_is_named(tmp_path: Path, bytes_: str, words: str) -> None:
    program = tmp_path / "s5"
    program.write_text(f"""#!{sys.executable}
import io, sys
import numpy as np
def packed(x):
    np.savez_compressed(stream := io.BytesIO(), x=x)
    return stream.getvalue()
print("s5ref 1 npz scan", flush=True)
for line in sys.stdin:
    open(line.split()[3], "wb").write({bytes_})
    print("ok", flush=True)
""")
    program.chmod(0o755)
    (outcome,) = check("./s5", folder=tmp_path, questions=SCANS[:1]).outcomes
    assert "the answer to scan is not readable" in outcome.fault
    assert words in outcome.fault


def test_compressed_zeros_are_an_honest_npz_answer() -> None:
    form = Npz()
    np.savez_compressed(form.paths[1], x=np.zeros(2**17))
    assert form.paths[1].stat().st_size * 64 < 2**20
    assert form.answer("ok", io.StringIO())["x"].shape == (2**17,)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello", "its first line must be"),
        ("echo s5ref 1 text scam", "it announces 'scam'"),
        ("exit 3", "first line"),
    ],
)
def test_a_program_that_does_not_speak_the_protocol(tmp_path: Path, script: str, words: str) -> None:
    program = tmp_path / "s5"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    result = check("./s5", folder=tmp_path, questions=SCANS[:2])
    assert result.verdict == "broken"
    assert words in result.broken


def test_text_holds_every_number_exactly() -> None:
    z = np.array([[1 / 3 - 2e-310j, np.inf + 0j, complex(0, -0.0)]])
    given = {
        "z": z,
        "f": np.float32(0.1),
        "n": np.arange(3),
        "flag": np.asarray(True),
        "none": None,
        "method": "zoh",
    }
    stream = io.StringIO()
    write_text(stream, given)
    stream.seek(0)
    found = read_text(stream, len(given))
    assert list(found) == list(given)
    assert np.array_equal(found["z"], z)
    assert np.signbit(found["z"][0, 2].imag)
    assert found["f"].dtype == np.float32
    assert (found["f"], found["flag"], found["none"], found["method"]) == (np.float32(0.1), True, None, "zoh")
    with pytest.raises(ValueError, match="expected"):
        read_text(io.StringIO("x 3\n"), 1)
    with pytest.raises(ValueError, match="needs 2 numbers"):
        read_text(io.StringIO("x float32 1 2\n0x1p0\n"), 1)
