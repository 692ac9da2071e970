"""What lindermanlab/S5 and the repositories that began with its files have in common: leaves, SSM, start."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from s5ref.verification.conformance.adapters.leaves import (
    LeafMap,
    column,
    pair,
    real_and_imaginary,
    same,
)
from s5ref.verification.conformance.adapters.parts import discretize_by, scan_by
from s5ref.verification.conformance.adapters.put import over_examples

LEAVES = LeafMap(
    real_and_imaginary("Lambda", "Lambda_re", "Lambda_im"), pair("B"), pair("C"), pair("C1"), pair("C2"),
    same("D"), column("log_step"), *(same(name) for name in ("kernel", "bias", "scale", "mean", "var")),
)  # fmt: skip


def names_of_2022() -> None:
    """Give jax.numpy the name ``DeviceArray``, which these files annotate with and jax no longer has."""
    if not hasattr(jnp, "DeviceArray"):
        jnp.DeviceArray = jax.Array


SSM = {"bidirectional": False, "conj_sym": True, "clip_eigs": False, "discretization": "zoh"}


def sized(leaves: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of S5SSM from the leaves of one SSM and the options of a case. Flax compares the shapes of
    what it would have drawn with those that are given, so V and its inverse have shapes, and no values.
    """
    chosen = SSM | {name: options[name] for name in SSM if name in options}
    P, H = len(leaves["Lambda_re"]), len(leaves["D"])
    drawn = 2 * P if chosen["conj_sym"] else P
    both = "C" in leaves and leaves["C"].shape[1] == 2 * P  # both directions in one leaf
    return chosen | {
        "Lambda_re_init": jnp.zeros(P), "Lambda_im_init": jnp.zeros(P), "V": jnp.zeros((drawn, P)),
        "Vinv": jnp.zeros((P, drawn)), "H": H, "P": P, "dt_min": 0.001, "dt_max": 0.1,
        "C_init": "complex_normal" if both else "lecun_normal",
    }  # fmt: skip


def started(make_DPLR_HiPPO: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of S5SSM as the repositories' training scripts make them: HiPPO-N block by block."""
    conj_sym, blocks, P = config.get("conj_sym", True), config.get("blocks", 1), config["ssm_size"]
    Lambda, _, _, V, _ = make_DPLR_HiPPO(P // blocks)
    kept = P // blocks // (2 if conj_sym else 1)
    Lambda, V = jnp.tile(Lambda[:kept], blocks), V[:, :kept]
    block_diag = jax.scipy.linalg.block_diag
    return SSM | {
        "Lambda_re_init": Lambda.real, "Lambda_im_init": Lambda.imag, "V": block_diag(*[V] * blocks),
        "Vinv": block_diag(*[V.conj().T] * blocks), "H": config["d_model"], "P": len(Lambda),
        "dt_min": config["dt_min"], "dt_max": config["dt_max"], "conj_sym": conj_sym,
        "C_init": config["c_init"],
    }  # fmt: skip


class FlaxS5:
    """The stages that these files share; ``text`` is the module with the SSM."""

    framework = "jax"
    text: Any

    def discretize(self, Lambda: Any, Delta: Any, method: str) -> tuple[Any, Any]:
        methods = {"zoh": self.text.discretize_zoh, "bilinear": self.text.discretize_bilinear}
        return discretize_by(methods, Lambda, Delta, method)

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        one = partial(scan_by, jax.lax.associative_scan, self.text.binary_operator, reverse=reverse)
        Lambda_bar = jnp.broadcast_to(Lambda_bar, Bu.shape)
        return over_examples(lambda a, b, x0: one((a, b), x0), Lambda_bar, Bu, x0)
