"""Our leaf names and those of upstream's Flax variables: one table, read in both directions.

Source: lindermanlab/S5, read at commit d133f4d: s5/ssm.py, s5/layers.py and s5/seq_model.py.
Shapes are equal but for ``log_step``, which upstream stores as (P', 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from s5ref.arrays import Array
from s5ref.errors import DataError, S5Error, ShapeError, suggest

SSM_LEAVES = ("Lambda_re", "Lambda_im", "log_step", "B", "C", "C1", "C2", "D")
DENSE_LEAVES = ("kernel", "bias")


def _table() -> dict[str, str]:
    layer = [("seq", leaf) for leaf in SSM_LEAVES]
    layer += [("norm", "scale"), ("norm", "bias")]
    layer += [(gate, leaf) for gate in ("out1", "out2") for leaf in DENSE_LEAVES]
    found = {f"encoder.{leaf}": f"params/encoder/encoder/{leaf}" for leaf in DENSE_LEAVES}
    found |= {
        f"layers_{{i}}.{part}.{leaf}": f"params/encoder/layers_{{i}}/{part}/{leaf}" for part, leaf in layer
    }
    found |= {f"decoder.{leaf}": f"params/decoder/{leaf}" for leaf in DENSE_LEAVES}
    for part in ("layer1", "layer2"):
        found |= {f"decoder.{part}.{leaf}": f"params/decoder/{part}/{leaf}" for leaf in DENSE_LEAVES}
    return found


PARAMETERS = _table()  # ours → Flax; {i} is the number of the layer
STATISTICS = {
    f"layers_{{i}}.norm.{leaf}": f"batch_stats/encoder/layers_{{i}}/norm/{leaf}" for leaf in ("mean", "var")
}
_PARAMETER_OF = {flax: ours for ours, flax in PARAMETERS.items()}
_STATISTIC_OF = {flax: ours for ours, flax in STATISTICS.items()}
_LAYER = re.compile(r"(?<=layers_)(0|[1-9]\d*)(?=[./])")
# Entries of a TrainState, or of what `apply` returns, that are no weights.
BESIDE_WEIGHTS = ("step", "opt_state", "cache", "prime", "dropout", "intermediates")


def to_flax(params: Mapping[str, Array], statistics: Mapping[str, Array]) -> dict[str, Array]:
    """Ours → Flax, flat: ``params/encoder/layers_0/seq/B``, ``batch_stats/encoder/layers_0/norm/mean``.

    Raises
    ------
    DataError
        Naming every leaf that upstream's model has not.
    """
    unknown = [name for name in params if _pattern(name) not in PARAMETERS]
    unknown += [name for name in statistics if _pattern(name) not in STATISTICS]
    if unknown:
        raise unknown_leaves("s5ref's parameters", unknown, [*PARAMETERS, *STATISTICS])
    flat = {_renamed(name, PARAMETERS): _stored(name, value) for name, value in params.items()}
    return flat | {_renamed(name, STATISTICS): value for name, value in statistics.items()}


def from_flax(flat: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array], list[str]]:
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
        flat = {f"params/{name}": value for name, value in flat.items()}
    aside = [name for name in flat if name.partition("/")[0] in BESIDE_WEIGHTS]
    kept = {name: value for name, value in flat.items() if name not in set(aside)}
    if unknown := [name for name in kept if _pattern(name) not in _PARAMETER_OF | _STATISTIC_OF]:
        raise unknown_leaves("the Flax variables", unknown, [*_PARAMETER_OF, *_STATISTIC_OF])
    params: dict[str, Array] = {}
    statistics: dict[str, Array] = {}
    for name, value in kept.items():
        if _pattern(name) in _STATISTIC_OF:
            statistics[_renamed(name, _STATISTIC_OF)] = value
        else:
            ours = _renamed(name, _PARAMETER_OF)
            params[ours] = _ours(name, value) if ours.endswith(".log_step") else value
    return params, statistics, aside


def unknown_leaves(where: str, unknown: Iterable[str], known: Iterable[str]) -> S5Error:
    """The error for leaves that no table holds, with the nearest known name of the first."""
    unknown = list(unknown)
    patterns = [name.replace("{i}", "0") for name in known]
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    return DataError(
        f"{where} must hold the leaves of an S5 model only; unknown: {', '.join(unknown[:8])}{more}.",
        suggest(unknown[0], patterns) + "docs/conversion.md lists the names.",
    )


def _pattern(name: str) -> str:
    return _LAYER.sub("{i}", name)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    layer = _LAYER.search(name)
    return table[_pattern(name)].replace("{i}", layer[0] if layer else "")


def _stored(name: str, value: Array) -> Array:
    return value[:, None] if name.endswith(".log_step") else value


def _ours(name: str, value: Array) -> Array:
    if value.ndim != 2 or value.shape[1] != 1:
        raise ShapeError(
            f"{name} must be (P', 1), as upstream stores it; got {tuple(value.shape)}.",
            "Give it a trailing axis of length 1.",
        )
    return value[:, 0]
