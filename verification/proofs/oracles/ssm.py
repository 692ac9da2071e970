"""The state space in exact formulas: HiPPO, discretisation, scan, the whole SSM and its step, for any kind of
number.

Written from the definitions (S5 paper, sections 3 and 4), not from `s5ref.ssm`. Arguments are object arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from s5ref.verification.proofs.oracles.balls import Balls, enclose, flint
from s5ref.verification.proofs.oracles.elementary import bounded, constant, exp, phi1, phi2, re

CLIPPED = Fraction(-1, 10_000)
Params = Mapping[str, Any]


def legs_normal(n: int) -> Any:
    """A_LegS + p pᵀ, p_i = √(i + ½), as an ``acb_mat``, from HiPPO's own entries."""
    module = flint()
    arb = module.arb
    root = [arb(2 * i + 1).sqrt() for i in range(n)]
    p = [(arb(2 * i + 1) / 2).sqrt() for i in range(n)]

    def legs(i: int, k: int) -> Any:
        return -root[i] * root[k] if i > k else arb(-(i + 1) if i == k else 0)

    return module.acb_mat(n, n, [module.acb(legs(i, k) + p[i] * p[k]) for i in range(n) for k in range(n)])


def hippo_eigenvalues(n: int) -> Balls:
    """Enclosures of the n eigenvalues of A_normal, proven simple, by ascending imaginary part; n up to 64.

    Their real part is −½, as A_normal + ½I is skew-symmetric: it replaces the ball, which has to contain it.
    """

    def eigenvalues() -> dict[str, Balls]:
        ascending = sorted(legs_normal(n).eig(), key=lambda z: float(z.imag.mid()))
        half = constant(Fraction(-1, 2)).real
        assert all(z.real.contains(half) for z in ascending)
        return {"eigenvalues": np.array([flint().acb(half, z.imag) for z in ascending], dtype=object)}

    return np.asarray(enclose(eigenvalues, bits=200 + 8 * n)["eigenvalues"], dtype=object)


def zoh(Lambda: Balls, Delta: Balls) -> tuple[Balls, Balls]:
    """exp(ΛΔ), ∫₀^Δ exp(Λs) ds."""
    z = Lambda * Delta
    return exp(z), Delta * phi1(z)


def bilinear(Lambda: Balls, Delta: Balls) -> tuple[Balls, Balls]:
    """(1 − ΛΔ/2)⁻¹(1 + ΛΔ/2), (1 − ΛΔ/2)⁻¹Δ."""
    half = Lambda * Delta / 2
    return (1 + half) / (1 - half), Delta / (1 - half)


def dirac(Lambda: Balls, Delta: Balls) -> tuple[Balls, Balls]:
    """exp(ΛΔ), 1."""
    Lambda_bar = exp(Lambda * Delta)
    return Lambda_bar, np.full(Lambda_bar.shape, constant(1), dtype=object)


def asynchronous(Lambda: Balls, Delta: Balls, interval: Balls | None = None) -> tuple[Balls, Balls]:
    """exp(ΛΔ interval), ∫₀^Δ exp(Λs) ds: the interval enters the decay alone."""
    _, gain = zoh(Lambda, Delta)
    return exp(Lambda * (Delta if interval is None else Delta * interval)), gain


def first_order_hold(Lambda: Balls, Delta: Balls) -> tuple[Balls, Balls, Balls]:
    """exp(ΛΔ), ∫₀^Δ exp(Λs) w(s) ds for the weights w of the two samples: s/Δ and 1 − s/Δ."""
    z = Lambda * Delta
    return exp(z), Delta * (phi1(z) - phi2(z)), Delta * phi2(z)


def discretize(Lambda: Balls, Delta: Balls, method: str = "zoh") -> tuple[Balls, Balls]:
    """(Λ̄, gain)."""
    return {"zoh": zoh, "bilinear": bilinear, "dirac": dirac}[method](Lambda, Delta)


