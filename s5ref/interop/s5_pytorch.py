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

import re
from collections.abc import Mapping

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError, S5Error, ShapeError
from s5ref.interop.names import unknown_leaves
from s5ref.tree import prefixed, subtree

SSM = ("Lambda", "B", "C", "D", "log_step")
_OURS = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}  # of a norm
_NORM = {ours: theirs for theirs, ours in _OURS.items()}
_LAYER = re.compile(
    r"layers[._](\d+)\.(?:seq\.(?:seq\.)?(?P<ssm>\w+)|norm\.(?P<norm>\w+)|(?P<gate>out[12])\.(?P<dense>\w+))"
)
_DENSE = re.compile(r"(encoder|decoder|decoder\.layer[12])\.(weight|bias)")


def ssm_to_state(seq: Mapping[str, Array], conj_sym: bool) -> dict[str, Array]:
    """Our SSM leaves → the state dict of an S5SSM. ``conj_sym``: whether ours are half of the states."""
    Lambda, B = _complex(seq["Lambda_re"], seq["Lambda_im"]), seq["B"]
    Cs = [_of_pairs(seq[name]) for name in ("C", "C1", "C2") if name in seq]
    if len(Cs) == 1 and Cs[0].shape[1] == 2 * len(Lambda):  # both directions joined in one leaf
        Cs = np.split(Cs[0], 2, axis=1)
    log_step = seq["log_step"]
    if conj_sym:
        Lambda, log_step = np.concatenate([Lambda, Lambda.conj()]), np.concatenate([log_step, log_step])
        B = np.concatenate([B, _to_pairs(_of_pairs(B).conj())])
        Cs = [np.concatenate([C, C.conj()], axis=1) for C in Cs]
    C = np.concatenate(Cs, axis=1)
    return {"Lambda": Lambda, "B": B, "C": C, "D": seq["D"], "log_step": log_step}


def ssm_from_state(state: Mapping[str, Array]) -> dict[str, Array]:
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
        if state[name].shape != shape:
            got = tuple(state[name].shape)
            raise ShapeError(
                f"s5-pytorch: {name} must be {shape}; got {got}.", "Is it the state of an S5SSM?"
            )
    for name in ("Lambda", "C"):
        if state[name].dtype.kind != "c":
            raise ShapeError(
                f"s5-pytorch: {name} must be complex; got {state[name].dtype}.", "Is it of an S5SSM?"
            )
    Cs = dict(zip(("C1", "C2"), np.split(state["C"], 2, axis=1), strict=True)) if both else {"C": state["C"]}
    return {
        "Lambda_re": state["Lambda"].real.copy(), "Lambda_im": state["Lambda"].imag.copy(), "B": state["B"],
        **{name: _to_pairs(C) for name, C in Cs.items()}, "D": state["D"], "log_step": state["log_step"],
    }  # fmt: skip


def unfolded(seq: Mapping[str, Array]) -> dict[str, Array]:
    """All states of an SSM that stores half of each conjugate pair: the same function, with
    ``conj_sym=False``.
    """
    full = ssm_from_state(ssm_to_state(seq, conj_sym=True))
    joined = "C" in seq and "C1" in full
    return {"C": np.concatenate([full.pop("C1"), full.pop("C2")], axis=1)} | full if joined else full


def folded(seq: Mapping[str, Array]) -> dict[str, Array] | None:
    """The first half of the states, if the second half is its conjugate bit for bit; None otherwise."""
    kept, odd = divmod(len(seq["log_step"]), 2)
    if odd:
        return None
    joined = "C" in seq and seq["C"].shape[1] == 4 * kept  # both directions in one leaf
    if joined:
        C1, C2 = np.split(seq["C"], 2, axis=1)
        half = folded({name: x for name, x in seq.items() if name != "C"} | {"C1": C1, "C2": C2})
        if half is not None:
            half["C"] = np.concatenate([half.pop("C1"), half.pop("C2")], axis=1)
        return half
    half = dict(seq)
    for name in [name for name in seq if name != "D"]:
        first, mirror = (x.copy() for x in np.split(seq[name], 2, axis=1 if name.startswith("C") else 0))
        if name == "Lambda_im":
            mirror = -mirror
        elif mirror.ndim == 3:
            mirror[..., 1] = -mirror[..., 1]
        if not np.array_equal(first, mirror):
            return None
        half[name] = first
    return half


