"""The kit that judges other implementations of S5: `s5ref check TARGET`. See docs/conformance.md."""

from __future__ import annotations
