"""What the SSMs of a model do with time, in closed form from their parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, to_complex
from s5ref.model.config import ModelConfig
from s5ref.model.stack import layer_names
from s5ref.ssm.discretize import timescale
from s5ref.ssm.ssm import SSMOptions, eigenvalues, output_matrices
from s5ref.tree import subtree

LONGEST = 4096  # lags of an impulse response


class Poles(NamedTuple):
    """Of each kept state: Λ in continuous time, its step Δ, and Λ̄ in steps. (P',) each."""

    Lambda: Array
    Delta: Array
    Lambda_bar: Array

    @property
    def steps(self) -> Array:
        """(P',) steps after which a state has decayed to 1/e: −1/ln|Λ̄|; infinite where it does not decay.

        Under zero-order hold that is 1/(|Re Λ| Δ).
        """
        rate = -np.log(np.abs(self.Lambda_bar))
        return np.where(rate > 0, 1 / np.where(rate > 0, rate, 1.0), np.inf)


class Responses(NamedTuple):
    """Of one SSM, without the feedthrough D.

    lags (T,), impulse (3, T): response of a channel to an impulse in another at lag 0, and both their
    numbers in ``channels`` (3, 2): (input, output). Negative lags are those of the backward direction.
    frequency (F,) in cycles per step, gain (≤ 3, F): the largest singular values of the transfer matrix.
    """

    channels: list[tuple[int, int]]
    lags: Array
    impulse: Array
    frequency: Array
    gain: Array


def poles(params: Leaves, options: SSMOptions) -> Poles:
    """Of the leaves of one SSM, in float64."""
    return _discretised(_float64(params), options)[0]


def layer_poles(params: Leaves, config: ModelConfig) -> list[Poles]:
    """Of each layer, by the parameters of the whole model."""
    options, names = config.ssm_options(), layer_names(config.n_layers)
    return [poles(subtree(params, f"{name}.seq"), options) for name in names]


def responses(params: Leaves, options: SSMOptions, length: int) -> Responses:
    """Impulse and frequency responses of one SSM.

    Parameters
    ----------
    params : dict
        The leaves of one SSM.
    options : SSMOptions
    length : int
        Steps of the sequences: no lag is longer, and no frequency lower than half a cycle over it.

    Returns
    -------
    Responses
        Of the three output channels with the greatest power under white noise in all input channels, each
        with the input channel that contributes most; lags end where 99 % of the energy has passed.

    Notes
    -----
    With gains g of this step and g₋ of the step before (0 but for first-order hold) K_0 = f Re(C̃ g B̃) and
    K_k = f Re(C̃ Λ̄ᵏ⁻¹ B⁺), B⁺ = (Λ̄ g + g₋) B̃; f = 2 under conjugate symmetry. The power of output h is the sum
    of K_k² over T lags and all inputs: c_h M c_h*, where M_pq = (g B̃(g B̃)*)_pq + (B⁺B⁺*)_pq
    (1 − (λ_p λ_q*)^{T−1})/(1 − λ_p λ_q*) over the states and their conjugates. The transfer matrix is
    G(ω) = C (I − e^{−iω} Λ̄)⁻¹ (g + e^{−iω} g₋) B̃, backward in time that of −ω.
    """
    params = _float64(params)
    (_, _, Lambda_bar), gain, gain_before = _discretised(params, options)
    B = to_complex(params["B"])
    half = 1.0 if options.conj_sym else 0.5  # Re z = (z + z*)/2, doubled under conjugate symmetry
    T = min(length, LONGEST)
    A, B, now, before = (np.concatenate([x, x.conj()]) for x in (Lambda_bar, B, gain, gain_before))
    at_once, later = now[:, None] * B, (A * now + before)[:, None] * B
    Cs = [half * np.concatenate([C, C.conj()], axis=1) for C in output_matrices(params, options)]

    ratio = A[:, None] * A.conj()[None, :]
    off = np.where(ratio == 1, 0.5, ratio)
    M = (later @ later.conj().T) * np.where(ratio == 1, T - 1.0, (1 - off ** (T - 1)) / (1 - off))
    M = M + at_once @ at_once.conj().T
    power = sum(np.einsum("hp,pq,hq->h", C, M, C.conj(), optimize=True).real for C in Cs)
    powers = A[None, :] ** np.arange(T - 1)[:, None]
    channels, rows = [], []
    for h in np.argsort(-power, kind="stable")[:3]:
        each = [np.vstack([C[h] @ at_once, (powers * C[h]) @ later]) for C in Cs]  # (T, H): from every input
        whole = each[0].real if len(each) == 1 else _two_sided(each[0].real, each[1].real)
        j = int(np.argmax(np.sum(whole**2, axis=0)))
        channels.append((j, int(h)))
        rows.append(whole[:, j])
    impulse = np.stack(rows)
    lags = np.arange(impulse.shape[1]) - (T - 1 if len(Cs) == 2 else 0)
    within = _within(lags, impulse)

    frequency = np.geomspace(min(0.5 / length, 0.1), 0.5, 96)
    z = np.exp(2j * np.pi * frequency)
    C_all, B_all = np.concatenate(Cs, axis=1), np.concatenate([B] * len(Cs))
    R_C = np.linalg.qr(C_all).R  # a product of the triangles has the same singular values
    R_B = np.linalg.qr(B_all.conj().T).R
    directions = [z, z.conj()][: len(Cs)]
    delays = [1 / w[:, None] for w in directions]
    weights = np.concatenate([(now + before * by) / (1 - A * by) for by in delays], axis=1)
    values = np.linalg.svd((R_C[None] * weights[:, None, :]) @ R_B.conj().T, compute_uv=False)
    return Responses(channels, lags[within], impulse[:, within], frequency, values[:, :3].T)


def _two_sided(forward: Array, backward: Array) -> Array:
    """(2T − 1, H) over the lags −T + 1 … T − 1: both directions see the present step."""
    whole = np.concatenate([backward[:0:-1], forward])
    whole[len(backward) - 1] += backward[0]
    return whole


def _within(lags: Array, impulse: Array) -> Array:
    """The lags around 0 that hold 99 % of the energy of each response, at least 8 of them."""
    energy = impulse**2 / np.maximum(np.sum(impulse**2, axis=1, keepdims=True), 1e-300)
    distance = np.abs(lags)
    by_distance = np.stack([np.bincount(distance, weights=row) for row in energy])
    reach = max(8, int(np.argmax(np.cumsum(by_distance, axis=1) >= 0.99, axis=1).max()))
    within: Array = distance <= reach
    return within


def _discretised(params: Leaves, options: SSMOptions) -> tuple[Poles, Array, Array]:
    """The poles, and the gains of each state's input at this step and at the step before; the second may
    be 0.
    """
    Delta, _ = timescale(params["log_step"], 1.0, len(params["Lambda_re"]))
    Lambda = eigenvalues(params, options)
    (Lambda_bar, *before, gain), _ = options.discretization.value(Lambda, Delta, None)
    return Poles(Lambda, Delta, Lambda_bar), gain, before[0] if before else np.zeros_like(gain)


def _float64(params: Leaves) -> dict[str, Array]:
    return {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
