"""The language of ListOps (Nangia and Bowman 2018): tokens, values, and the text form of the Long Range Arena's release.

Many expressions are one flat uint8 array of token codes in prefix order and the offsets of the rows in it. Codes:
0–9 the digits, then [MIN, [MAX, [MED, [SM and the closing bracket. In the text form an operator with n arguments is
nested pairs, ``( ( ( [MAX 2 ) 9 ) ] )``; the parentheses carry no information.

The functions are plain Python over arrays; `compiled` gives their Numba form, which runs without the GIL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from s5ref.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])

MIN, MAX, MED, SM, END = 10, 11, 12, 13, 14
NAMES = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
MAX_DEPTH = 64  # of the stacks below; the data has at most 9 nested operators

OK, UNKNOWN_TOKEN, PARENTHESES, NO_TARGET, BAD_TARGET, MALFORMED, TOO_DEEP = range(7)


@functools.cache
def compiled(function: F) -> F:
    """``function`` compiled by Numba, without the GIL, at the first call."""
    import numba  # deferred: `import s5ref` loads NumPy only

    jitted: F = numba.njit(nogil=True)(function)
    return jitted


def evaluate(flat: Array, offsets: Array, stack: Array, values: Array) -> tuple[int, int]:
    """values[row] = value of each expression; returns (OK or MALFORMED or TOO_DEEP, row).

    MED is the median truncated to an integer, SM the sum modulo 10. ``stack`` is (MAX_DEPTH, 11) int64 scratch: per
    open operator the operator and how often each digit occurred, from which all four values follow.
    """
    for row in range(len(offsets) - 1):
        depth = 0
        root = -1
        for i in range(offsets[row], offsets[row + 1]):
            token = flat[i]
            if root >= 0:
                return 5, row  # something after the end
            if 10 <= token < 14:
                if depth == len(stack):
                    return 6, row
                stack[depth, :] = 0
                stack[depth, 10] = token
                depth += 1
                continue
            value = int(token)
            if token == 14:
                if depth == 0:
                    return 5, row
                depth -= 1
                operator = stack[depth, 10]
                n = 0
                total = 0
                for digit in range(10):
                    n += stack[depth, digit]
                    total += digit * stack[depth, digit]
                if n == 0:
                    return 5, row
                if operator == 13:
                    value = total % 10
                else:  # the order statistics ``low`` and ``high``: all equal, or the two middle ones
                    low, high = (n - 1) // 2, n // 2
                    if operator == 10:
                        low, high = 0, 0
                    elif operator == 11:
                        low, high = n - 1, n - 1
                    total = 0
                    seen = 0
                    for digit in range(10):
                        count = stack[depth, digit]
                        if seen <= low < seen + count:
                            total += digit
                        if seen <= high < seen + count:
                            total += digit
                        seen += count
                    value = total // 2
            if depth == 0:
                root = value
            else:
                stack[depth - 1, value] += 1
        if root < 0:
            return 5, row
        values[row] = root
    return 0, 0


def scan(text: Array, flat: Array, offsets: Array, targets: Array) -> tuple[int, int]:
    """Rows ``tokens TAB digit [CR] LF`` → flat, offsets, targets; returns (OK or what is wrong, row).

    ``text`` is uint8 and ends with LF; flat has room for len(text)/2 + 1 codes, offsets for one more than the rows.
    """
    at = 0
    filled = 0
    row = 0
    offsets[0] = 0
    while at < len(text):
        parentheses = 0
        while text[at] != 9:
            c = text[at]
            width = 1
            if c == 32:
                at += 1
                continue
            if c == 40:
                parentheses += 1
            elif c == 41:
                parentheses -= 1
                if parentheses < 0:
                    return 2, row
            elif 48 <= c <= 57:
                flat[filled] = c - 48
                filled += 1
            elif c == 93:
                flat[filled] = 14
                filled += 1
            elif c == 91:
                if text[at + 1] == 83 and text[at + 2] == 77:
                    flat[filled] = 13
                    width = 3
                elif text[at + 1] == 77 and text[at + 2] == 73 and text[at + 3] == 78:
                    flat[filled] = 10
                    width = 4
                elif text[at + 1] == 77 and text[at + 2] == 65 and text[at + 3] == 88:
                    flat[filled] = 11
                    width = 4
                elif text[at + 1] == 77 and text[at + 2] == 69 and text[at + 3] == 68:
                    flat[filled] = 12
                    width = 4
                else:
                    return 1, row
                filled += 1
            elif c == 10 or c == 13:
                return 3, row
            else:
                return 1, row
            at += width
            if text[at] != 32 and text[at] != 9:
                return (3 if text[at] == 10 or text[at] == 13 else 1), row
        if parentheses != 0:
            return 2, row
        at += 1
        if text[at] < 48 or text[at] > 57:
            return 4, row
        targets[row] = text[at] - 48
        at += 1
        if text[at] == 13:
            at += 1
        if text[at] != 10:
            return 4, row
        at += 1
        row += 1
        offsets[row] = filled
    return 0, row


def render(flat: Array, offsets: Array, values: Array, names: Array, arity: Array, open_at: Array, out: Array) -> int:
    """The text of well-formed rows, as `scan` reads it and byte for byte as released (CRLF); returns the bytes written.

    names (15, 4) uint8: NAMES padded with 0; scratch: arity (len(flat),), open_at (MAX_DEPTH,); out has room for
    16·len(flat) + 4·rows bytes.
    """
    n = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        depth = 0
        for i in range(start, stop):  # arity of every operator
            if flat[i] == 14:
                depth -= 1
            elif depth > 0:
                arity[open_at[depth - 1]] += 1
            if 10 <= flat[i] < 14:
                arity[i] = 0
                open_at[depth] = i
                depth += 1
        depth = 0
        for i in range(start, stop):
            token = flat[i]
            closings = 0
            if 10 <= token < 14:
                for _ in range(arity[i] + 1):
                    out[n], out[n + 1] = 40, 32
                    n += 2
                depth += 1
            elif token == 14:
                depth -= 1
                closings = 2 if depth > 0 else 1
            elif depth > 0:
                closings = 1
            for c in names[token]:
                if c != 0:
                    out[n] = c
                    n += 1
            for _ in range(closings):
                out[n], out[n + 1] = 32, 41
                n += 2
            out[n] = 32 if i + 1 < stop else 9
            n += 1
        out[n], out[n + 1], out[n + 2] = 48 + values[row], 13, 10
        n += 3
    return n
