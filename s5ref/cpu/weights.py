"""The weights of a layer as its loops read them, from the leaves, and the cotangents back to the leaves.

A leaf (…, 2) is complex numbers as pairs already, so each matrix is one product with a transposed view of its
leaf: those of `s5ref.ssm.project`, without the steps between.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_finite, complex_dtype
from s5ref.cpu.block_backward import Transposed
from s5ref.cpu.block_forward import Layer
from s5ref.cpu.compile import writeable
from s5ref.cpu.discretize import with_compiled_zoh
from s5ref.engine import Call
from s5ref.engines import SEQUENTIAL
from s5ref.model.block import BlockOptions
from s5ref.model.mix import half_glu2
from s5ref.nn.norm import BatchNormResiduals
from s5ref.ssm import ssm as ssm_text
from s5ref.ssm.discretize import log_step_cotangent, timescale
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions
from s5ref.tree import prefixed, subtree


class Discretised(NamedTuple):
    """Residuals of `weights`: Λ̄ (P'), the gain (P'), and what the vjp of the discretisation needs; under
    irregular sampling Z (P'), the factor of B̃ in w (P'), and Δ (P').
    """

    Lambda_bar: Array
    gain: Array
    residuals: Any


def weights(
    params: Leaves, norm: BatchNormResiduals, bias: Array, options: BlockOptions, call: Call, dropout: bool
) -> tuple[Layer, Discretised]:
    """The layer that normalises as ``norm`` says, with that ``bias`` (H). ``dropout``: whether there are
    masks.
    """
    seq, real, H = subtree(params, "seq"), norm.x.dtype, len(bias)
    irregular, none = call.intervals is not None, np.empty(0, complex_dtype(norm.x))
    if irregular:
        discretised = _irregular(seq, options.ssm, call)
    else:
        (Lambda_bar, gain), residuals = ssm_text.discretised(seq, with_compiled_zoh(options.ssm), call)
        discretised = Discretised(Lambda_bar, gain, residuals)
    rates = discretised.Lambda_bar
    factors = _factors(options.ssm, real)[:, None]
    Cs = [np.multiply(seq[name].transpose(1, 2, 0), factors, order="C") for name in _outputs(seq)]
    C = np.concatenate(Cs).reshape(-1, H)
    s = [seq[name].reshape(-1) for name in ssm_text.initial_state_names(options.ssm)]
    layer = Layer(
        mean=writeable(norm.mean, real),
        factor=norm.scale * norm.rstd,
        bias=writeable(bias, real),
        rstd=norm.rstd,
        row_norm=options.prenorm and not options.batch_norm,
        D=writeable(seq["D"], real),
        Lambda_bar=np.ascontiguousarray(none if irregular else rates).view(real),
        Z=np.stack([rates.real, rates.imag]) if irregular else None,
        impulses=irregular and options.ssm.discretization is DISCRETIZATIONS["dirac"],
        B=np.multiply(_complex(seq["B"]).T, discretised.gain, order="C").view(real),
        C=C,
        **_gates(params, real),
        s=np.concatenate(s) if s else np.zeros(len(C), real),
        erf=options.gelu(SEQUENTIAL) is SEQUENTIAL.gelu_erf,
        gates_y=options.mix.value is half_glu2,
        dropout=dropout,
    )
    return layer, discretised


def weights_vjp(
    params: Leaves,
    discretised: Discretised,
    d: tuple[Array, Array, Array, Array, Array],
    options: SSMOptions,
    irregular: bool,
) -> dict[str, Array]:
    """The cotangents of the leaves seq.* from the sums (2, 2P') of `s5ref.cpu.block_backward.retrace`, and
    those of the rows B (H, 2P'), C (S, H), of D and of the states (S) that a reset brings.
    """
    sums, dB_rows, dC_rows, dD, ds = d
    seq = subtree(params, "seq")
    names = _outputs(seq)
    dB = np.ascontiguousarray(dB_rows.view(complex_dtype(dD)).T)  # of gain ∘ B̃
    if irregular:
        P = sums.shape[1] // 2
        dLambda = discretised.residuals * (sums[0, :P] + 1j * sums[0, P:])
        dlog_step = log_step_cotangent(sums[1, :P], len(seq["log_step"]) != P)
    else:
        dgain = np.vecdot(_complex(seq["B"]), dB)
        dLambda, dlog_step = ssm_text.discretised_vjp(
            discretised.residuals, (correlation(sums), dgain), with_compiled_zoh(options)
        )
    dB *= np.conj(discretised.gain)[:, None]
    dseq = ssm_text.eigenvalues_vjp(seq, options, dLambda)
    dseq |= {"B": dB.view(dD.dtype).reshape(*dB.shape, 2), "D": dD, "log_step": dlog_step}
    dC = dC_rows.reshape(len(names), -1, 2, len(dD)) * _factors(options, dD.dtype)[:, None]
    for i, name in enumerate(ssm_text.initial_state_names(options)):
        dseq[name] = ds.reshape(-1, *dB.shape[:1], 2)[i]
    dseq |= dict(zip(names, np.ascontiguousarray(dC.transpose(0, 3, 1, 2)), strict=True))
    return prefixed("seq", dseq)


def transposed(layer: Layer) -> Transposed:
    """What the backward pass multiplies by."""
    a = layer.Lambda_bar
    conj = np.conj(a.view(complex_dtype(a))).view(a.dtype)
    return Transposed(conj, *(np.ascontiguousarray(M.T) for M in (layer.B, layer.C, layer.W, layer.W1)))


def correlation(sums: Array) -> Array:
    """Σ g conj(x) (P') from the sums (2, 2P') of `s5ref.cpu.simd.correlate_rows`: its real part is
    Σ Re g Re x + Im g Im x, its imaginary part Σ Im g Re x − Re g Im x.
    """
    same, crossed = sums
    real, imaginary = same[::2] + same[1::2], crossed[1::2] - crossed[::2]
    return np.stack([real, imaginary], -1).view(complex_dtype(sums))[:, 0]


def _irregular(seq: Leaves, options: SSMOptions, call: Call) -> Discretised:
    """Z = ΛΔ, and 1/Λ or, by Dirac's rule, 1. A Λ so small that its square does not count against 1 is
    replaced by one that can be divided by: the gain Δτ φ₁(z) is the same for both.
    """
    Lambda = ssm_text.eigenvalues(seq, options)
    Delta, _ = timescale(seq["log_step"], call.step_rescale, len(Lambda))
    check_finite("ssm", "Lambda", Lambda)
    if options.discretization is DISCRETIZATIONS["dirac"]:
        return Discretised(Lambda * Delta, np.ones_like(Lambda), Delta)
    smallest = np.finfo(Delta.dtype).eps ** 2 / Delta
    Lambda = np.where(np.abs(Lambda) < smallest, smallest, Lambda)
    return Discretised(Lambda * Delta, 1 / Lambda, Delta)


def _gates(params: Leaves, real: Any) -> dict[str, Array]:
    """W and b of σ's argument, W1 and b1 of what it is multiplied by: without rows where there is none."""
    gates = {}
    for number, name in (("", "out2"), ("1", "out1")):
        W = params.get(f"{name}.kernel", np.empty((0, 0), real))
        gates[f"W{number}"] = writeable(W, real)
        gates[f"b{number}"] = writeable(params.get(f"{name}.bias", W), real).reshape(1, -1)
    return gates


def _complex(pairs: Array) -> Array:
    """(…, 2) real as (…) complex: the same memory where it is contiguous."""
    return writeable(pairs, pairs.dtype).view(complex_dtype(pairs))[..., 0]


def _factors(options: SSMOptions, dtype: Any) -> Array:
    """Re(C x) = Re C Re x − Im C Im x, twice that under conjugate symmetry."""
    factor = 2 if options.conj_sym else 1
    return np.array([factor, -factor], dtype)


def _outputs(seq: Leaves) -> tuple[str, ...]:
    """The leaves of C̃, in the order of the directions."""
    return ("C1", "C2") if "C1" in seq else ("C",)
