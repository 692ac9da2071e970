"""Checks of s5ref's own library: its chunks, checkpoints and groups. M11 M14 M15 M24. What they ask
nobody for."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from s5ref import engines
from s5ref.engine import Call
from s5ref.model import chunks
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.train import checkpoint
from s5ref.train.state import State
from s5ref.verification.golden import GOLDEN
from s5ref.verification.mutants.subject import Ask, near
from s5ref.verification.problems import BASE, problem


def chunked(ask: Ask) -> bool:
    """M11 in s5ref's own chunks: the gradient of three chunks is that of the whole."""
    at = problem("behaviour", "chunks", replace(BASE, norm="layer"), length=9)
    call = Call(engines.SEQUENTIAL, **at.call)
    whole = at.model.loss_and_grad(at.params, at.statistics, at.batch, call)
    parts = chunks.chunked_loss_and_grad(at.model, at.params, at.statistics, at.batch, call, 3)
    equal: bool = near(parts.grads, whole.grads, 2.0**-30)
    return equal


def loaded_is_saved(ask: Ask) -> bool:
    """M14: parameters after loading are those that were saved, not initial ones."""
    state = State.initial(Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4)), 3, "float64")
    moved = {name: leaf + 1 for name, leaf in state.weights.params.items()}
    state = replace(state, weights=state.weights._replace(params=moved))
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "state.npz")
        back = State.load(Path(folder) / "state.npz")
    return all(np.array_equal(back.weights.params[name], leaf) for name, leaf in moved.items())


def groups(ask: Ask) -> bool:
    """M15: every leaf is in the group of the golden table, and every group has a leaf."""
    check, limit = GOLDEN["parameter groups"]
    return all(value <= limit for value, _ in check())


def layouts(ask: Ask) -> bool:
    """M24: an array in Fortran order (Vᴴ) is saved and read back as it is."""
    V = np.asfortranarray((np.arange(12.0).reshape(3, 4) + 1j).conj()).T
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "V.npz", {"V": V.conj().T}, {})
        arrays, _ = checkpoint.load(Path(folder) / "V.npz")
    return bool(np.array_equal(arrays["V"], V.conj().T))
