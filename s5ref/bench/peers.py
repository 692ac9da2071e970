"""What is timed, ours and other implementations: what each needs, and which cases it takes part in."""

from __future__ import annotations

import difflib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from s5ref.bench.case import Case
from s5ref.errors import S5Error
from s5ref.machine import version


@dataclass(frozen=True)
class Peer:
    """An implementation that is timed in a process of its own.

    name           on the command line and in the results
    module         its ``build(case, what)`` makes the `Benchmark`, in a child process
    needs          the packages that it imports
    distributions  whose versions belong to the results
    install        how to get them
    bare           it is measured on the bare SSM, otherwise on whole models
    environment    of its process, beside ours
    gpu            what its environment has besides on a GPU, where it runs on one
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    install: str = ""
    bare: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    gpu: dict[str, str] = field(default_factory=dict)

    def takes(self, case: Case, what: str) -> bool:
        return self.bare == case.bare and what in ("train_step", "forward")

    def versions(self) -> dict[str, str | None]:
        return {name: version(name) for name in self.distributions}


PEERS = {
    "jax": Peer(
        "jax", "s5ref.bench.jax_peer", ("jax", "jaxlib"), ("jax", "jaxlib"), "pip install jax",
        environment={"JAX_PLATFORMS": "cpu"},
        gpu={"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
             "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"},
    ),
    "s5-pytorch": Peer(
        "s5-pytorch", "s5ref.bench.pytorch_peer", ("torch", "s5"), ("torch", "s5-pytorch"),
        "pip install s5-pytorch", bare=True,
    ),
}  # fmt: skip

PRECISIONS = {False: "highest", True: "tensorfloat32"}  # of JAX's float32 products, by "in TF32?"
LOOK = "import jax; print(jax.devices()[0].device_kind)"


def on_gpu(peer: Peer, tf32: bool) -> Peer:
    """The peer on the GPU, its products in the precision of ours; S5Error where it computes on none."""
    if not peer.gpu:
        known = ", ".join(name for name, other in PEERS.items() if other.gpu)
        raise S5Error(f"The peer {peer.name} is measured on the CPU only.", f"Known on a GPU: {known}.")
    precision = {"JAX_DEFAULT_MATMUL_PRECISION": PRECISIONS[tf32]}
    there = replace(peer, environment=peer.environment | peer.gpu | precision)
    found = subprocess.run(
        [sys.executable, "-c", LOOK], env=os.environ | there.environment, capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or [f"exit code {found.returncode}"])[-1]
        raise S5Error(
            f"The peer {peer.name} finds no GPU: {reason}",
            f'pip install "{peer.name}[cuda13]" (or cuda12), or leave {peer.name} out of --peers.',
        )
    return there


def chosen(names: Iterable[str]) -> list[Peer]:
    """The peers of these names; S5Error for one that is unknown or not installed."""
    found = []
    for name in dict.fromkeys(names):
        if name not in PEERS:
            near = difflib.get_close_matches(name.lower(), PEERS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise S5Error(f"Unknown peer {name!r}.", f"{hint}Known: {', '.join(PEERS)}.")
        peer = PEERS[name]
        missing = [package for package in peer.needs if importlib.util.find_spec(package) is None]
        if missing:
            raise S5Error(
                f"The peer {name} needs the package {missing[0]}, which is not installed.",
                f"{peer.install}, or leave {name} out of --peers.",
            )
        found.append(peer)
    return found