def to_state(
    params: Mapping[str, Array], statistics: Mapping[str, Array], conj_sym: bool
) -> dict[str, Array]:
    """Parameters and statistics of a whole model → its torch state dict."""
    state = _dense_to_state(params, "encoder")
    layers = sorted({name.partition(".")[0] for name in params if name.startswith("layers_")}, key=_number)
    for name in layers:
        layer, place = subtree(params, name), f"layers.{_number(name)}"
        state |= prefixed(f"{place}.seq.seq", ssm_to_state(subtree(layer, "seq"), conj_sym))
        norm = subtree(layer, "norm") | subtree(statistics, f"{name}.norm")
        state |= {f"{place}.norm.{_NORM[leaf]}": value for leaf, value in norm.items()}
        if "mean" in norm:
            state[f"{place}.norm.num_batches_tracked"] = np.zeros((), np.int64)  # torch keeps one
        for gate in ("out1", "out2"):
            state |= prefixed(place, _dense_to_state(layer, gate))
    for part in ("decoder", "decoder.layer1", "decoder.layer2"):
        state |= _dense_to_state(params, part)
    return state


def from_state(state: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array], list[str]]:
    """A torch state dict → (parameters with all P states, statistics, names left aside).

    Raises
    ------
    DataError, ShapeError
        Naming what is not of a model in these names.
    """
    params: dict[str, Array] = {}
    statistics: dict[str, Array] = {}
    ssms: dict[str, dict[str, Array]] = {}
    aside, unknown = [], []
    for name, value in state.items():
        dense, layer = _DENSE.fullmatch(name), _LAYER.fullmatch(name)
        place = f"layers_{int(layer[1])}" if layer else ""
        if dense:
            params |= _dense_from_state(dense[1], dense[2], value)
        elif layer and layer["ssm"]:
            ssms.setdefault(place, {})[layer["ssm"]] = value
        elif layer and layer["gate"] and layer["dense"] in ("weight", "bias"):
            params |= _dense_from_state(f"{place}.{layer['gate']}", layer["dense"], value)
        elif layer and layer["norm"] in _OURS:
            which = statistics if layer["norm"].startswith("running") else params
            which[f"{place}.norm.{_OURS[layer['norm']]}"] = value
        elif layer and layer["norm"] == "num_batches_tracked":
            aside.append(name)
        else:
            unknown.append(name)
    if unknown:
        raise _not_a_model(unknown, state)
    for place, ssm in ssms.items():
        params |= prefixed(f"{place}.seq", ssm_from_state(ssm))
    return params, statistics, aside


def _not_a_model(unknown: list[str], state: Mapping[str, Array]) -> S5Error:
    found = [
        name.removesuffix("Lambda").rstrip(".") or "the state dict itself"
        for name in state
        if name.endswith("Lambda")
    ]
    of_layers = [f"layers.{{i}}.{name}" for name in ("seq.seq.Lambda", "norm.weight", "out2.weight")]
    known = ["encoder.weight", *of_layers, "decoder.weight"]
    error = unknown_leaves("the torch state dict", unknown, known)
    if not found:
        return error
    return DataError(
        error.message,
        f"It holds {len(found)} S5SSM ({', '.join(found[:4])}): "
        "s5ref.interop.s5_pytorch.ssm_from_state converts one; the rest of an S5Block is another layer "
        "than S5's and cannot be converted.",
    )


def _dense_to_state(params: Mapping[str, Array], name: str) -> dict[str, Array]:
    if f"{name}.kernel" not in params:
        return {}
    return {f"{name}.weight": params[f"{name}.kernel"].T, f"{name}.bias": params[f"{name}.bias"]}


def _dense_from_state(name: str, leaf: str, value: Array) -> dict[str, Array]:
    return {f"{name}.kernel": np.ascontiguousarray(value.T)} if leaf == "weight" else {f"{name}.bias": value}


def _number(name: str) -> int:
    return int(name.removeprefix("layers_"))


def _complex(re: Array, im: Array) -> Array:
    return _of_pairs(np.stack([re, im], axis=-1))


def _of_pairs(pairs: Array) -> Array:
    z: Array = np.ascontiguousarray(pairs).view(np.result_type(pairs.dtype, np.complex64))[..., 0]
    return z


def _to_pairs(z: Array) -> Array:
    return np.stack([z.real, z.imag], axis=-1)
