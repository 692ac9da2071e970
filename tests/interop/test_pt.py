"""State dicts out of .pt files, without torch; nothing in them is ever called."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory import peak

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


def tensor(stride: int, size: int) -> bytes:
    """The pickle of {"x": …}: ``size`` numbers of a storage of one, ``stride`` apart."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00"
        + b"J%b\x85J%b\x85\x89N" % (size.to_bytes(4, "little"), stride.to_bytes(4, "little"))
        + b"tRs."
    )


def with_storage(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(archive(path, pickled), "a") as file:
        file.writestr("archive/data/0", bytes(4))
    return path


def test_tensors_take_no_more_than_the_file_can_hold(tmp_path: Path) -> None:
    assert load(with_storage(tmp_path / "a.pt", tensor(0, 5)))["x"].tolist() == [0.0] * 5
    bomb = with_storage(tmp_path / "b.pt", tensor(0, 2**26))

    def refused() -> None:
        with pytest.raises(S5Error, match=r"b\.pt: its tensors must take at most 64 times"):
            load(bomb)

    assert peak(refused) < 2**20
    with pytest.raises(S5Error, match="does not fit its storage of 1 numbers"):
        load(with_storage(tmp_path / "c.pt", tensor(1, 5)))


def test_a_large_number_in_the_memo_takes_no_memory(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.pt", b"\x80\x02}r\x00\x00\x00\x01.")  # LONG_BINPUT 2**24
    assert load(bomb) == {}
    assert peak(lambda: load(bomb)) < 2**20


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (TENSOR + b"}X\x0c\x00\x00\x00__defaults__K\x01\x85sb.", "BUILD must meet a OrderedDict; got a Name"),
        (b"ccollections\nOrderedDict\n}b.", "opcode BUILD must meet"),
        (b"ccollections\nOrderedDict\n}\x81.", "no use for the opcode NEWOBJ"),
        (b"(ios\nsystem\n.", "no use for the opcode INST"),
        (b"(o.", "no use for the opcode OBJ"),
        (b"\x82\x01.", "no use for the opcode EXT1"),
        (b"P0\n.", "no use for the opcode PERSID"),
        (b"cos\nsystem\n)R.", r"holds an object of os\.system"),
        (TENSOR + b")R.", r"opcode REDUCE calls torch\._utils\._rebuild_tensor_v2 with other arguments"),
        (b"ctorch\nFloatStorage\nK\x01\x85R.", r"opcode REDUCE calls torch\.FloatStorage"),
        (b"ccollections\nOrderedDict\n]\x85R.", "opcode REDUCE calls collections"),
        (b"}K\x01K\x02\x86K\x03s.", "keys must be names or numbers; got a tuple"),
        (b"K\x01Q.", "refers to something else than a storage"),
        (b"\x86.", "takes more than it has put"),
        (b"s.", "takes more than it has put"),
        (b"K\x01K\x02K\x03s.", "opcode SETITEM must meet a dict; got a int"),
        (b"K\x01K\x02a.", "opcode APPEND must meet a list; got a int"),
        (b"h\x05.", "is not a state dict"),
        (b"t.", "is not a state dict"),
    ],
)  # fmt: skip
def test_the_machine_refuses_by_opcode_and_changes_nothing(
    tmp_path: Path, pickled: bytes, message: str
) -> None:
    before = {name: dict(vars(value)) for name, value in vars(pt).items() if callable(value)}
    defaults = pt.loads.__defaults__
    with pytest.raises(S5Error, match=message):
        load(archive(tmp_path / "a.pt", b"\x80\x02" + pickled))
    assert {name: dict(vars(value)) for name, value in vars(pt).items() if callable(value)} == before
    assert pt.loads.__defaults__ == defaults


def test_a_name_is_never_used_as_a_function_of_ours(tmp_path: Path) -> None:
    """BUILD with (None, state) sets attributes of what stands below it: here, of what rebuilds tensors."""
    state = b"}X\x0c\x00\x00\x00__defaults__K\x01\x85s"
    poison = archive(tmp_path / "poison.pt", b"\x80\x02" + TENSOR + b"N" + state + b"\x86b0}.")
    with pytest.raises(S5Error, match="opcode BUILD"):
        load(poison)
    assert load(with_storage(tmp_path / "a.pt", tensor(1, 1)))["x"].tolist() == [0.0]


@pytest.mark.torch
def test_what_people_save_beside_the_weights(tmp_path: Path) -> None:
    import torch

    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    whole = {"epoch": 3, "loss": 0.25, "lr": [0.1], "best": None, "optimizer": optimizer.state_dict(),
             "model_state_dict": model.state_dict()}  # fmt: skip
    for protocol in (2, 4):
        torch.save(whole, tmp_path / "a.pt", pickle_protocol=protocol)
        got = load(tmp_path / "a.pt")
        np.testing.assert_array_equal(got["weight"], model.weight.detach().numpy())
    torch.save({"a": model.weight, "b": model.weight}, tmp_path / "tied.pt")
    np.testing.assert_array_equal(load(tmp_path / "tied.pt")["b"], model.weight.detach().numpy())