def timescale(log_step: Balls, rescale: Any, states: int) -> Balls:
    """Δ = rescale · exp(log_step), of each of the states, also where they share one log_step."""
    return np.broadcast_to(exp(log_step) * constant(rescale), (states,))


def clip_eigs(Lambda_re: Balls) -> Balls:
    """min(Re Λ, −10⁻⁴)."""
    return bounded(Lambda_re, CLIPPED, above=True)


def scan(
    Lambda_bar: Balls,
    Bu: Balls,
    x0: Balls | None = None,
    reverse: bool = False,
    resets: Any = None,
    reset_state: Balls | None = None,
) -> tuple[Balls, Balls]:
    """x_k = Λ̄_k x_{k−1} + Bu_k, and the state after the last step processed; at the steps of ``resets``
    (N, L) reset_state (P), or zero, stands for x_{k−1}.
    """
    L, zero = Bu.shape[1], constant(0)
    x = np.empty(Bu.shape, dtype=object)
    state = x0
    for k in reversed(range(L)) if reverse else range(L):
        a = Lambda_bar[:, k] if Lambda_bar.ndim == 3 else Lambda_bar
        if resets is not None and resets[:, k].any():
            before = np.full(Bu[:, k].shape, zero, dtype=object) if state is None else state
            state = np.where(resets[:, k, None], zero if reset_state is None else reset_state, before)
        state = Bu[:, k] if state is None else a * state + Bu[:, k]
        x[:, k] = state
    assert state is not None
    return x, state


def joined(params: Params, name: str) -> Balls:
    """A complex parameter however it is given: complex, or with its two parts on the last axis (B, C, x0), or
    as two leaves (Lambda)."""
    if name == "Lambda" and "Lambda" not in params:
        parts = params["Lambda_re"], params["Lambda_im"]
    elif params[name].ndim < (2 if name.startswith("x0") else 3):
        return np.asarray(params[name], dtype=object)
    else:
        parts = params[name][..., 0], params[name][..., 1]
    return np.asarray(parts[0] + parts[1] * flint().acb(0, 1), dtype=object)


def output_matrices(params: Params, bidirectional: bool) -> list[Balls]:
    """C̃, or C̃ of both directions, which upstream stores as one leaf with complex_normal."""
    if "C1" in params:
        return [joined(params, "C1"), joined(params, "C2")]
    C = joined(params, "C")
    return np.split(C, 2, axis=1) if bidirectional else [C]


def state_matrix(params: Params, clipped: bool) -> Balls:
    """Λ, its real part clipped at −10⁻⁴ if so."""
    if not clipped:
        return joined(params, "Lambda")
    if "Lambda" in params:
        Lambda = params["Lambda"]
        return np.asarray(Lambda + clip_eigs(re(Lambda)) - re(Lambda), dtype=object)
    return joined(dict(params) | {"Lambda_re": clip_eigs(params["Lambda_re"])}, "Lambda")


def last_steps(N: int, L: int, lengths: Any, resets: Any) -> Any:
    """(N, L) bool: the last valid step of each sequence and of each of its episodes, where the backward
    direction begins, as it does at every step of padding."""
    ends = np.zeros((N, L), bool)
    for n in range(N):
        ends[n, (L if lengths is None else int(lengths[n])) - 1 :] = True
        if resets is not None:
            ends[n, np.flatnonzero(resets[n, 1:])] = True
    return ends


def after(intervals: Balls, ends: Any) -> Balls:
    """The interval between a step and the next one; 1 at the last steps: what the backward direction
    meets."""
    following = np.concatenate([intervals[:, 1:], intervals[:, :1]], axis=1)
    return np.asarray(np.where(ends, constant(1), following), dtype=object)


class SSMOptions(NamedTuple):
    """What kind of SSM."""

    bidirectional: bool = False
    conj_sym: bool = True
    clip_eigs: bool = False
    discretization: str = "zoh"
    step_rescale: Any = 1
    learn_initial_state: bool = False


