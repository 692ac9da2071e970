"""A candidate in a child process: started on need, ended when it hangs, replaced when it dies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from s5ref import process
from s5ref.process import Died, Garbled, Hung, Message, python

__all__ = ["Child", "Died", "Garbled", "Hung"]
LOAD_SECONDS = 120.0  # importing torch or jax on a busy machine
COMPILED = "--xla_backend_optimization_level=0"  # jax compiles small cases for longer than it runs them


class Child(process.Child):
    """One candidate, by its target; its module is looked for in ``folder`` first.

    ``memory``: the bytes that it may have; None: any number.
    """

    def __init__(self, target: str, folder: str, memory: int | None = None) -> None:
        self.target, self.memory = target, memory
        flags = {"XLA_FLAGS": os.environ.get("XLA_FLAGS", COMPILED)}
        super().__init__(python(f"{__package__}.child"), flags, folder, target)

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
