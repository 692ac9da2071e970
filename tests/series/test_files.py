"""Files of every format; and bad ones, each with one clear sentence."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from s5ref import ConfigError, DataError, MissingDependency, S5Error, ShapeError
from s5ref.series import SeriesWarning, Table, read

X = np.random.default_rng(0).standard_normal((4, 2, 5))
Y = np.array(["a", "b", "a", "b"])


def text(content: str, **columns: Any) -> Table:
    return read(io.StringIO(content), format="csv", **columns)


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("label,0,1,2\nGun,1.5,2,3\nPoint,2,3,4\n", "label"),
        ("label;t0;t1;t2\r\nGun;1.5;2;3\r\n\r\nPoint;2;3;4", -4),
        ("t_1\tt_2\tt_3\tlabel\n1.5\t2\t3\tGun\n2\t3\t4\tPoint\n", "label"),
        ("0,1,2,label\n1.5,2,3,Gun\n2,3,4,Point\n", "label"),
        ("Gun,1.5,2,3\nPoint,2,3,4\n", 0),
        ("1.5,2,3,Gun\n2,3,4,Point\n", -1),
        ("1.5,2,3,Gun\n2,3,4,Point\n", "3"),
        (",label,t0,t1,t2\n0,Gun,1.5,2,3\n1,Point,2,3,4\n", "label"),  # as pandas writes its index
        ('"label","t0","t1","t2"\n"Gun"," 1.5",2,3\n"Point",2,3,4\n', "label"),
    ],
)
def test_wide_text(content: str, target: Any) -> None:
    table = text(content, target=target)
    assert repr(table.series) == "2 series, 1 channel, 3 steps each, regular"
    assert table.series.values.ravel().tolist() == [1.5, 2, 3, 2, 3, 4]
    assert table.y is not None
    assert table.y.tolist() == ["Gun", "Point"]


def test_shorter_rows_are_shorter_series() -> None:
    for content in ("y,a,b,c\n1,1,2,3\n2,4,,\n", "y,a,b,c\n1,1,2,3\n2,4\n", "2,4\n1,1,2,3\n2,5,6,7,8\n"):
        assert text(content, target=0).series.lengths.tolist() in ([3, 1], [1, 3, 4])
    with pytest.warns(SeriesWarning, match="1, in 1 of 1 series"):
        assert text("a,b,c\n1,NA,3\n").series.values.ravel().tolist() == [1, 2, 3]


def test_long_text() -> None:
    content = "who,at,x,y,fat\n07,2026-01-01,1,2,1.5\n7,2026-01-01,5,6,2.5\n07,2026-01-03,3,4,1.5\n"
    table = text(content, id="who", time="at", target="fat")
    assert repr(table) == "2 series, 2 channels, 1 to 2 steps, regular; target 'fat': real, 1.5 to 2.5"
    assert table.ids == ("07", "7")  # text as it stands
    assert table.series.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert table.series.times is not None
    assert table.series.times.tolist() == [0, 2 * 86400, 0]


def test_text_gives_what_its_frame_gives(tmp_path: Path) -> None:
    frame = pd.DataFrame(X.reshape(4, 10), columns=[f"{c}_{k}" for c in "uv" for k in range(5)]).assign(y=Y)
    frame.to_csv(tmp_path / "x.csv")
    frame.to_csv(tmp_path / "x.tsv", sep="\t", index=False, encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "x.parquet")
    for suffix in ("csv", "tsv", "parquet"):
        table = read(tmp_path / f"x.{suffix}", target="y")
        np.testing.assert_array_equal(table.series.values, X.transpose(0, 2, 1).reshape(-1, 2))
        assert table.series.channels == ("u", "v")
        assert table.y is not None
        assert table.y.tolist() == Y.tolist()


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", X=X, y=Y)
    np.savez_compressed(tmp_path / "last.npz", inputs=X.transpose(0, 2, 1), labels=Y)
    for name, channels in [("x.npy", "first"), ("x.npz", "auto"), ("last.npz", "last")]:
        table = read(tmp_path / name, channels=channels)  # type: ignore[arg-type]
        np.testing.assert_array_equal(table.series.values, X.transpose(0, 2, 1).reshape(-1, 2))
        assert (table.y is None) == (name == "x.npy")


@pytest.mark.parametrize("channels", ["first", "last"])
def test_padded_arrays_with_lengths_and_times(tmp_path: Path, channels: Any) -> None:
    x = X if channels == "first" else X.transpose(0, 2, 1)
    t = np.arange(5) * 0.5
    np.savez(tmp_path / "x.npz", x=x, target=np.arange(4) * 0.5, lengths=[5, 2, 3, 5], times=t)
    table = read(tmp_path / "x.npz", channels=channels)
    assert repr(table) == "4 series, 2 channels, 2 to 5 steps, regular; target 'target': real, 0 to 1.5"
    np.testing.assert_array_equal(table.series[1].values, X[1, :, :2].T)
    np.testing.assert_array_equal(table.series[2].times, t[:3])


def test_aeon_reads_its_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ts(path: str, return_meta_data: bool) -> Any:
        assert path.endswith("x.ts")
        return [x[:, : i + 2] for i, x in enumerate(X)], Y, {"timestamps": path.endswith("timed.x.ts")}

    def arff(path: str) -> Any:
        raise ValueError("no @data")

    package = types.ModuleType("aeon.datasets")
    package.__dict__.update(load_from_ts_file=ts, load_from_arff_file=arff)
    monkeypatch.setitem(sys.modules, "aeon", types.ModuleType("aeon"))
    monkeypatch.setitem(sys.modules, "aeon.datasets", package)
    table = read(tmp_path / "x.ts")
    assert repr(table) == "4 series, 2 channels, 2 to 5 steps, regular; target 'y': 2 classes (a 2, b 2)"
    with pytest.warns(SeriesWarning, match="times are left out"):
        read(tmp_path / "timed.x.ts")
    with pytest.raises(DataError, match="no @data"):
        read(tmp_path / "x.arff")


@pytest.mark.parametrize(
    ("name", "package"), [("x.ts", "aeon"), ("x.arff", "aeon"), ("x.parquet", "pyarrow")]
)
def test_a_package_that_is_missing(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"x")
    for module in ("aeon.datasets", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=f"{package} is not installed. Run: pip install {package}"):
        read(tmp_path / name)


def test_polars_reads_parquet_where_pyarrow_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s5ref.series.files as files

    frame = pd.DataFrame(X.reshape(4, 10)).rename(columns=str).assign(y=Y)
    frame.to_parquet(tmp_path / "x.parquet")
    want = read(tmp_path / "x.parquet", target="y")
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == "pyarrow" else name)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    got = read(tmp_path / "x.parquet", target="y")
    np.testing.assert_array_equal(got.series.values, want.series.values)
    assert repr(got) == repr(want)


def test_a_parquet_that_promises_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": np.zeros(10**6)}).to_parquet(path)
    with pytest.raises(DataError, match="promises 1000000 numbers"):
        read(path)


BAD: dict[str, tuple[Callable[[], Any], type[S5Error], list[str]]] = {
    "empty": (lambda: text(""), DataError, ["stream", "empty"]),
    "blank lines": (lambda: text("\n\n"), DataError, ["empty"]),
    "a header alone": (lambda: text("a,b\n"), DataError, ["rows"]),
    "a wrong column": (lambda: text("label,a\nx,1\n", target="lable"), ConfigError, ["Did you mean label?"]),
    "no header": (lambda: text("Gun,1\nPoint,2\n", target="label"), ConfigError, ["'label'", "'0', '1'"]),
    "dates in a column of values": (
        lambda: text("day,a\n2026-01-01,1\n2026-01-02,2\n"),
        DataError, ["line 2", "'day'", "2026-01-01", "time"]),
    "decimal commas": (lambda: text("a;b\n1,5;2,5\n"), DataError, ["'1,5'", "decimals with a point"]),
    "text among numbers": (lambda: text("a,b\n1,2\n3,x\n"), DataError, ["line 3", "column 'b'", "'x'"]),
    "infinity": (lambda: text("a,b\n1,inf\n"), DataError, ["series 0", "step 1", "infinity"]),
    "all missing": (lambda: text("a,b\n1,2\n,\n"), DataError, ["series 1", "missing"]),
    "a row that is too long": (lambda: text("a,b\n1,2\n1,2,3\n"), DataError, ["line 3", "2 fields", "got 3"]),
    "unequal rows with the target last": (
        lambda: text("1.5,2,x\n1,2,3,y\n", target=-1), DataError, ["line 2", "3 fields", "first"]),
    "a row without its target": (
        lambda: text("a,b,y\n1,2,u\n1\n", target="y"), DataError, ["line 3", "target is missing", "field 3"]),
    "a long row that is too short": (
        lambda: text("i,a,b\np,1,2\np,1\n", id="i"), DataError, ["row 1", "2 values"]),
    "an open quote": (lambda: text('a,b\n1,"2\n'), DataError, ["line 2"]),
    "an unknown format": (lambda: read("x.cvs"), ConfigError, ["'cvs'", "Did you mean csv?"]),
    "no format": (lambda: read(io.StringIO("1")), ConfigError, ["stream", "format='csv'"]),
    "a stream of bytes": (lambda: read(io.StringIO("1"), format="npz"), ConfigError, ["stream", "path"]),
    "an option of another format": (lambda: read("x.npy", target="y"), ConfigError, [".npy", "target"]),
    "a file that is not there": (lambda: read("nowhere.csv"), DataError, ["nowhere.csv", "Check the path"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_text_is_refused_in_one_sentence(name: str) -> None:
    call, kind, words = BAD[name]
    with pytest.raises(kind) as error:
        call()
    assert error.value.remedy
    assert "\n" not in str(error.value)
    assert [word for word in words if word not in str(error.value)] == []


def saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind", "words"),
    [
        ("x.csv", bytes(range(256)), DataError, "UTF-8"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16"), DataError, "UTF-8"),
        ("x.npz", b"PK", DataError, "zip"),
        ("x.npy", b"\x93NUMPY", DataError, "npy"),
        ("x.parquet", b"PAR1", DataError, "parquet"),
        ("x.npz", saved(z=X, w=Y), DataError, "must hold an array X; got 'z', 'w'"),
        ("x.npz", saved(X=X, y=Y[:3]), ShapeError, "one value a series, 4; got 3"),
        ("x.npz", saved(X=X, lengths=[5, 6, 1, 1]), DataError, "from 1 to 5"),
        ("x.npz", saved(X=X, lengths=[0, 1, 1, 1]), DataError, "from 1 to 5"),
        ("x.npz", saved(X=Y), ShapeError, "got ndarray of shape"),
        ("x.npz", saved(X=X.astype(object)), DataError, "numbers or booleans, or text; got object"),
    ],
)
def test_bad_files_are_refused_by_name(
    tmp_path: Path, name: str, data: bytes, kind: type[S5Error], words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(kind, match=words):
        read(tmp_path / name)


def test_reading_imports_no_frame_library() -> None:
    code = """if True:
        import io, sys, s5ref.series
        s5ref.series.read(io.StringIO("1.5,2"), format="csv")
        print([name for name in ("pandas", "polars", "pyarrow", "sklearn", "aeon") if name in sys.modules])
    """
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


LONG = "id,symbol,label\na,3,x\na,1,x\nb,1,y\nb,3,y\nb,10,y\n"


def test_a_column_of_integer_tokens(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(LONG)
    table = read(tmp_path / "long.csv", id="id", target="label", tokens=True)
    assert "3 channels, 2 to 3 steps, regular; tokens '1', '3', '10', a channel each; target" in repr(table)
    assert table.series.values.argmax(axis=1).tolist() == [1, 0, 0, 1, 2]
    (tmp_path / "wide.csv").write_text("3,10\n1,3,1\n")
    again = read(tmp_path / "wide.csv", tokens=["1", "3", "10"])
    assert again.series.channels == ("1", "3", "10")
    assert again.series.values.argmax(axis=1).tolist() == [1, 2, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LONG.replace("b,3", "b,2.5"), "series 'b': tokens must be integers; got 2.5"),
        (LONG.replace("b,3", "b,"), "got a missing value"),
        (LONG.replace(",symbol", ",symbol,other").replace(",1,", ",1,1,").replace("3,", "3,3,").replace(
            "10,", "10,1,"), "tokens must be a single column; got 2"),
    ],
)  # fmt: skip
def test_what_is_no_column_of_tokens(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "long.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        read(tmp_path / "long.csv", id="id", target="label", tokens=True)


def test_arrays_have_no_option_tokens(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(ConfigError, match="no option tokens"):
        read(tmp_path / "x.npy", tokens=True)
