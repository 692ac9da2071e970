"""Which Python and platform finds a wheel of every dependency: python .ci/wheels.py > table.md

For each combination pip resolves the dependencies of pyproject.toml, and with --extra NAME those of an extra,
with wheels alone, for that platform, and installs nothing. Needs the package index, some minutes, and pip 26:
what a wheel says of Python, pip 23 holds against the Python that it runs on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MANYLINUX = ("2_17", "2_26", "2_27", "2_28", "2_31", "2_34")  # up to the glibc of Debian 12 and RHEL 9
PLATFORMS = {
    "Linux x86-64": [f"manylinux_{glibc}_x86_64" for glibc in MANYLINUX] + ["manylinux2014_x86_64"],
    "Linux aarch64": [f"manylinux_{glibc}_aarch64" for glibc in MANYLINUX] + ["manylinux2014_aarch64"],
    "macOS arm64": [f"macosx_{version}_arm64" for version in ("11_0", "12_0", "13_0", "14_0")],
    "Windows x86-64": ["win_amd64"],
}
SHOWN = ("numpy", "scipy", "numba", "llvmlite")


def requirements(extra: str | None) -> list[str]:
    """What pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else [])]


def resolve(python: str, platforms: list[str], wanted: list[str]) -> str:
    """The versions that pip chooses, or its reason for none."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", "--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in platforms:
        command += ["--platform", platform]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, "--target", folder, *wanted], capture_output=True, text=True)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if "No matching distribution" in line]
        return "none: " + (re.sub(r".* found for ", "", reasons[0]) if reasons else "no set of versions fits")
    chosen = {item["metadata"]["name"].lower(): item["metadata"]["version"]
              for item in json.loads(done.stdout)["install"]}  # fmt: skip
    return ", ".join(f"{name} {chosen[name]}" for name in SHOWN)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--extra", help="the extra whose dependencies are resolved too")
    wanted = requirements(parser.parse_args().extra)
    print("| | " + " | ".join(f"Python {python}" for python in PYTHONS) + " |")
    print("|---" * (len(PYTHONS) + 1) + "|")
    for name, platforms in PLATFORMS.items():
        found = [resolve(python, platforms, wanted) for python in PYTHONS]
        print(f"| {name} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