def ssm(
    params: Params,
    u: Balls,
    x0: Balls | None = None,
    intervals: Balls | None = None,
    lengths: Any = None,
    resets: Any = None,
    **options: Any,
) -> tuple[Balls, Balls]:
    """y = Re(C̃ x) (twice it with conj_sym) + D ∘ u and the final state; ``options`` are `SSMOptions`.

    Steps from ``lengths`` on put nothing into the state. Sequences, and the episodes that begin at
    ``resets``, start from the leaf x0, or x0_1 and x0_2 of the two directions, or from zero. With
    first-order hold the state is (N, 2P): x, and B̃u of the step before, which is 0 where an episode begins.
    """
    o = SSMOptions(**options)
    Lambda, B = state_matrix(params, o.clip_eigs), joined(params, "B")
    Cs = output_matrices(params, o.bidirectional)
    inputs = u if lengths is None else only_valid(u, lengths)
    raw, factor = inputs @ B.T, 2 if o.conj_sym else 1

    N, L = u.shape[:2]
    starts = ("x0_1", "x0_2") if o.bidirectional else ("x0",)
    s = [joined(params, name) if o.learn_initial_state else None for name in starts]

    def direction(
        C: Balls, spacing: Balls | None, start: Balls | None, begins: Any, s: Balls | None, reverse: bool
    ) -> tuple[Balls, Balls]:
        step = timescale(params["log_step"], o.step_rescale, len(Lambda))
        interval = None if spacing is None else spacing[:, :, None]
        Delta = step if interval is None else step * interval
        if o.discretization == "foh":
            start, first = (None, None) if start is None else np.split(start, 2, axis=1)
            Lambda_bar, gain_before, gain = first_order_hold(Lambda, Delta)
            before = np.where(begins[:, :, None], constant(0), _before(raw, first, reverse))
            x, last = scan(Lambda_bar, gain * raw + gain_before * before, start, reverse, begins, s)
            return re(x @ C.T) * factor, np.concatenate([last, raw[:, -1]], axis=1)
        if o.discretization == "async":
            Lambda_bar, gain = asynchronous(Lambda, step, interval)
        else:
            Lambda_bar, gain = discretize(Lambda, Delta, o.discretization)
        x, last = scan(Lambda_bar, gain * raw, start, reverse, begins, s)
        return re(x @ C.T) * factor, last

    begins = np.zeros((N, L), bool) if resets is None else np.array(resets)
    begins[:, 0] |= x0 is None
    y, last = direction(Cs[0], intervals, x0, begins, s[0], False)
    if o.bidirectional:
        ends = last_steps(N, L, lengths, resets)
        spacing = None if intervals is None else after(intervals, ends)
        y = y + direction(Cs[1], spacing, None, ends, s[1], True)[0]
    return np.asarray(y + params["D"] * u, dtype=object), last


def _before(raw: Balls, first: Balls | None, reverse: bool) -> Balls:
    """raw of the step that comes before in the direction of the scan; ``first``, or 0, at its first step."""
    out = np.full(raw.shape, constant(0), dtype=object)
    L = raw.shape[1]
    for k in range(L):
        at = k + 1 if reverse else k - 1
        if 0 <= at < L:
            out[:, k] = raw[:, at]
        elif first is not None:
            out[:, k] = first
    return out


def only_valid(x: Balls, lengths: Any) -> Balls:
    """x with exact zeros from each length on."""
    inside = np.arange(x.shape[1])[None, :] < np.asarray(lengths)[:, None]
    return np.asarray(np.where(inside[:, :, None], x, constant(0)), dtype=object)


def step(params: Params, state: Balls, u: Balls, **options: Any) -> tuple[Balls, Balls]:
    """(state, y) after one more input (N, H): a sequence of one step from that state."""
    y, last = ssm(params, u[:, None], state, **options)
    return last, y[:, 0]
