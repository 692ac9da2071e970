"""Our leaf names and those of others: a table each, in which {i} is the number of a layer.

Flax: lindermanlab/S5, read at commit d133f4d: s5/ssm.py, s5/layers.py and s5/seq_model.py. Shapes are equal
but for ``log_step``, which upstream stores as (P', 1). The tables of torch are in s5_pytorch.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from s5ref.arrays import Array, Leaves
from s5ref.errors import DataError, ShapeError, suggest

DENSE = ("encoder", "layers_{i}.out1", "layers_{i}.out2", "decoder", "decoder.layer1", "decoder.layer2")
SSM_LEAVES = ("Lambda_re", "Lambda_im", "log_step", "B", "C", "C1", "C2", "D")
STATISTICS = ("layers_{i}.norm.mean", "layers_{i}.norm.var")
OURS = (
    *(f"{module}.{leaf}" for module in DENSE for leaf in ("kernel", "bias")),
    *(f"layers_{{i}}.seq.{leaf}" for leaf in SSM_LEAVES),
    *("layers_{i}.norm.scale", "layers_{i}.norm.bias", *STATISTICS),
)
LEARNED = tuple(f"layers_{{i}}.seq.{leaf}" for leaf in ("x0", "x0_1", "x0_2"))  # upstream starts from zero
_LAYER = re.compile(r"(?<=layers[_.])(0|[1-9]\d*)(?=[./])")
# Entries of a TrainState, or of what `apply` returns, that are no weights.
BESIDE_WEIGHTS = ("step", "opt_state", "cache", "prime", "dropout", "intermediates")


def _flax(ours: str) -> str:
    collection = "batch_stats" if ours in STATISTICS else "params"
    module = "" if ours.startswith("decoder") else "encoder/"
    return f"{collection}/{module}{ours.replace('.', '/')}"


FLAX = {ours: _flax(ours) for ours in OURS}
FROM_FLAX = {flax: ours for ours, flax in FLAX.items()}
S5REF = {  # checkpoints
    ours: f"{'statistics' if ours in STATISTICS else 'params'}.{ours}" for ours in (*OURS, *LEARNED)
}
FROM_S5REF = {stored: ours for ours, stored in S5REF.items()}


def renamed(flat: Leaves, table: Mapping[str, str], where: str) -> dict[str, Array]:
    """The arrays under the names that ``table`` gives them.

    Parameters
    ----------
    flat : mapping of names to arrays
    table : mapping of names to names
        With {i} for the number of a layer.
    where : str
        What holds the arrays, for the message.

    Raises
    ------
    DataError
        Naming every leaf of ``where`` that the table has not.
    """
    patterns = {name: _LAYER.sub("{i}", name) for name in flat}
    if unknown := [name for name, pattern in patterns.items() if pattern not in table]:
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        nearest = suggest(unknown[0], [pattern.replace("{i}", "0") for pattern in table])
        raise DataError(
            f"{where} must hold the leaves of an S5 model only; unknown: {', '.join(unknown[:8])}{more}.",
            f"{nearest}docs/conversion.md lists the names.",
        )
    layers = {name: layer[0] for name in flat if (layer := _LAYER.search(name))}
    return {table[patterns[name]].replace("{i}", layers.get(name, "")): x for name, x in flat.items()}


def parted(leaves: Leaves) -> tuple[dict[str, Array], dict[str, Array]]:
    """(parameters, statistics)."""
    statistics = {name: x for name, x in leaves.items() if _LAYER.sub("{i}", name) in STATISTICS}
    return {name: x for name, x in leaves.items() if name not in statistics}, statistics


def layers_of(leaves: Iterable[str]) -> list[str]:
    """layers_0, layers_1, …: the layers that have a leaf, in its order."""
    return list(dict.fromkeys(name.partition(".")[0] for name in leaves if name.startswith("layers_")))


def to_flax(params: Leaves, statistics: Leaves) -> dict[str, Array]:
    """Ours → Flax, flat: ``params/encoder/layers_0/seq/B``, ``batch_stats/encoder/layers_0/norm/mean``.

    Raises
    ------
    DataError
        Naming every leaf that upstream's model has not.
    """
    stored = {name: x[:, None] if name.endswith(".log_step") else x for name, x in params.items()}
    return renamed(stored | dict(statistics), FLAX, "s5ref's parameters")


def from_flax(flat: Leaves) -> tuple[dict[str, Array], dict[str, Array], list[str]]:
    """Flax → (parameters, statistics, names left aside).

    Parameters
    ----------
    flat : mapping of paths to arrays
        The variables, a TrainState (its step and optimiser state are left aside) or bare parameters.

    Raises
    ------
    DataError
        Naming every leaf that is not of upstream's model.
    ShapeError
        On a log_step that is not (P', 1).
    """
    if flat and not any(name.startswith(("params/", "batch_stats/")) for name in flat):
        flat = {f"params/{name}": x for name, x in flat.items()}
    aside = [name for name in flat if name.partition("/")[0] in BESIDE_WEIGHTS]
    kept = {name: x for name, x in flat.items() if name not in aside}
    for name, x in kept.items():
        if name.endswith("/log_step"):
            if x.ndim != 2 or x.shape[1] != 1:
                raise ShapeError(
                    f"{name} must be (P', 1), as upstream stores it; got {tuple(x.shape)}.",
                    "Give it a trailing axis of length 1.",
                )
            kept[name] = x[:, 0]
    return *parted(renamed(kept, FROM_FLAX, "the Flax variables")), aside
