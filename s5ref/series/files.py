"""`read`: files of series, each format as a Table."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import ConfigError, DataError, MissingDependency, ShapeError, suggest
from s5ref.files import DAMAGED, parsing, read_bytes
from s5ref.npz import GROWTH, NUMBERS, loads, loads_array
from s5ref.series.convert import Channels, as_series
from s5ref.series.numbers import missing
from s5ref.series.series import shown, warn
from s5ref.series.tables import Table, find_columns, from_columns, from_frame
from s5ref.series.targets import Task, as_target

FORMATS = ("csv", "tsv", "npz", "npy", "parquet", "ts", "arff")
_INPUTS = ("X", "x", "inputs", "data")
_TARGETS = ("y", "Y", "targets", "target", "labels", "label")


def read(
    path: str | Path | TextIO,
    *,
    target: str | int | None = None,
    id: str | int | None = None,
    time: str | int | None = None,
    format: str | None = None,
    task: Task = "auto",
    channels: Channels = "auto",
    tokens: bool | Sequence[str] = False,
) -> Table:
    """The series of a file, with their targets.

    Parameters
    ----------
    path : str, Path or open text stream
        A stream needs ``format="csv"`` or ``"tsv"``.
    target, id, time : str, int or None
        Of .csv, .tsv and .parquet the columns of targets, of the series' names and of times (numbers, or
        dates by ISO 8601), by name or by position; -1 is the last. Of .npz ``target`` names an array.
    format : {"csv", "tsv", "npz", "npy", "parquet", "ts", "arff"}, optional
        None: the suffix of the file.
    task : {"auto", "classes", "real"}
        What the targets are, see `as_target`.
    channels : {"auto", "first", "last"}
        Of .npz and .npy, see `as_series`.
    tokens : bool or sequence of str
        Of .csv, .tsv and .parquet True: their numbers are integers that stand for symbols, which become
        one-hot channels over all that occur. A sequence: over these symbols, the ``channels`` of what was
        read before.

    Returns
    -------
    Table
        Its ``repr`` is a sentence that says what was understood.

    Raises
    ------
    DataError
        On a file that cannot be read or holds no series.
    ShapeError
        On arrays whose axes or sizes do not fit.
    ConfigError
        On a column that is not there, an unknown format, and an option that the format does not have.
    MissingDependency
        Where the format needs a package that is not installed.

    Notes
    -----
    .csv and .tsv: text in UTF-8; a field is a number, or missing (empty, NA, nan, null, ?). A first row that
    has text where the second has a number is a header, and so are the numbers 0, 1, 2, … A column whose name
    is empty is left out: it numbers rows. A table with times, or with an id that several rows have, is long:
    each row is a step. Otherwise each row is a series, and missing fields at its end are its end. See
    `from_columns`.

    .npz: the series are X (or x, inputs, data), the targets y (or targets, labels), if there are any.
    ``times`` and ``lengths``, (n,) of padded series, may stand beside them. .ts and .arff are read by aeon,
    .parquet by pyarrow or polars.
    """
    where = str(path) if isinstance(path, str | Path) else getattr(path, "name", "stream")
    kind = (format or Path(where).suffix.removeprefix(".")).lower()
    if kind not in FORMATS:
        raise ConfigError(
            f"{where}: the format must be one of {', '.join(FORMATS)}; got {kind!r}.",
            f"{suggest(kind, FORMATS)}Name it: format='csv'.",
        )
    columns = {"target": target, "id": id, "time": time}
    given = columns | {"tokens": None if tokens is False else True}
    unused = [role for role, name in given.items() if name is not None and role not in _OPTIONS.get(kind, ())]
    if unused:
        raise ConfigError(f"{where}: .{kind} has no option {unused[0]}.", f"Leave {unused[0]} out.")
    if kind in ("csv", "tsv"):
        with parsing(f"{where} must be text in UTF-8", "Save it as UTF-8 (of a spreadsheet: 'CSV UTF-8')."):
            text = path.read() if hasattr(path, "read") else read_bytes(Path(path)).decode("utf-8-sig")
        return _text(where, text, "\t" if kind == "tsv" else None, columns, task, tokens)
    if not isinstance(path, str | Path):
        raise ConfigError(f"{where}: a stream must be csv or tsv; got {kind}.", "Give the path of the file.")
    if kind in ("ts", "arff"):
        return _aeon(Path(path), kind, task)
    data = read_bytes(Path(path))
    if kind == "parquet":
        with parsing(f"{where} is not readable as parquet", DAMAGED):
            return from_frame(_parquet(data, where), **columns, task=task, tokens=tokens, where=where)
    if kind == "npy":
        return Table(as_series(loads_array(data, where, DAMAGED), channels=channels))
    return _npz(
        loads(data, where, DAMAGED, deflated=True, kinds=NUMBERS + "U"), where, target, task, channels
    )


_OPTIONS = dict.fromkeys(("csv", "tsv", "parquet"), ("target", "id", "time", "tokens")) | {"npz": ("target",)}


def _text(
    where: str,
    text: str,
    separator: str | None,
    columns: dict[str, Any],
    task: Task,
    tokens: bool | Sequence[str],
) -> Table:
    """A Table of text, row by row, so that memory follows the length of the text."""
    if separator is None:
        line = text.lstrip().partition("\n")[0]
        separator = max(",;\t|", key=line.count)
    rows = _rows(where, text, separator)
    top = list(islice(rows, 2))
    if not top:
        raise DataError(f"{where}: must have rows; it is empty.", "Check that it is the right file.")
    header = _is_header(top[0][1], top[1][1] if len(top) > 1 else [], columns)
    width = len(top[0][1])
    names = [
        name.strip() or f"(unnamed {k})"
        for k, name in enumerate(top[0][1] if header else map(str, range(width)))
    ]
    roles = find_columns(where, names, **columns)
    from_end = not header and any(str(name).startswith("-") for name in columns.values())
    numbers = [k for k in range(width) if k not in roles.values() and not names[k].startswith("(unnamed ")]
    left_out = sorted(set(range(width)) - set(numbers), reverse=True)
    named: dict[str, list[str]] = {role: [] for role in roles}
    values, widths = array("d"), array("q")
    for number, row in chain(top[1:] if header else top, rows):
        if any(row[width:]) if header else from_end and len(row) != width:
            raise DataError(
                f"{where}: line {number} must have {width} fields, as the first; got {len(row)}.",
                "Correct the line; in rows of unequal lengths put what is not a step first.",
            )
        for role, k in roles.items():
            if k >= len(row) or missing(row[k]):
                raise DataError(
                    f"{where}: line {number}: the {role} is missing, which is field {k + 1} of {width}.",
                    "Complete the line; in rows of unequal lengths put what is not a step first.",
                )
            named[role].append(row[k].strip())
        for k in left_out:
            del row[k : k + 1]
        fields = row[: len(numbers)] if header else row
        widths.append(len(fields))
        start = len(values)
        try:
            values.extend(map(float, fields))
        except ValueError:
            del values[start:]
            values.extend(
                _number(field, f"{where}: line {number}", names, numbers, k) for k, field in enumerate(fields)
            )
    return from_columns(
        where,
        [names[k] for k in numbers] if header else None,
        np.array(values),
        np.array(widths),
        {role: (names[k], named[role]) for role, k in roles.items()},
        task,
        tokens,
    )


def _rows(where: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, fields) of each row that has any."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        with parsing(f"{where}: line {reader.line_num + 1} is not readable as text of fields", DAMAGED):
            row = next(reader, None)
        if row is None:
            return
        if row:
            yield reader.line_num, row


def _is_header(first: list[str], second: list[str], columns: dict[str, Any]) -> bool:
    """Whether the first row is a header: a name that is asked for, text above numbers, or 0, 1, 2, …."""
    if any(isinstance(name, str) and name in first and not _is_number(name) for name in columns.values()):
        return True
    if not any(map(_is_number, first)):
        return True
    text = [not _is_number(field) and not missing(field) for field in first]
    if any(t and (_is_number(s) or missing(s)) for t, s in zip(text, second, strict=False)):
        return True
    counted = [field for field in first if _is_number(field)]
    runs = [[str(k + start) for k in range(len(counted))] for start in (0, 1)]
    return len(counted) > 1 and counted in runs and [s for s in second if _is_number(s)] != counted


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return not missing(field)


def _number(field: str, where: str, names: list[str], numbers: list[int], k: int) -> float:
    try:
        return float("nan" if missing(field) else field)
    except ValueError:
        name = names[numbers[k]] if k < len(numbers) else str(k)
        raise DataError(
            f"{where}, column {shown([name])}: must be a number; got {shown([field])}.",
            "Write decimals with a point; name a column of text as target, id or time, or leave it out.",
        ) from None


def _package(module: str) -> Any:
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependency(f"{package} is not installed.", f"Run: pip install {package}") from error


def _parquet(data: bytes, where: str) -> Any:
    """A table of pyarrow, or a frame of polars where that alone is installed."""
    if find_spec("polars") is None or find_spec("pyarrow") is not None:
        # in this thread alone: what reads ahead in others may crash on a damaged file
        source = _package("pyarrow").BufferReader(data)
        file = _package("pyarrow.parquet").ParquetFile(source, pre_buffer=False)
        cells = file.metadata.num_rows * file.metadata.num_columns
        whole = partial(file.read, use_threads=False)
    else:
        polars = _package("polars")
        frame = polars.scan_parquet(io.BytesIO(data))
        cells = frame.select(polars.len()).collect().item() * len(frame.collect_schema())
        whole = frame.collect
    if 8 * cells > GROWTH * len(data):
        raise DataError(
            f"{where}: must unfold to at most {GROWTH} times its {len(data)} bytes; "
            f"it promises {cells} numbers.",
            "Write it as .npz.",
        )
    return whole()


def _npz(
    arrays: dict[str, Array], where: str, target: str | int | None, task: Task, channels: Channels
) -> Table:
    inputs = next((key for key in _INPUTS if key in arrays), None)
    key = str(target) if target is not None else next((key for key in _TARGETS if key in arrays), None)
    if inputs is None or (key is not None and key not in arrays):
        must, got = (
            ("X", shown(list(arrays)))
            if inputs is None
            else (str(key), f"no {key!r} among {shown(list(arrays))}")
        )
        raise DataError(
            f"{where}: must hold an array {must}; got {got}.",
            f"{suggest(must, arrays)}Write it by numpy.savez(path, X=…, y=…).",
        )
    x, times, lengths = arrays[inputs], arrays.get("times"), arrays.get("lengths")
    if lengths is None:
        series = as_series(x, times=times, channels=channels)
    else:
        axis = 0 if channels == "last" else -1
        longest = min((np.shape(row)[axis] for row in x), default=0) if x.ndim > 1 else 0
        if (
            lengths.shape != x.shape[:1]
            or lengths.dtype.kind not in "iu"
            or not ((lengths > 0) & (lengths <= longest)).all()
        ):
            raise DataError(
                f"{where}: lengths must be ({len(x)},) integers from 1 to {longest}; got {lengths.dtype} "
                f"{lengths.shape} from {lengths.min(initial=0)} to {lengths.max(initial=0)}.",
                "Pass channels='last' if X is (n, L, C).",
            )
        rows = [row[:n] if axis == 0 else row[..., :n] for row, n in zip(x, lengths, strict=True)]
        cut = times if times is None else [
            row[:n] for row, n in zip(np.broadcast_to(times, (len(x), longest)), lengths, strict=True)
        ]  # fmt: skip
        series = as_series(rows, times=cut, channels=channels)
    found = None if key is None else as_target(arrays[key], key, task)
    if found is not None and len(found.y) != len(series):
        raise ShapeError(
            f"{where}: {key} must have one value a series, {len(series)}; got {len(found.y)}.",
            "Correct the file.",
        )
    return Table(series, found)


def _aeon(path: Path, kind: str, task: Task) -> Table:
    """aeon leaves out the times that a .ts may have."""
    datasets = _package("aeon.datasets")
    with parsing(
        f"{path} is not readable as .{kind}", "Check the file; aeon's documentation has the format."
    ):
        if kind == "arff":
            X, y = datasets.load_from_arff_file(str(path))
        else:
            X, y, facts = datasets.load_from_ts_file(str(path), return_meta_data=True)
            if facts.get("timestamps"):
                warn(f"{path}: the times are left out, and the steps taken for regular.")
    return Table(as_series(X, channels="first"), as_target(y, "y", task) if len(y) else None)
