"""``s5ref doctor``: what this installation can do, what it lacks and how to get it. 0: it can train."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from typing import Any

from s5ref import __version__
from s5ref.cli.options import Parser
from s5ref.cli.output import DONE, NO, Output
from s5ref.machine import blas, processor, simd, usable_cores, version

EXAMPLES = """\
  s5ref doctor
  s5ref doctor --json
"""
CORE = ("numpy", "scipy", "numba", "rich", "tomli_w", "filelock", "threadpoolctl")  # modules
EXTRAS = {  # extra: (distribution, what for)
    "data": ("pooch", "downloads; with Pillow, PNG"),
    "plot": ("matplotlib", "the plot of a run"),
    "verify": ("python-flint", "certified enclosures"),
    "interop": ("safetensors", "exchange of weights"),
    "onnx": ("onnx", "ONNX files"),
    "tensorboard": ("tensorboardX", "curves in TensorBoard"),
    "mpi": ("mpi4py", "training with several processes"),
}


def parser() -> Parser:
    return Parser("doctor", __doc__ or "", "[--json]", EXAMPLES)


def run(args: argparse.Namespace, out: Output) -> int:
    core = {module: _import(module) for module in CORE}
    problems = [f"{module}: {state['problem']}" for module, state in core.items() if not state["ok"]]
    facts: dict[str, Any] = {
        "ok": not problems, "problems": problems, "s5ref": __version__, "python": platform.python_version(),
        "executable": sys.executable, "platform": platform.platform(), "core": core,
        "cpu": {"name": processor(), "cores": os.cpu_count(), "usable": usable_cores(), "flags": simd()},
        "blas": _blas(), "longdouble": _longdouble(),
        "extras": {extra: {"package": name, "version": version(name), "for": use,
                           "install": f'pip install "s5ref[{extra}]"'}
                   for extra, (name, use) in EXTRAS.items()},
        "gpu": _gpu(),
    }  # fmt: skip
    if not problems:
        facts |= _folders()
    out.result(facts)
    for title, words in _rows(facts):
        out.say(f"{title:<16}{words}".rstrip())
    out.say()
    if problems:
        out.say("The core does not work: pip install --force-reinstall s5ref, or what is named above.")
        return NO
    out.say("The core works: `s5ref train digits` trains, `s5ref verify` checks the numbers.")
    return DONE


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A title and what belongs to it, line by line."""
    cpu, longdouble = facts["cpu"], facts["longdouble"]
    yield "s5ref", f"{facts['s5ref']}, Python {facts['python']} ({facts['executable']})"
    yield "platform", facts["platform"]
    yield "cpu", f"{cpu['name']}, {cpu['usable']} of {cpu['cores']} cores; {' '.join(cpu['flags'])}"
    for module, state in facts["core"].items():
        yield module, state["version"] if state["ok"] else f"PROBLEM: {state['problem']}"
    yield "BLAS", "; ".join(facts["blas"]) or "unknown"
    wider = "SEQUENTIAL can go beyond float64" if longdouble["wider"] else "no wider than float64 here"
    yield "longdouble", f"{longdouble['bits']} bits of precision: {wider}"
    for extra, state in facts["extras"].items():
        absent = f"not installed ({state['for']}): {state['install']}"
        yield f"[{extra}]", f"{state['package']} {state['version']}" if state["version"] else absent
    if "cache" in facts:
        yield "cache", facts["cache"]
        yield from ((f"data {name}", words) for name, words in facts["data"].items())
    yield "", ""
    yield "For a GPU", "(without one, the CPU engines do everything)"
    for check in facts["gpu"]["checks"]:
        yield check["name"], check["found"]
        if check["remedy"]:
            yield "", f"→ {check['remedy']}"


def _import(module: str) -> dict[str, Any]:
    """Does it import? A half-installed package may raise any exception."""
    distribution, problem = module.replace("_", "-"), ""
    try:
        importlib.import_module(module)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        if importlib.util.find_spec(module) is None:
            problem = f"not installed: pip install {distribution}"
    return {"ok": not problem, "version": version(distribution), "problem": problem}


def _blas() -> list[str]:
    with contextlib.suppress(ImportError):
        import scipy.linalg  # noqa: F401 - loads SciPy's own BLAS
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
    results = [check._asdict() for check in (*checks(machine), last)]
    return {"usable": last.ok, "checks": results, "machine": machine}


def _folders() -> dict[str, Any]:
    """The cache folder, and where the data of each readable task is."""
    from s5ref.cache import cache_dir
    from s5ref.cli.recipes import data_words
    from s5ref.data import READERS, TASKS
    from s5ref.data.lookup import DATA_VARIABLE

    cache = cache_dir()
    parent = next(p for p in (cache, *cache.absolute().parents) if p.exists())
    writable = (
        "writable" if os.access(parent, os.W_OK) else "NOT writable: kernels are compiled in every process"
    )
    named = os.environ.get(DATA_VARIABLE) or "not set"
    data = {name: data_words(TASKS[name]) for name in READERS}
    return {"cache": f"{cache} ({writable}); {DATA_VARIABLE} {named}", "data": data}
