"""AdamW with S5's parameter groups and learning-rate schedules; usable without `s5ref.train`."""

from __future__ import annotations

from s5ref.optim.adamw import Group, Moments, group_table
from s5ref.optim.optimizer import AdamW, AdamWState, OptimConfig

__all__ = ["AdamW", "AdamWState", "Group", "Moments", "OptimConfig", "group_table"]
