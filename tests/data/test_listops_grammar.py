"""ListOps' tokens, values and text form against a plain recursive transcription."""

from __future__ import annotations

import statistics
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.data import listops_grammar as grammar
from s5ref.data.listops import read_rows
from s5ref.data.listops_generator import Rows, text
from s5ref.errors import S5Error

Tree = Any  # a digit, or [operator, tree, …]
CODES = {name: code for code, name in enumerate(grammar.NAMES)}
trees = st.recursive(
    st.integers(0, 9),
    lambda inner: st.builds(
        lambda op, args: [op, *args],
        st.sampled_from(["[MIN", "[MAX", "[MED", "[SM"]),
        st.lists(inner, min_size=1, max_size=6),
    ),
    max_leaves=40,
)


def value(tree: Tree) -> int:
    if isinstance(tree, int):
        return tree
    args = [value(child) for child in tree[1:]]
    functions = {"[MIN": min, "[MAX": max, "[MED": statistics.median, "[SM": sum}
    return int(functions[tree[0]](args)) % 10  # type: ignore[operator]


def release(tree: Tree) -> str:
    """Nested pairs, as the original generator prints them."""
    if isinstance(tree, int):
        return str(tree)
    out: str = tree[0]
    for child in [*map(release, tree[1:]), "]"]:
        out = f"( {out} {child} )"
    return out


def codes(tree: Tree) -> list[int]:
    return [CODES[token] for token in release(tree).split() if token not in "()"]


def rows_of(forest: list[Tree]) -> Rows:
    flat = [codes(tree) for tree in forest]
    return Rows(
        np.array(list(chain.from_iterable(flat)), np.uint8),
        np.cumsum([0, *map(len, flat)]),
        np.array([value(tree) for tree in forest], np.uint8),
        0,
    )


def evaluate(function: Any, flat: list[int]) -> tuple[int, int]:
    values = np.full(1, 255, np.uint8)
    stack = np.empty((grammar.MAX_DEPTH, 11), np.int64)
    fault, _ = function(np.array(flat, np.uint8), np.array([0, len(flat)]), stack, values)
    return fault, int(values[0])


@pytest.mark.parametrize("form", ["python", "compiled"])
@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("[MED 1 2 ]", 1),
        ("[MED 0 9 ]", 4),
        ("[MED 9 1 5 ]", 5),
        ("[MED 3 8 3 9 ]", 5),
        ("[SM 9 9 5 ]", 3),
        ("[MIN 4 2 7 ]", 2),
        ("[MAX 4 2 7 ]", 7),
        ("[MAX 2 [MIN 8 9 ] [SM 5 6 ] ]", 8),
        ("7", 7),
    ],
)
def test_values(expression: str, want: int, form: str) -> None:
    function = grammar.evaluate if form == "python" else grammar.compiled(grammar.evaluate)
    assert evaluate(function, [CODES[token] for token in expression.split()]) == (grammar.OK, want)


@pytest.mark.parametrize("form", ["python", "compiled"])
@pytest.mark.parametrize(
    "expression", ["", "]", "[MAX ]", "[MAX 1", "1 2", "[MAX 1 ] ]", "[MAX 1 ] 3", "[SM [MIN 2 ]"]
)
def test_what_is_not_one_expression(expression: str, form: str) -> None:
    function = grammar.evaluate if form == "python" else grammar.compiled(grammar.evaluate)
    assert evaluate(function, [CODES[token] for token in expression.split()])[0] == grammar.MALFORMED


