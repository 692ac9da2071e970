"""What is timed, ours and other implementations: what each needs, and which cases it takes part in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from s5ref.bench.case import Case
from s5ref.errors import MissingDependency, S5Error
from s5ref.settings import check_known


@dataclass(frozen=True)
class Peer:
    """An implementation that is timed in a process of its own.

    name           on the command line and in the results
    builder        "module:function" of (case, what) that makes the `Benchmark`, in a child process
    needs          the packages that it imports, and the distributions that bring them
    bare           it is measured on the bare SSM, otherwise on whole models
    same           it computes what we compute, and is timed only if its values are ours
    environment    of its process, beside ours
    gpu            what its environment has besides on a GPU, where it runs on one
    """

    name: str
    builder: str
    needs: dict[str, str] = field(default_factory=dict)
    bare: bool = False
    same: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    gpu: dict[str, str] = field(default_factory=dict)

    def takes(self, case: Case, what: str) -> bool:
        m = case.model
        pooled = self.same or m.head == "classifier"
        if m.encoder != "linear" or m.head == "gaussian_regression":  # which none of them has
            return False
        return self.bare == case.bare and pooled and what in ("train_step", "forward")


_JAX = Peer(
    "jax", "s5ref.bench.jax_peer:build", {"jax": "jax", "jaxlib": "jaxlib"},
    environment={"JAX_PLATFORMS": "cpu"},
    gpu={"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
         "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"},
)  # fmt: skip
_S5_PYTORCH = Peer(
    "s5-pytorch", "s5ref.bench.pytorch_peer:build", {"torch": "torch", "s5": "s5-pytorch"}, bare=True
)
_LSTM = Peer("lstm", "s5ref.bench.rnn_peer:build_lstm", {"torch": "torch"}, same=False)
PEERS = {
    peer.name: peer
    for peer in (
        _JAX,
        replace(_JAX, name="jax-scan", builder="s5ref.bench.jax_peer:build_scan"),
        _S5_PYTORCH,
        replace(_S5_PYTORCH, name="s5-pytorch-compiled", builder="s5ref.bench.pytorch_peer:build_compiled"),
        _LSTM,
        replace(_LSTM, name="gru", builder="s5ref.bench.rnn_peer:build_gru"),
    )
}

PRECISIONS = {False: "highest", True: "tensorfloat32"}  # of JAX's float32 products, by "in TF32?"
LOOK = "import jax; print(jax.devices()[0].device_kind)"


def on_gpu(peer: Peer, tf32: bool) -> Peer:
    """The peer on the GPU, its products in the precision of ours.

    Raises
    ------
    S5Error
        On a peer that is measured on the CPU only, or finds no GPU.
    """
    if not peer.gpu:
        known = ", ".join(name for name, other in PEERS.items() if other.gpu)
        raise S5Error(f"The peer {peer.name} is measured on the CPU only.", f"Known on a GPU: {known}.")
    precision = {"JAX_DEFAULT_MATMUL_PRECISION": PRECISIONS[tf32]}
    there = replace(peer, environment=peer.environment | peer.gpu | precision)
    look = subprocess.run(
        [sys.executable, "-P", "-c", LOOK], env=os.environ | there.environment, capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if look.returncode:
        reason = (look.stderr.strip().splitlines() or [f"exit code {look.returncode}"])[-1]
        raise S5Error(
            f"The peer {peer.name} finds no GPU: {reason}",
            f'pip install "{peer.name}[cuda13]" (or cuda12), or leave {peer.name} out of --peers.',
        )
    return there


def chosen(names: Iterable[str]) -> list[Peer]:
    """The peers of these names.

    Raises
    ------
    S5Error
        On one that is unknown or not installed.
    """
    peers = []
    for name in dict.fromkeys(names):
        check_known("peer", name, PEERS)
        peers.append(PEERS[name])
        for package in PEERS[name].needs:
            if importlib.util.find_spec(package) is None:
                raise MissingDependency(
                    f"The peer {name} needs the package {package}, which is not installed.",
                    f"pip install {' '.join(PEERS[name].needs.values())}, or leave {name} out of --peers.",
                )
    return peers
