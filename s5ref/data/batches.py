"""Splits and data sets: compact raw rows, converted to a Batch only when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from s5ref.arrays import Array, as_array, check_kind
from s5ref.data.tasks import Task
from s5ref.errors import ConfigError, ShapeError
from s5ref.model.batch import Batch
from s5ref.random import generator
from s5ref.tree import described


@dataclass(frozen=True)
class Scale:
    """(n, L) or (n, L, in_dim) numbers → (n, L, in_dim) reals: x / divisor, one rounding."""

    divisor: float = 1.0

    def __call__(self, rows: Array, dtype: np.dtype[Any]) -> Array:
        x: Array = rows.astype(dtype) / dtype.type(self.divisor)
        return x[..., None] if x.ndim == 2 else x


@dataclass(frozen=True, eq=False)
class Standardised:
    """(n, L) or (n, L, in_dim) numbers → (n, L, in_dim) reals: (x / divisor − mean) / deviation.

    Parameters
    ----------
    divisor : float
    mean, deviation : reals
        (in_dim,) for each channel, or (L, 1) for each step.
    """

    divisor: float
    mean: Array
    deviation: Array

    def __call__(self, rows: Array, dtype: np.dtype[Any]) -> Array:
        x = Scale(self.divisor)(rows, dtype)
        x -= self.mean.astype(dtype)
        x /= self.deviation.astype(dtype)
        return x

    def every(self, k: int) -> Standardised:
        """The same for every k-th step."""
        parts = (x[::k] if x.ndim == 2 else x for x in (self.mean, self.deviation))
        return Standardised(self.divisor, *parts)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some examples of an array, which is not copied: it may be a memory map.

    array  (n, …)
    index  (m,) integers: which of them, and in which order
    """

    array: Array
    index: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, …)."""
        return (len(self.index), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the array."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> Array:
        """The examples ``key`` of these, in memory."""
        return self.array[self.index[key]]  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of them, in memory."""
        return np.asarray(self[:], dtype)

    def every(self, k: int) -> Rows:
        """Every k-th step of these examples."""
        return Rows(self.array[:, ::k], self.index)

    @classmethod
    def of(cls, array: Array, index: Array) -> Array:
        """`Rows`, which a `Split` takes for the array of these examples."""
        return cast(Array, cls(array, index))


def to_tokens(rows: Array, dtype: np.dtype[Any]) -> Array:
    """Integer tokens of any width → int64."""
    return rows.astype(np.int64)


@described
@dataclass(frozen=True, eq=False)
class Split:
    """Examples in compact form.

    Parameters
    ----------
    inputs : (n, L) or (n, L, in_dim), retrieval (n, 2, L)
        Of any dtype: an array, or `Rows` of one.
    targets : (n,) integers 0 … K−1, or (n, L, K) or (n, K) reals of a regression
    prepare : function
        (raw rows, real dtype of the model) → model inputs: `Scale`, `Standardised`, or `to_tokens`.
    lengths : (n,), retrieval (n, 2), or None
        Valid steps; None: all L.
    intervals : (n, L), retrieval (n, 2, L), or None
        Sampling interval before each step; None: regular.
    resets : (n, L) bool, retrieval (n, 2, L), or None
        True where an episode begins; None: nowhere.

    Raises
    ------
    ShapeError
        Where they do not hold the same number of examples.
    """

    inputs: Array
    targets: Array
    prepare: Callable[[Array, np.dtype[Any]], Array]
    lengths: Array | None = None
    intervals: Array | None = None
    resets: Array | None = None

    def __post_init__(self) -> None:
        for name in ("targets", "lengths", "intervals", "resets"):
            value, n = getattr(self, name), len(self.inputs)
            if value is not None and len(value) != n:
                raise ShapeError(
                    f"{name} must have one entry per example; got {len(value)} for {n} inputs.",
                    "Check what produces them.",
                )

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Array | Sequence[int], dtype: npt.DTypeLike = "float32") -> Batch:
        """The examples ``indices`` as a Batch: tokens int64 (N, L), or reals (N, L, in_dim) of ``dtype``.

        Raises
        ------
        ShapeError
            On indices that are no integers.
        """
        rows = check_kind("Split.batch", "indices", as_array(indices), "iu", "integers")
        real = np.dtype(dtype)
        targets = self.targets[rows]
        return Batch(
            inputs=self.prepare(self.inputs[rows], real),
            targets=targets.astype(np.int64 if targets.dtype.kind in "iu" else real),
            lengths=None if self.lengths is None else self.lengths[rows].astype(np.int64),
            intervals=None if self.intervals is None else self.intervals[rows].astype(real),
            resets=None if self.resets is None else self.resets[rows],
        )

    def batches(self, size: int, dtype: npt.DTypeLike = "float32") -> Iterator[Batch]:
        """All examples in order, ``size`` at a time; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))), dtype)

    def every(self, k: int) -> Split:
        """Every k-th step of the inputs, after they were prepared: regular sampling at a lower rate.

        Raises
        ------
        ConfigError
            On tokens, targets of steps, and what else has no lower rate.
        """
        steps = self.targets.ndim == 3 or any(
            x is not None for x in (self.lengths, self.intervals, self.resets)
        )
        if k < 1 or steps or self.prepare is to_tokens:
            raise ConfigError(
                f"Every k-th step can be taken of regular, real sequences of one length, k ≥ 1; got k = {k}, "
                f"{'tokens' if self.prepare is to_tokens else 'others' if steps else 'such sequences'}.",
                "Use all steps, k = 1.",
            )
        inputs = self.inputs.every(k) if isinstance(self.inputs, Rows) else self.inputs[:, ::k]
        prepare = self.prepare.every(k) if isinstance(self.prepare, Standardised) else self.prepare
        return Split(inputs, self.targets, prepare)

    def majority_share(self) -> float:
        """Share of the most frequent class: the accuracy of always answering it.

        Raises
        ------
        ShapeError
            On the targets of a regression.
        """
        check_kind("majority_share", "targets", self.targets, "iu", "integer classes")
        return float(np.bincount(self.targets).max() / len(self))


@described
@dataclass(frozen=True, eq=False)
class Dataset:
    """A task and its examples.

    ``validation`` is the split that selects the checkpoint; where a task has none (Text) it is the test
    split, and ``selected_on`` says "test". ``test`` is None only for a user's own arrays without one.
    ``source``: "official", "embedded", "regenerated …", "partial: …", "unverified: …" or "user arrays".
    ``drop_last``: an epoch leaves out what is short of a whole batch, as upstream does; otherwise its last
    batch is filled up with the first examples of its order.
    """

    task: Task
    train: Split
    validation: Split
    test: Split | None
    source: str
    selected_on: Literal["validation", "test"] = "validation"
    drop_last: bool = True

    def splits(self) -> dict[str, Split]:
        """The splits by name, those that exist."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def order(seed: int, epoch: int, n: int) -> npt.NDArray[np.int64]:
    """The order of the n training examples in an epoch: a pure function, so there is no sampler state."""
    return generator(seed, "shuffle", epoch).permutation(n)
