"""The other implementations: what each needs, and which cases it takes part in."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from s5ref.bench.case import Case
from s5ref.errors import S5Error


@dataclass(frozen=True)
class Peer:
    """name           on the command line and in the results
    module         its ``build`` makes the work, in a child process
    needs          the packages that it imports
    distributions  whose versions belong to the results
    install        how to get them
    bare           it is measured on the bare SSM, otherwise on whole models
    environment    of its process, beside ours
    """

    name: str
    module: str
    needs: tuple[str, ...]
    distributions: tuple[str, ...]
    install: str
    bare: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def takes(self, case: Case, what: str) -> bool:
        return self.bare == case.bare and what in ("train_step", "forward")

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in self.distributions}


PEERS = {
    "jax": Peer(
        "jax", "s5ref.bench.jax_peer", ("jax", "jaxlib"), ("jax", "jaxlib"), "pip install jax",
        # set, so that the kit's adapter does not ask XLA to compile in a hurry
        environment={"XLA_FLAGS": os.environ.get("XLA_FLAGS", "")},
    ),
    "s5-pytorch": Peer(
        "s5-pytorch", "s5ref.bench.pytorch_peer", ("torch", "s5"), ("torch", "s5-pytorch"),
        "pip install s5-pytorch", bare=True,
    ),
}  # fmt: skip


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
