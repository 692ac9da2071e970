"""The child process of a peer, from the parent's side: build, time, and compare what it computes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s5ref import process
from s5ref.arrays import Array
from s5ref.bench.case import Case
from s5ref.bench.peers import Peer
from s5ref.process import Failed, Message, python

__all__ = ["Failed", "PeerProcess", "Timing"]
COMMAND = python("s5ref.bench.child")


class Timing(NamedTuple):
    """Seconds of one repetition, peak memory so far, the host's share of the time (None: unknown)."""

    seconds: float
    bytes: int | None
    host: float | None = None


class PeerProcess(process.Child):
    """Raises `Failed` where the peer raised, died, or answered what is no answer; the words say which."""

    def __init__(self, peer: Peer, command: Sequence[str] = COMMAND) -> None:
        super().__init__(command, peer.environment, name=f"the peer {peer.name}")
        self.peer = peer

    def build(self, case: Case | None, what: str) -> float:
        """Build the benchmark and make its first call: the seconds of that call."""
        message = {"op": "build", "builder": self.peer.builder, "case": case and case.message(), "what": what}
        return _seconds(self._result(message), "first_s")

    def run(self) -> Timing:
        """One repetition."""
        answer = self._result({"op": "run"})
        return Timing(_seconds(answer, "seconds"), answer["bytes"], answer["host"])

    def values(self) -> dict[str, Array]:
        """What the benchmark computes, by name."""
        values: dict[str, Array] = self._result({"op": "values"})["values"]
        return values

    def _result(self, message: Mapping[str, Any]) -> Message:
        answer = self.ask(message)
        if not answer["ok"]:
            raise Failed(str(answer.get("message", "no reason given")))
        return answer


def _seconds(answer: Message, name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise Failed(f"answered {name} = {value!r}, which is no time")
    return value
