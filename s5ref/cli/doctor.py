"""``s5ref doctor``: what this installation can do, what it lacks and how to get it. 0: it can train."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

from s5ref import __version__
from s5ref.cli import options
from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, NO, Output
from s5ref.machine import blas, processor, simd, usable_cores, version

EXAMPLES = """\
  s5ref doctor
  s5ref doctor --json
"""
CORE = {"numpy": "numpy", "scipy": "scipy", "numba": "numba", "rich": "rich", "tomli_w": "tomli-w",
        "threadpoolctl": "threadpoolctl"}  # fmt: skip
EXTRAS = {  # extra: (module, distribution, what for)
    "data": ("pooch", "pooch", "downloads"),
    "plot": ("matplotlib", "matplotlib", "the plot of a run"),
    "verify": ("flint", "python-flint", "certified enclosures"),
    "interop": ("safetensors", "safetensors", "exchange of weights"),
}


def parser() -> Parser:
    p = Parser("doctor", __doc__ or "", "[--json]", EXAMPLES)
    options.add_json(p)
    return p


def run(args: argparse.Namespace, out: Output) -> int:
    core = {module: _import(module, name) for module, name in CORE.items()}
    problems = [f"{CORE[module]}: {state['problem']}" for module, state in core.items() if not state["ok"]]
    facts: dict[str, Any] = {
        "ok": not problems, "problems": problems, "s5ref": __version__, "python": platform.python_version(),
        "executable": sys.executable, "platform": platform.platform(), "core": core,
        "cpu": {"name": processor(), "cores": os.cpu_count(), "usable": usable_cores(), "flags": simd()},
        "blas": _blas(), "longdouble": _longdouble(),
        "extras": {extra: {"package": name, "version": version(name), "for": use, "install": _pip(extra)}
                   for extra, (_, name, use) in EXTRAS.items()},
        "gpu": _gpu(),
    }  # fmt: skip
    if not problems:
        facts |= _folders()
    out.result(facts)
    for line in _lines(facts):
        out.say(line)
    return DONE if not problems else NO


def _lines(facts: dict[str, Any]) -> list[str]:
    cpu, wide = facts["cpu"], facts["longdouble"]
    rows = [
        ("s5ref", f"{facts['s5ref']}, Python {facts['python']} ({facts['executable']})"),
        ("platform", facts["platform"]),
        ("cpu", f"{cpu['name']}, {cpu['usable']} of {cpu['cores']} cores; {' '.join(cpu['flags'])}"),
        *((name, state["version"] if state["ok"] else f"PROBLEM: {state['problem']}")
          for name, state in facts["core"].items()),
        ("BLAS", "; ".join(facts["blas"]) or "unknown"),
        ("longdouble", f"{wide['bits']} bits of precision: "
         + ("SEQUENTIAL can go beyond float64" if wide["wider"] else "no wider than float64 here")),
        *((f"[{extra}]", _extra(e)) for extra, e in facts["extras"].items()),
    ]  # fmt: skip
    if "cache" in facts:
        rows += [
            ("cache", facts["cache"]),
            *((f"data {name}", words) for name, words in facts["data"].items()),
        ]
    rows += [("", ""), ("For a GPU", "(without one, the CPU engines do everything)")]
    for check in facts["gpu"]["checks"]:
        rows.append((check["name"], check["found"]))
        if check["remedy"]:
            rows.append(("", f"→ {check['remedy']}"))
    lines = [f"{name:<16}{words}".rstrip() for name, words in rows]
    if facts["problems"]:
        return [
            *lines,
            "",
            "The core does not work: pip install --force-reinstall s5ref, or what is named above.",
        ]
    return [*lines, "", "The core works: `s5ref train digits` trains, `s5ref verify` checks the numbers."]


def _extra(state: dict[str, Any]) -> str:
    if state["version"]:
        return f"{state['package']} {state['version']}"
    return f"not installed ({state['for']}): {state['install']}"


def _import(module: str, distribution: str) -> dict[str, Any]:
    """Does it import? A half-installed package may raise any exception."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing = importlib.util.find_spec(module) is None
        remedy = f"not installed: pip install {distribution}" if missing else str(error)
        return {"ok": False, "version": version(distribution), "problem": remedy}
    except Exception as error:
        return {"ok": False, "version": version(distribution), "problem": f"{type(error).__name__}: {error}"}
    return {"ok": True, "version": version(distribution), "problem": ""}


def _pip(extra: str) -> str:
    return f'pip install "s5ref[{extra}]"'


def _blas() -> list[str]:
    try:
        import scipy.linalg  # noqa: F401 - loads SciPy's own BLAS
    except ImportError:
        return []
    return [
        f"{library['internal_api']} {library['version']}, {library['num_threads']} threads"
        for library in blas()
    ]


def _longdouble() -> dict[str, Any]:
    import numpy as np

    bits = int(np.finfo(np.longdouble).nmant) + 1
    return {"bits": bits, "bytes": np.dtype(np.longdouble).itemsize, "wider": bits > 53}


def _gpu() -> dict[str, Any]:
    """The checks of what a GPU needs, and the facts that they judge."""
    from s5ref.gpu.cupy_device import Cupy
    from s5ref.gpu.doctor import checks, engine
    from s5ref.gpu.machine import survey

    machine = survey()
    last = engine(machine, Cupy)
    return {
        "usable": last.ok,
        "checks": [check._asdict() for check in (*checks(machine), last)],
        "machine": dataclasses.asdict(machine),
    }


def _folders() -> dict[str, Any]:
    """The cache folder, and where the data of each readable task was found."""
    from s5ref.cache import cache_dir
    from s5ref.cli.recipes import data_state
    from s5ref.data.lookup import DATA_VARIABLE
    from s5ref.data.tasks import TASKS

    cache = cache_dir()
    parent = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
    writable = (
        "writable" if os.access(parent, os.W_OK) else "NOT writable: kernels are compiled in every process"
    )
    named = os.environ.get(DATA_VARIABLE)
    data = {}
    for task in TASKS.values():
        state, place = data_state(task)
        if task.available:
            words = {
                "embedded": "comes with s5ref",
                "found": place,
                "missing": f"not here: s5ref data {task.name}",
            }
            data[task.name] = words[state]
    return {"cache": f"{cache} ({writable}); {DATA_VARIABLE} {named or 'not set'}", "data": data}
