"""Weights in files: which names they have, which file holds them, and how both are read and written.

names        of                                            default for
flax         lindermanlab/S5's Flax variables, "/" joined  .msgpack .flax .npz
s5-pytorch   a torch state dict around its S5SSM           .safetensors .pt .pth .bin
s5ref        a checkpoint of ours: params.*, statistics.*  –

Reading, the names themselves decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.errors import ConfigError, DataError, ShapeError
from s5ref.files import write_atomically
from s5ref.interop import flax, names, pt, s5_pytorch
from s5ref.interop import safetensors as tensors
from s5ref.tree import described, prefixed, subtree

NAMES = ("flax", "s5-pytorch", "s5ref")
READERS: dict[str, Callable[[bytes, str], dict[str, Array]]] = {  # of the bytes and the file's name
    **dict.fromkeys((".msgpack", ".flax"), flax.msgpack_loads),
    ".npz": flax.npz_loads,
    ".safetensors": tensors.loads,
    **dict.fromkeys((".pt", ".pth", ".bin"), pt.loads),
}
WRITERS: dict[str, tuple[str, Callable[[Leaves], bytes]]] = {  # suffix → default names, bytes
    **dict.fromkeys((".msgpack", ".flax"), ("flax", flax.msgpack_dumps)),
    ".npz": ("flax", flax.npz_dumps),
    ".safetensors": ("s5-pytorch", tensors.dumps),
}


@described
@dataclass(frozen=True)
class Weights:
    """A whole model's leaves under our names.

    names    those they came under; a run folder's are "run"
    conj_sym whether half of each conjugate pair is stored; None: nothing says so
    aside    names in the file that are no weights (a TrainState's step and optimiser state)
    """

    params: dict[str, Array]
    statistics: dict[str, Array]
    names: str
    conj_sym: bool | None = None
    aside: tuple[str, ...] = ()

    def in_form(self, conj_sym: bool) -> Weights:
        """The same function with half of each conjugate pair of states (``conj_sym``), or with all P states.

        Raises
        ------
        DataError
            Where the halves are not conjugate to the bit.
        """
        if self.conj_sym is None or self.conj_sym == conj_sym:
            return replace(self, conj_sym=conj_sym)
        params = dict(self.params)
        for layer in names.layers_of(params):
            seq = subtree(params, f"{layer}.seq")
            other = s5_pytorch.folded(seq) if conj_sym else s5_pytorch.unfolded(seq)
            if other is None:
                raise DataError(
                    f"{layer}: conj_sym needs conjugate pairs, the second half of the states that of the "
                    "first; these are not.",
                    "Keep all states: --set model.conj_sym=false.",
                )
            params |= prefixed(f"{layer}.seq", other)
        return replace(self, params=params, conj_sym=conj_sym)

    def foldable(self) -> bool:
        """Whether `in_form` can halve them."""
        seqs = [subtree(self.params, f"{layer}.seq") for layer in names.layers_of(self.params)]
        return all(s5_pytorch.folded(seq) is not None for seq in seqs)


def read(path: str | Path, under: str | None = None) -> Weights:
    """The weights in a file.

    Parameters
    ----------
    path : path
        The extension says how it is read.
    under : {"flax", "s5-pytorch", "s5ref"} or None
        Their names; None: recognised.

    Returns
    -------
    Weights

    Raises
    ------
    DataError, ShapeError
        On a missing or damaged file, another extension, unknown names or shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is not a file.", "Check the path.")
    if path.suffix not in READERS:
        raise ConfigError(
            f"{path}: weights are read from {', '.join(READERS)}; got {path.suffix!r}.", "Rename it."
        )
    return from_flat(READERS[path.suffix](path.read_bytes(), str(path)), under)


def from_flat(flat: Leaves, under: str | None = None) -> Weights:
    """The weights of flat named arrays, 16-bit ones widened to float32.

    Raises
    ------
    DataError, ShapeError
        On unknown names, shapes or dtypes.
    """
    under = under or recognised(flat)
    aside: list[str] = []
    conj_sym: bool | None = None
    if under == "flax":
        params, statistics, aside = names.from_flax(flat)
    elif under == "s5-pytorch":
        params, statistics, aside = s5_pytorch.from_state(flat)
        conj_sym = False
    else:
        params, statistics = names.parted(names.renamed(flat, names.FROM_S5REF, "s5ref's arrays"))
    widened = {name: _real(name, value) for name, value in params.items()}
    return Weights(widened, {n: _real(n, x) for n, x in statistics.items()}, under, conj_sym, tuple(aside))


def recognised(flat: Mapping[str, Any]) -> str:
    """Which names these are.

    Raises
    ------
    DataError
        If they are none that s5ref knows.
    """
    if any(name.endswith(("seq/Lambda_re", "encoder/kernel")) for name in flat):
        return "flax"
    if any(name.endswith("Lambda") or name in ("encoder.weight", "decoder.weight") for name in flat):
        return "s5-pytorch"
    if any(name.startswith("params.") for name in flat):
        return "s5ref"
    some = ", ".join(list(flat)[:4]) or "none"
    raise DataError(
        f"The names must be of a model in the form {', '.join(NAMES)}; got {some}.",
        "docs/conversion.md lists them; --from says which they are.",
    )


def check_free(path: str | Path) -> Path:
    """The path of a new file or folder.

    Raises
    ------
    ConfigError
        If it exists.
    """
    path = Path(path)
    if path.exists():
        raise ConfigError(
            f"{path} exists; nothing is overwritten.", "Choose another name, or remove it first."
        )
    return path


def check_writable(path: str | Path, under: str | None) -> str:
    """The names that a new file ``path`` will have.

    Raises
    ------
    ConfigError
        If it exists or cannot be written.
    """
    path = check_free(path)
    if path.suffix in READERS and path.suffix not in WRITERS:
        raise ConfigError(
            f"{path.suffix} is read but not written.",
            "Write .safetensors: model.load_state_dict(safetensors.torch.load_file(path)).",
        )
    if path.suffix not in WRITERS:
        raise ConfigError(
            f"{path}: weights are written to {', '.join(WRITERS)} or a run folder; got {path.suffix!r}.",
            "Rename it; the name of a run folder has no dot.",
        )
    return under or WRITERS[path.suffix][0]


def to_flat(weights: Weights, under: str) -> dict[str, Array]:
    """The inverse of `from_flat`.

    Raises
    ------
    ConfigError
        For s5-pytorch, where nothing says whether half of the states are stored.
    """
    if under == "flax":
        return names.to_flax(weights.params, weights.statistics)
    if under == "s5-pytorch":
        if weights.conj_sym is None:
            raise ConfigError(
                "s5-pytorch keeps all states; the weights do not show whether theirs are all or half.",
                "Say it: --set model.conj_sym=true (upstream's default) or false.",
            )
        return s5_pytorch.to_state(weights.params, weights.statistics, weights.conj_sym)
    return names.renamed(weights.params | weights.statistics, names.S5REF, "s5ref's parameters")


def write(path: str | Path, weights: Weights, under: str | None = None) -> None:
    """A new file, whole or absent.

    Raises
    ------
    ConfigError
        As `check_writable` and `to_flat`.
    """
    under = check_writable(path, under)
    write_atomically(path, WRITERS[Path(path).suffix][1](to_flat(weights, under)))


def _real(name: str, value: Array) -> Array:
    if value.dtype == np.float16:
        return value.astype(np.float32)
    if value.dtype not in (np.float32, np.float64):
        raise ShapeError(
            f"{name} must be float32 or float64 (or a 16-bit float); got {value.dtype}.", "Cast it first."
        )
    return value
