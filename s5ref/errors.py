"""The one exception of the public boundary: what is wrong, and what to do about it."""

from __future__ import annotations


class S5Error(ValueError):
    """A refused input.

    ``message`` names the invariant and what arrived; ``remedy`` says what to do. The command line prints both
    and exits with 2 (with ``--json``: ``{"error": {"message": …, "remedy": …}}``).
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.message = message
        self.remedy = remedy
