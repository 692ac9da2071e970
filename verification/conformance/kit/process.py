"""A candidate in a child process: started on need, ended when it hangs, replaced when it dies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from s5ref import process
from s5ref.cache import cache_dir
from s5ref.process import Died, Garbled, Hung, Message, python

__all__ = ["Child", "Died", "Garbled", "Hung"]
LOAD_SECONDS = 120.0  # importing torch or jax on a busy machine


def _of_jax() -> dict[str, str]:
    """Variables of jax, which compiles small cases for longer than it runs them: without LLVM's
    optimisations, and once for all checks of this machine. Those that are set stay.
    """
    ours = {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(cache_dir() / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {name: os.environ.get(name, value) for name, value in ours.items()}


class Child(process.Child):
    """One candidate, by its target; its module is looked for in ``folder`` first.

    ``memory``: the bytes that it may have; None: any number.
    """

    def __init__(self, target: str, folder: str, memory: int | None = None) -> None:
        self.target, self.memory = target, memory
        super().__init__(python(f"{__package__}.child"), _of_jax(), folder, target)

    def start(self) -> Message:
        """Load the candidate: what it says of itself, or why it could not be loaded."""
        described = self.ask({"op": "load", "target": self.target, "memory": self.memory}, LOAD_SECONDS)
        if not described["ok"]:
            self.close()
        return described

    def call(self, message: Mapping[str, Any], seconds: float) -> Message:
        """The answer to a message; raises `Hung` or `Died`, after which the next call has a new process."""
        if not self.running and not (loaded := self.start())["ok"]:
            return loaded
        return self.ask(message, seconds)
