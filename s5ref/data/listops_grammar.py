"""The language of ListOps (Nangia and Bowman 2018): tokens, values, and the text form of LRA's release.

Many expressions are one flat uint8 array of token codes in prefix order and the offsets of the rows in it.
Codes: 0–9 the digits, then [MIN, [MAX, [MED, [SM and the closing bracket. In the text form an operator with
n arguments is nested pairs, ``( ( ( [MAX 2 ) 9 ) ] )``; the parentheses carry no information.

The functions are plain Python over arrays; `compiled` gives their Numba form, which runs without the GIL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from s5ref.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])

MIN, MAX, MED, SM, END = 10, 11, 12, 13, 14
NAMES = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
MAX_DEPTH = 64  # of the stacks below; the data has at most 9 nested operators

TAB, LF, CR, SPACE, LEFT, RIGHT, ZERO, NINE, OPEN, CLOSE = b"\t\n\r ()09[]"
A, D, E, I, M, N, S, X = b"ADEIMNSX"

OK, UNKNOWN_TOKEN, PARENTHESES, NO_TARGET, BAD_TARGET, MALFORMED, TOO_DEEP = range(7)


@functools.cache
def compiled(function: F) -> F:
    """``function`` compiled by Numba, without the GIL, at the first call."""
    import numba  # deferred: `import s5ref` loads NumPy only

    return cast(F, numba.njit(nogil=True)(function))


def evaluate(flat: Array, offsets: Array, stack: Array, values: Array) -> tuple[int, int]:
    """values[row] = value of each expression; returns (OK or MALFORMED or TOO_DEEP, row).

    MED is the median truncated to an integer, SM the sum modulo 10. Scratch: ``stack`` (MAX_DEPTH, 11) int64,
    per open operator how often each digit occurred, from which all four values follow, and the operator.
    """
    for row in range(len(offsets) - 1):
        depth = 0
        root = -1
        for i in range(offsets[row], offsets[row + 1]):
            token = flat[i]
            if root >= 0:
                return MALFORMED, row  # something after the end
            if MIN <= token < END:
                if depth == len(stack):
                    return TOO_DEEP, row
                stack[depth, :] = 0
                stack[depth, 10] = token
                depth += 1
                continue
            value = int(token)
            if token == END:
                if depth == 0:
                    return MALFORMED, row
                depth -= 1
                operator = stack[depth, 10]
                n = 0
                total = 0
                for digit in range(10):
                    n += stack[depth, digit]
                    total += digit * stack[depth, digit]
                if n == 0:
                    return MALFORMED, row
                if operator == SM:
                    value = total % 10
                else:  # the order statistics ``low`` and ``high``: all equal, or the two middle ones
                    low, high = (n - 1) // 2, n // 2
                    if operator == MIN:
                        low, high = 0, 0
                    elif operator == MAX:
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
            return MALFORMED, row
        values[row] = root
    return OK, 0


def scan(text: Array, flat: Array, offsets: Array, targets: Array) -> tuple[int, int]:
    """Rows ``tokens TAB digit [CR] LF`` → flat, offsets, targets; returns (OK or what is wrong, row).

    ``text`` is uint8 and ends with LF; flat has room for len(text)/2 + 1 codes, offsets for rows + 1.
    """
    at = 0
    filled = 0
    row = 0
    offsets[0] = 0
    while at < len(text):
        parentheses = 0
        while text[at] != TAB:
            c = text[at]
            if c == SPACE:
                at += 1
                continue
            token, width = -1, 1
            if c == LEFT:
                parentheses += 1
            elif c == RIGHT:
                parentheses -= 1
                if parentheses < 0:
                    return PARENTHESES, row
            elif ZERO <= c <= NINE:
                token = int(c) - ZERO
            elif c == CLOSE:
                token = END
            elif c == OPEN:
                width = 4
                if text[at + 1] == S and text[at + 2] == M:
                    token, width = SM, 3
                elif text[at + 1] == M and text[at + 2] == I and text[at + 3] == N:
                    token = MIN
                elif text[at + 1] == M and text[at + 2] == A and text[at + 3] == X:
                    token = MAX
                elif text[at + 1] == M and text[at + 2] == E and text[at + 3] == D:
                    token = MED
                else:
                    return UNKNOWN_TOKEN, row
            elif c in (LF, CR):
                return NO_TARGET, row
            else:
                return UNKNOWN_TOKEN, row
            if token >= 0:
                flat[filled] = token
                filled += 1
            at += width
            if text[at] != 32 and text[at] != TAB:
                return (NO_TARGET if text[at] == LF or text[at] == CR else UNKNOWN_TOKEN), row
        if parentheses != 0:
            return PARENTHESES, row
        at += 1
        if text[at] < ZERO or text[at] > NINE:
            return BAD_TARGET, row
        targets[row] = text[at] - ZERO
        at += 1
        if text[at] == CR:
            at += 1
        if text[at] != LF:
            return BAD_TARGET, row
        at += 1
        row += 1
        offsets[row] = filled
    return OK, row


def render(
    flat: Array, offsets: Array, values: Array, names: Array, arity: Array, open_at: Array, out: Array
) -> int:
    """The text of well-formed rows, byte for byte in the release's form (CRLF); returns the bytes written.

    names (15, 4) uint8: NAMES padded with 0; scratch: arity (len(flat),), open_at (MAX_DEPTH,); out has room
    for 16·len(flat) + 4·rows bytes.
    """
    n = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        depth = 0
        for i in range(start, stop):  # arity of every operator
            if flat[i] == END:
                depth -= 1
            elif depth > 0:
                arity[open_at[depth - 1]] += 1
            if MIN <= flat[i] < END:
                arity[i] = 0
                open_at[depth] = i
                depth += 1
        depth = 0
        for i in range(start, stop):
            token = flat[i]
            closings = 0
            if MIN <= token < END:
                for _ in range(arity[i] + 1):
                    out[n], out[n + 1] = LEFT, SPACE
                    n += 2
                depth += 1
            elif token == END:
                depth -= 1
                closings = 2 if depth > 0 else 1
            elif depth > 0:
                closings = 1
            for c in names[token]:
                if c != 0:
                    out[n] = c
                    n += 1
            for _ in range(closings):
                out[n], out[n + 1] = SPACE, RIGHT
                n += 2
            out[n] = SPACE if i + 1 < stop else TAB
            n += 1
        out[n], out[n + 1], out[n + 2] = ZERO + values[row], CR, LF
        n += 3
    return n
