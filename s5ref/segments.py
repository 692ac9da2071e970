"""Several sequences in one row: which step belongs to which."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array, as_array, check_kind, check_shape
from s5ref.errors import DataError
from s5ref.tree import described


@described
class Segments(NamedTuple):
    """The S sequences of packed rows (N, L), each of them consecutive steps of one row.

    ids      (N, L) the number of the sequence that a step belongs to, 0 … S − 1; −1 at padding
    first    (S,) the index of each sequence's first step in the rows laid end to end
    lengths  (S,) its steps
    """

    ids: Array
    first: Array
    lengths: Array

    @classmethod
    def of(cls, ids: Any) -> Segments:
        """The segments with these ids (N, L).

        Raises
        ------
        S5Error
            If they are no integers, or a sequence is empty or not consecutive steps of one row.
        """
        ids = check_kind("segments", "ids", check_shape("segments", "ids", ids, "N L", {}), "iu", "integers")
        flat = ids.reshape(-1)
        begins = np.ones(ids.shape, bool)
        begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
        starts = np.flatnonzero(begins)
        runs, lengths = flat[starts], np.diff(starts, append=flat.size)
        of_sequence = runs >= 0
        order = np.argsort(runs[of_sequence], kind="stable")
        found = runs[of_sequence][order]
        if flat.min() < -1 or not found.size or (found != np.arange(found.size)).any():
            raise DataError(
                "segments: every sequence 0 … S − 1 must be consecutive steps of one row, padding −1; got "
                f"ids {flat.min()} … {flat.max()} in {found.size} runs of equal ids.",
                "Let s5ref.pack lay out the sequences.",
            )
        return cls(ids.astype(np.int64), starts[of_sequence][order], lengths[of_sequence][order])

    @classmethod
    def from_cu_seqlens(cls, cu_seqlens: Any) -> Segments:
        """The segments of sequences laid end to end in a single row, without padding.

        Parameters
        ----------
        cu_seqlens : (S + 1,) integers
            0, and the cumulated lengths: sequence s is steps cu_seqlens[s] … cu_seqlens[s + 1] − 1.

        Raises
        ------
        S5Error
            If they do not begin with 0 or do not increase.
        """
        edges = check_kind("segments", "cu_seqlens", as_array(cu_seqlens), "iu", "integers").astype(np.int64)
        lengths = np.diff(edges)
        if edges.ndim != 1 or edges.size < 2 or edges[0] != 0 or lengths.min() < 1:
            raise DataError(
                f"segments: cu_seqlens must be 0 and the growing sums of lengths; got {edges.tolist()}.",
                "np.concatenate([[0], np.cumsum(lengths)]).",
            )
        return cls(np.repeat(np.arange(lengths.size), lengths)[None], edges[:-1], lengths)

    @property
    def valid(self) -> Array:
        """(N, L, 1), False at padding."""
        valid: Array = (self.ids >= 0)[:, :, None]
        return valid

    @property
    def resets(self) -> Array:
        """(N, L), True at the first step of every sequence that has another one before it in its row."""
        begins = self.ids[:, 1:] != self.ids[:, :-1]
        return np.concatenate([np.zeros_like(begins[:, :1]), begins], axis=1)

    def spread(self, x: Array) -> Array:
        """What belongs to a sequence, (S, …), at each of its steps, (N, L, …); at padding the last one's."""
        return x[self.ids]
