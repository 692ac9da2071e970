"""The recurrence and its adjoint over the rows of a tile, in place, for Λ̄ constant in time.

Rows hold interleaved real and imaginary parts; ``column`` is where the direction's part of a row begins. The
carry travels in separate real and imaginary vectors.
"""

from __future__ import annotations

from s5ref.cpu.compile import inner


@inner
def scan_rows(rows, column, a, re, im, backwards):  # type: ignore[no-untyped-def]
    """x ← Λ̄ x + row, row ← x; the carry (re, im) is x before and after."""
    T, P = rows.shape[0], re.size
    for i in range(T):
        row = rows[T - 1 - i if backwards else i][column : column + 2 * P]
        for p in range(P):
            r = a[2 * p] * re[p] - a[2 * p + 1] * im[p] + row[2 * p]
            m = a[2 * p] * im[p] + a[2 * p + 1] * re[p] + row[2 * p + 1]
            re[p], im[p] = r, m
            row[2 * p], row[2 * p + 1] = r, m


@inner
def adjoint_rows(rows, column, a, re, im, x, first, sum_re, sum_im, backwards):  # type: ignore[no-untyped-def]
    """g = carry + row, row ← g, carry ← conj(Λ̄) g; the sums gain g conj(x before), x before the state that
    the forward scan had one step earlier: ``first`` (2P) at the row where that one began.
    """
    T, P = rows.shape[0], re.size
    for i in range(T):
        k = T - 1 - i if backwards else i
        row = rows[k][column : column + 2 * P]
        before = first
        if i < T - 1:
            before = x[k - 1 if backwards else k + 1][column : column + 2 * P]
        for p in range(P):
            r, m = re[p] + row[2 * p], im[p] + row[2 * p + 1]
            row[2 * p], row[2 * p + 1] = r, m
            re[p] = a[2 * p] * r + a[2 * p + 1] * m
            im[p] = a[2 * p] * m - a[2 * p + 1] * r
            sum_re[p] += r * before[2 * p] + m * before[2 * p + 1]
            sum_im[p] += m * before[2 * p] - r * before[2 * p + 1]
