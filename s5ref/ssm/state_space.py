"""Between S5's parameters and the real matrices (A, B, C, D) of control theory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, Leaves, check_finite, check_shape, to_complex, to_pairs
from s5ref.errors import ConfigError, NumericalError, ShapeError
from s5ref.ssm.discretize import timescale
from s5ref.ssm.ssm import SSMOptions, eigenvalues, output_matrices
from s5ref.tree import described


@described
class StateSpace(NamedTuple):
    """ẋ = A x + B u, y = C x + D u, all real; time in units of the sampling interval.

    A (n, n), B (n, H), C (H, n), D (H, H): what ``scipy.signal`` takes.
    """

    A: Array
    B: Array
    C: Array
    D: Array


def to_state_space(params: Leaves, options: SSMOptions) -> StateSpace:
    """The real system that the parameters of an SSM describe.

    Parameters
    ----------
    params : dict
        Lambda_re, Lambda_im, log_step (P'), B (P', H, 2), C (H, P', 2), D (H,).
    options : SSMOptions
        Unidirectional.

    Returns
    -------
    StateSpace
        Of n = 2P' states, Re x above Im x, in float64. The step of each state is part of A and B (Δ_p Λ_p and
        Δ_p B̃_p), so that one sampling interval is the time 1: discretised with dt = 1 by the rule of
        ``options`` it is the SSM, and with dt = r it is the SSM with ``step_rescale=r``. "async" is "zoh"
        here, as it is under regular sampling. "foh" is that of scipy.signal, which has other states and the
        same outputs.

    Raises
    ------
    S5Error
        For a bidirectional SSM, which is two systems.

    Notes
    -----
    With z = a + ib the complex state x′ = z x + b u is the real one [[a, −b], [b, a]], and y = f Re(C̃ x) with
    f = 2 under ``conj_sym`` is [f Re C̃, −f Im C̃].
    """
    if options.bidirectional:
        raise ConfigError(
            "to_state_space: a bidirectional SSM is two systems, one of them backward in time.",
            "Use a unidirectional SSM.",
        )
    params = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
    Delta, _ = timescale(params["log_step"], 1.0, len(params["Lambda_re"]))
    Lambda = Delta * eigenvalues(params, options)
    B = Delta[:, None] * to_complex(params["B"])
    [C] = output_matrices(params, options)
    C = C * (2 if options.conj_sym else 1)
    re, im = np.diag(Lambda.real), np.diag(Lambda.imag)
    return StateSpace(
        np.block([[re, -im], [im, re]]),
        np.concatenate([B.real, B.imag]),
        np.concatenate([C.real, -C.imag], axis=1),
        np.diag(params["D"]),
    )


def from_state_space(system: StateSpace | tuple[Array, Array, Array, Array]) -> dict[str, Array]:
    """The parameters of the SSM (``conj_sym=True``) with the input-output behaviour of a real system.

    Parameters
    ----------
    system : StateSpace, or (A, B, C, D)
        A (n, n), B (n, H), C (H, n); D (H, H) diagonal, or (H,). A has n independent eigenvectors.

    Returns
    -------
    dict
        Lambda_re, Lambda_im, log_step (P'), B, C, D in float64, with Δ = 1: one sampling interval is the time
        1 of the system. There is a state for each pair of conjugate eigenvalues (that of negative imaginary
        part) and one for each real eigenvalue, whose C̃ is halved because an SSM doubles the real part.

    Raises
    ------
    S5Error
        If shapes do not fit, D is not diagonal, or A cannot be diagonalised.

    Notes
    -----
    A = V Λ V⁻¹: B̃ = V⁻¹ B, C̃ = C V. The rounding of B̃ and C̃ grows with the condition of V.
    """
    A = check_finite("from_state_space", "A", np.asarray(system[0], np.float64))
    check_shape("from_state_space", "A", A, "n n", {"n": len(A)})
    B, C, D = (np.asarray(x, np.float64) for x in system[1:])
    n, H = len(A), B.shape[-1]
    check_shape("from_state_space", "B", B, "n H", {"n": n, "H": H})
    check_shape("from_state_space", "C", C, "H n", {"n": n, "H": H}, "There are as many outputs as inputs.")
    if D.ndim == 2:
        check_shape("from_state_space", "D", D, "H H", {"H": H})
        if np.any(np.diag(np.diag(D)) != D):
            raise ShapeError(
                "from_state_space: D must be diagonal; got entries beside the diagonal.",
                "The feedthrough of an S5 layer acts on each feature by itself.",
            )
        D = np.diag(D)
    Lambda, V = np.linalg.eig(A)
    condition = float(np.linalg.cond(V))
    if not condition < 1 / np.sqrt(np.finfo(np.float64).eps):
        raise NumericalError(
            f"from_state_space: eigenvectors of A must be independent; their condition is {condition:.0e}.",
            "A defective matrix has no diagonal form: change A slightly.",
        )
    B_tilde, C_tilde = np.linalg.solve(V, B.astype(complex)), C @ V
    real = Lambda.imag == 0
    kept = real | (Lambda.imag < 0)
    C_tilde = np.where(real, C_tilde / 2, C_tilde)[:, kept]
    return {
        "Lambda_re": Lambda.real[kept],
        "Lambda_im": Lambda.imag[kept],
        "log_step": np.zeros(int(kept.sum())),
        "B": to_pairs(B_tilde[kept]),
        "C": to_pairs(C_tilde),
        "D": D.copy(),
    }
