"""s5-pytorch (0.2.1): the leaves of its S5SSM, and of a torch model around it, from and to ours.

Its SSM keeps all P states and takes y = Re(C̃x) + D∘u, our ``conj_sym=False``. One that keeps half of
each conjugate pair is written with the other half appended: 2 Re(C̃x) = Re(C̃x + conj(C̃) conj(x)), the
same function exactly; reading folds that arrangement back. B is (P, H, 2) on both sides; Λ, C and C1 |
C2 are complex there.

A whole model has no module in s5-pytorch; its names here are upstream's in torch's words: ``encoder``
and ``decoder`` are nn.Linear, ``layers`` a ModuleList whose elements have ``seq`` (an S5, or an S5SSM),
``norm``, and ``out1``, ``out2``.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array, Leaves, to_pairs
from s5ref.errors import DataError, ShapeError
from s5ref.interop.names import DENSE, layers_of, parted, renamed
from s5ref.tree import prefixed, subtree

SSM = ("Lambda", "B", "C", "D", "log_step")
NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
COUNTER = "num_batches_tracked"  # torch's BatchNorm keeps one
FACTORS = ("BH", "BP", "CH", "CP")  # of the factorized form, which `ssm_from_state` refuses
LEAVES = {  # ours → torch's, layer by layer; those of the SSM are theirs on both sides
    **{f"{module}.kernel": f"{module}.weight" for module in DENSE},
    **{f"{module}.bias": f"{module}.bias" for module in DENSE},
    **{f"layers_{{i}}.norm.{ours}": f"layers_{{i}}.norm.{theirs}" for ours, theirs in NORM.items()},
    **{f"layers_{{i}}.seq.{leaf}": f"layers_{{i}}.seq.seq.{leaf}" for leaf in (*SSM, *FACTORS)},
}
_TO_TORCH = {ours: theirs.replace("layers_", "layers.") for ours, theirs in LEAVES.items()}
_FROM_TORCH = {  # also ``layers_i`` for ``layers.i``, and an S5SSM that stands in ``seq`` by itself
    theirs.replace("layers_", layers).replace("seq.seq", seq): ours
    for layers in ("layers.", "layers_")
    for seq in ("seq.seq", "seq")
    for ours, theirs in LEAVES.items()
}


def ssm_to_state(seq: Leaves, conj_sym: bool) -> dict[str, Array]:
    """Our SSM leaves → the state dict of an S5SSM. ``conj_sym``: whether ours are half of the states.

    Raises
    ------
    DataError
        On a learned initial state.
    """
    if learned := [name for name in seq if name.startswith("x0")]:
        raise DataError(
            f"s5-pytorch: an S5SSM starts from zero and has no leaf for a learned state; got "
            f"{', '.join(learned)}.",
            "Keep s5ref's names, or train with learn_initial_state = false.",
        )
    Lambda, B = _of_pairs(np.stack([seq["Lambda_re"], seq["Lambda_im"]], axis=-1)), seq["B"]
    Cs = [_of_pairs(seq[name]) for name in ("C", "C1", "C2") if name in seq]
    if len(Cs) == 1 and Cs[0].shape[1] == 2 * len(Lambda):  # both directions joined in one leaf
        Cs = np.split(Cs[0], 2, axis=1)
    log_step = np.broadcast_to(seq["log_step"], Lambda.shape)
    if conj_sym:
        Lambda, log_step = np.concatenate([Lambda, Lambda.conj()]), np.concatenate([log_step, log_step])
        B = np.concatenate([B, to_pairs(_of_pairs(B).conj())])
        Cs = [np.concatenate([C, C.conj()], axis=1) for C in Cs]
    C = np.concatenate(Cs, axis=1)
    return {"Lambda": Lambda, "B": B, "C": C, "D": seq["D"], "log_step": log_step}


def ssm_from_state(state: Leaves) -> dict[str, Array]:
    """The state dict of an S5SSM → our SSM leaves, all P states (``conj_sym=False``).

    Raises
    ------
    DataError, ShapeError
        If these are not the leaves of an S5SSM.
    """
    missing, unknown = [n for n in SSM if n not in state], [n for n in state if n not in SSM]
    if missing or unknown:
        raise DataError(
            f"s5-pytorch: an S5SSM has the leaves {', '.join(SSM)}; missing {missing}, unknown {unknown}.",
            "The factorized form (BH, BP, CH, CP) has no counterpart here.",
        )
    P, H = len(state["Lambda"]), len(state["D"])
    shapes = {"Lambda": (P,), "B": (P, H, 2), "D": (H,), "log_step": (P,)}
    both = state["C"].shape == (H, 2 * P)
    shapes["C"] = (H, 2 * P if both else P)
    for name, shape in shapes.items():
        x, remedy = state[name], "Is it the state of an S5SSM?"
        if x.shape != shape:
            raise ShapeError(f"s5-pytorch: {name} must be {shape}; got {tuple(x.shape)}.", remedy)
        if name in ("Lambda", "C") and x.dtype.kind != "c":
            raise ShapeError(f"s5-pytorch: {name} must be complex; got {x.dtype}.", remedy)
    Cs = dict(zip(("C1", "C2"), np.split(state["C"], 2, axis=1), strict=True)) if both else {"C": state["C"]}
    return {
        "Lambda_re": state["Lambda"].real.copy(), "Lambda_im": state["Lambda"].imag.copy(), "B": state["B"],
        **{name: to_pairs(C) for name, C in Cs.items()}, "D": state["D"], "log_step": state["log_step"],
    }  # fmt: skip


def unfolded(seq: Leaves) -> dict[str, Array]:
    """All states of an SSM that stores half of each conjugate pair: the same function, with
    ``conj_sym=False``.
    """
    full = ssm_from_state(ssm_to_state(seq, conj_sym=True))
    joined = "C" in seq and "C1" in full
    return {"C": np.concatenate([full.pop("C1"), full.pop("C2")], axis=1)} | full if joined else full


def folded(seq: Leaves) -> dict[str, Array] | None:
    """The first half of the states, if the second half is its conjugate bit for bit; None otherwise."""
    kept, odd = divmod(len(seq["log_step"]), 2)
    if odd:
        return None
    half = {name: x if name == "D" else x[:kept].copy() for name, x in seq.items()}
    for name in [name for name in seq if name.startswith("C")]:  # (H, directions · 2 kept, 2)
        C = seq[name].reshape(len(seq["D"]), -1, 2, kept, 2)[:, :, 0]
        half[name] = C.reshape(len(C), -1, 2)
    full = unfolded(half)
    return half if all(np.array_equal(x, full[name]) for name, x in seq.items()) else None


def to_state(params: Leaves, statistics: Leaves, conj_sym: bool) -> dict[str, Array]:
    """Parameters and statistics of a whole model → its torch state dict."""
    leaves = _transposed(params)
    for layer in layers_of(params):
        leaves |= prefixed(f"{layer}.seq", ssm_to_state(subtree(params, f"{layer}.seq"), conj_sym))
    state = renamed(leaves | dict(statistics), _TO_TORCH, "s5ref's parameters")
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return state | {norm + COUNTER: np.zeros((), np.int64) for norm in norms}


def from_state(state: Leaves) -> tuple[dict[str, Array], dict[str, Array], list[str]]:
    """A torch state dict → (parameters with all P states, statistics, names left aside).

    Raises
    ------
    DataError, ShapeError
        Naming what is not of a model in these names.
    """
    aside = [name for name in state if name.endswith(f".norm.{COUNTER}")]
    try:
        leaves = renamed(
            {n: x for n, x in state.items() if n not in aside}, _FROM_TORCH, "the torch state dict"
        )
    except DataError as error:
        ssms = [name.removesuffix("Lambda").rstrip(".") for name in state if name.endswith("Lambda")]
        if not ssms:
            raise
        raise DataError(
            error.message,
            f"It holds {len(ssms)} S5SSM ({', '.join(ssm or 'the state dict itself' for ssm in ssms[:4])}): "
            "s5ref.interop.s5_pytorch.ssm_from_state converts one; the rest of an S5Block is another layer "
            "than S5's and cannot be converted.",
        ) from None
    theirs, statistics = parted(leaves)
    params = _transposed(theirs)
    for layer in layers_of(theirs):
        if ssm := subtree(theirs, f"{layer}.seq"):
            params |= prefixed(f"{layer}.seq", ssm_from_state(ssm))
    return params, statistics, aside


def _transposed(params: Leaves) -> dict[str, Array]:
    """The leaves beside the SSMs, the kernels transposed."""
    beside = {name: x for name, x in params.items() if ".seq." not in name}
    return {n: np.ascontiguousarray(x.T) if n.endswith(".kernel") else x for n, x in beside.items()}


def _of_pairs(pairs: Array) -> Array:
    """(…, 2) real → (…) complex, every bit kept."""
    z: Array = np.ascontiguousarray(pairs).view(np.result_type(pairs.dtype, np.complex64))[..., 0]
    return z
