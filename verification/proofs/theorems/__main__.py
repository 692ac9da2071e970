"""``python -P -m s5ref.verification.proofs.theorems [quick|full]``: the table of theorems; exit code 1 if a
row does not hold."""

from __future__ import annotations

import sys

from s5ref.verification.proofs.theorems import show

if __name__ == "__main__":
    sys.exit(0 if all(row.passed for row in show(*sys.argv[1:2])) else 1)
