"""State dicts out of .pt files, without torch; nothing in them is ever called."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.interop import pt


class Evil:
    """Unpickles by calling something."""

    def __reduce__(self) -> Any:
        return (Path.write_text, (Path("called"), "!"))


def archive(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
    return path


def load(path: Path) -> dict[str, Any]:
    return pt.loads(path.read_bytes(), path.name)


def test_nothing_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(S5Error, match="holds an object of"):
        load(archive(tmp_path / "a.pt", pickle.dumps({"x": Evil()})))
    assert not Path("called").exists()


@pytest.mark.parametrize("content", [{"x": 1}, [1], {"x": [1.0]}], ids=str)
def test_what_is_no_state_dict(tmp_path: Path, content: Any) -> None:
    with pytest.raises(S5Error, match="names and tensors only"):
        load(archive(tmp_path / "a.pt", pickle.dumps(content)))


def test_what_is_no_torch_file(tmp_path: Path) -> None:
    for data in (b"", b"\x80\x02l\x8a", b"no zip at all"):
        (tmp_path / "a.pt").write_bytes(data)
        with pytest.raises(S5Error, match="zip format"):
            load(tmp_path / "a.pt")
    archive(tmp_path / "b.pt", b"\x80\x02")
    with pytest.raises(S5Error):
        load(tmp_path / "b.pt")


@pytest.mark.torch
def test_every_dtype_and_layout_of_torch(tmp_path: Path) -> None:
    import torch

    x = torch.randn(4, 6, dtype=torch.complex64)
    state = {
        "f4": torch.randn(3, 2), "f8": torch.randn(3, dtype=torch.float64), "c8": x,
        "c16": x.to(torch.complex128),
        "T": x.T, "strided": x[1:, ::2], "conj": x.conj(), "H": x.conj().T, "i8": torch.arange(4),
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "half": torch.randn(3).half(),
        "bool": torch.tensor([True, False]), "parameter": torch.nn.Parameter(torch.randn(2)),
        "expanded": torch.randn(1, 3).expand(4, 3), "u1": torch.tensor([1, 255], dtype=torch.uint8),
    }  # fmt: skip
    torch.save(state, tmp_path / "a.pt")
    got = load(tmp_path / "a.pt")
    assert list(got) == list(state)
    for name, value in state.items():
        want = value.detach().resolve_conj().numpy()
        assert got[name].dtype == want.dtype, name
        np.testing.assert_array_equal(got[name], want, err_msg=name)
    torch.save({"b": torch.randn(3).bfloat16()}, tmp_path / "b.pt")
    assert load(tmp_path / "b.pt")["b"].dtype == np.float32


@pytest.mark.torch
def test_checkpoints_and_what_torch_saves_besides(tmp_path: Path) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "a.pt")
    assert list(load(tmp_path / "a.pt")) == list(model.state_dict())
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(S5Error, match=r"holds an object of torch\.nn"):
        load(tmp_path / "model.pt")
    torch.save(model.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(S5Error, match="zip format"):
        load(tmp_path / "old.pt")


@pytest.mark.torch
def test_a_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save({"x": torch.arange(100.0)}, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(tmp_path / "a.pt", "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[:40] if "/data/0" in name else whole.read(name))
    with pytest.raises(S5Error, match="10 numbers of 100"):
        load(tmp_path / "a.pt")
