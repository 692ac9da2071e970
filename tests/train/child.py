"""A training process for the kill tests: python child.py CONFIG.toml RUN."""

from __future__ import annotations

import sys
from pathlib import Path

from s5ref import NUMPY
from s5ref.data.digits import load
from s5ref.train.config import RunConfig
from s5ref.train.loop import fit

if __name__ == "__main__":
    path, run = sys.argv[1:]
    begun = (Path(run) / "config.toml").exists()
    result = fit(RunConfig.from_toml(path), load(), run, engine=NUMPY, seed=1, resume=begun)
    sys.exit(0 if result.interrupted is None else 128 + result.interrupted)