def test_too_deep() -> None:
    depth = grammar.MAX_DEPTH
    for n, want in ((depth, grammar.OK), (depth + 1, grammar.TOO_DEEP)):
        flat = [grammar.MAX] * n + [3] + [grammar.END] * n
        assert evaluate(grammar.compiled(grammar.evaluate), flat)[0] == want


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(trees, min_size=1, max_size=5))
def test_render_scan_and_evaluate_agree_with_the_transcription(forest: list[Tree]) -> None:
    rows = rows_of(forest)
    block = text(rows)
    assert block.decode() == "".join(f"{release(tree)}\t{value(tree)}\r\n" for tree in forest)
    for function in (grammar.scan, grammar.compiled(grammar.scan)):
        flat = np.empty(len(block) // 2 + 1, np.uint8)
        offsets, targets = np.empty(len(forest) + 1, np.int64), np.empty(len(forest), np.uint8)
        assert function(np.frombuffer(block, np.uint8), flat, offsets, targets)[0] == grammar.OK
        np.testing.assert_array_equal(offsets, rows.offsets)
        np.testing.assert_array_equal(flat[: offsets[-1]], rows.flat)
        np.testing.assert_array_equal(targets, rows.values)
    for form in (grammar.evaluate, grammar.compiled(grammar.evaluate)):
        values = np.empty(len(forest), np.uint8)
        assert (
            form(rows.flat, rows.offsets, np.empty((grammar.MAX_DEPTH, 11), np.int64), values)[0]
            == grammar.OK
        )
        np.testing.assert_array_equal(values, rows.values)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(
        st.sampled_from([b"(", b")", b"[MAX", b"[M", b"[", b"]", b"3", b" ", b" ", b"\t", b"\r", b"\n", b"x"])
    )
)
def test_no_bytes_make_the_reader_do_anything_but_read_or_refuse(parts: list[bytes]) -> None:
    """Python's bounds checks stand in for the compiled form's, which has none."""
    block = b"".join(parts) + b"\n"
    n = block.count(b"\n")
    out = np.empty(len(block) // 2 + 1, np.uint8), np.empty(n + 1, np.int64), np.empty(n, np.uint8)
    assert grammar.scan(np.frombuffer(block, np.uint8), *out)[0] in range(5)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.lists(trees, min_size=1, max_size=4))
def test_reading_a_file(tmp_path_factory: pytest.TempPathFactory, forest: list[Tree]) -> None:
    path = tmp_path_factory.getbasetemp() / "forest.tsv"
    path.write_bytes(b"Source\tTarget\r\n" + text(rows_of(forest)))
    inputs, lengths, targets = read_rows(path, 16)
    eos, pad = len(grammar.NAMES), len(grammar.NAMES) + 1
    for i, tree in enumerate(forest):
        want = [*codes(tree)[:15], eos]
        assert lengths[i] == len(want)
        assert inputs[i].tolist() == want + [pad] * (16 - len(want))
        assert targets[i] == value(tree)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("( ( [MAX 2 ) ] )\t3", "Target must be the value of Source, 2; got 3"),
        ("( ( [MAX 2 ) ] )\t12", "Target must be one digit and end the line"),
        ("( ( [MAX 2 ) ] )\tx", "Target must be one digit and end the line"),
        ("( ( [MAX 2 ) ] )\t2\t2", "Target must be one digit and end the line"),
        ("( ( [MAX 2 ) ] ) 2", "a row must be Source, a tab and Target"),
        ("", "a row must be Source, a tab and Target"),
        ("( ( [MAX 2 ) ]\t2", "parentheses must be balanced"),
        (") ( [MAX 2 ]\t2", "parentheses must be balanced"),
        ("( ( [MUL 2 ) ] )\t2", "tokens must be among"),
        ("( ( [MAX 12 ) ] )\t2", "tokens must be among"),
        ("( ( [max 2 ) ] )\t2", "tokens must be among"),
        ("( [MAX 2 )\t2", "Source must be one expression"),
        ("\t2", "Source must be one expression"),
    ],
)
def test_a_bad_row_is_refused_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "basic_train.tsv"
    path.write_bytes(f"Source\tTarget\r\n( ( [MAX 2 ) ] )\t2\r\n{row}\r\n5\t5\r\n".encode())
    with pytest.raises(S5Error, match=message) as caught:
        read_rows(path)
    assert f"{path}, line 3: " in caught.value.message
