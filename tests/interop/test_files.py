"""Files: msgpack as Flax writes it, npz, safetensors; every dtype and layout, and damaged bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import safetensors.numpy
from memory import peak

from s5ref import Model, ModelConfig, S5Error
from s5ref.interop import flax, weights
from s5ref.interop import safetensors as tensors

DTYPES = ("float32", "float64", "complex64", "complex128", "int32", "int64", "uint8", "bool", "float16")


def arrays() -> dict[str, Any]:
    """All dtypes, a scalar, an empty one, and three layouts."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {f"a/{dtype}": rng.normal(size=(3, 2)).astype(dtype) for dtype in DTYPES}
    A = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    found |= {
        "b/scalar": np.asarray(3.5),
        "b/empty": np.zeros((0, 2), "f4"),
        "b/F": A.conj().T,
        "b/strided": A[:, ::2],
    }
    return found | {"b/big_endian": np.arange(4, dtype=">f4")}


def same(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert sorted(got) == sorted(want)
    for name, x in want.items():
        assert got[name].dtype == x.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(got[name], x, err_msg=name)


def test_msgpack_there_and_back() -> None:
    same(flax.msgpack_loads(flax.msgpack_dumps(arrays())), arrays())
    same(flax.msgpack_loads(flax.msgpack_dumps(arrays(), chunk=8)), arrays())


def test_npz_there_and_back_in_the_same_bytes() -> None:
    data = flax.npz_dumps(arrays())
    assert data == flax.npz_dumps(arrays())
    got = flax.npz_loads(data)
    np.testing.assert_array_equal(got["b/F"], arrays()["b/F"])


def test_msgpack_scalars_lists_and_bfloat16() -> None:
    words = np.array([0x3F80, 0xC040], "<u2")  # 1, −3
    body = msgpack.packb(((2,), "bfloat16", words.tobytes()), use_bin_type=True)
    scalar = msgpack.packb(((), "float32", np.float32(2).tobytes()), use_bin_type=True)
    tree = {
        "x": msgpack.ExtType(1, body), "s": msgpack.ExtType(3, scalar), "n": None, "l": [1, 2.5], "i": 7,
        "z": msgpack.ExtType(2, msgpack.packb((1.0, -2.0))),
    }  # fmt: skip
    got = flax.msgpack_loads(msgpack.packb(tree))
    assert got["x"].dtype == np.float32
    assert got["x"].tolist() == [1, -3]
    assert [got[name].item() for name in ("s", "l/0", "l/1", "i", "z")] == [2, 1, 2.5, 7, 1 - 2j]
    assert "n" not in got


@pytest.mark.parametrize(
    "tree",
    [
        b"", b"\xc1", b"not msgpack", msgpack.packb([1]), msgpack.packb({"a": "text"}),
        msgpack.packb({"a": {"__msgpack_chunked_array__": True}}), b"\x81\xa1a" * 990 + b"\x01",
        msgpack.packb({"a": msgpack.ExtType(9, b"")}), msgpack.packb({"a": msgpack.ExtType(1, b"\x00")}),
        msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb(((3,), "float32", bytes(8))))}),
        msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb(((1,), "object", bytes(8))))}),
        msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb(((1,), "float8_e4m3fn", bytes(1))))}),
    ],
)  # fmt: skip
def test_damaged_msgpack_is_refused(tree: bytes) -> None:
    with pytest.raises(S5Error, match="here"):
        flax.msgpack_loads(tree, "here")


def test_every_truncation_of_msgpack_is_refused() -> None:
    data = flax.msgpack_dumps({"a/b": np.ones((2, 3)), "c": np.zeros(1, "f4")})
    for end in range(len(data)):
        with pytest.raises(S5Error):
            flax.msgpack_loads(data[:end])


def test_safetensors_keep_every_layout() -> None:
    want = {name: x for name, x in arrays().items() if x.dtype != np.complex128}
    want["V^H"] = arrays()["b/F"].astype("c8").T.conj().T
    assert not want["V^H"].flags.c_contiguous
    same(tensors.loads(tensors.dumps(want)), want)


def test_safetensors_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(S5Error, match="complex128"):
        tensors.dumps({"z": np.ones(2, "c16")})


def test_a_file_that_is_not_what_was_given_never_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defect of safetensors 0.8.0: an F-ordered array written in the order in which it lies."""
    save = safetensors.numpy.save

    def permuted(whole: dict[str, Any], metadata: Any = None) -> bytes:
        swapped = {name: np.ascontiguousarray(x.T).reshape(x.shape) for name, x in whole.items()}
        return bytes(save(swapped, metadata=metadata))

    monkeypatch.setattr(safetensors.numpy, "save", permuted)
    with pytest.raises(S5Error, match="did not keep x"):
        tensors.dumps({"x": np.arange(6.0).reshape(2, 3)})
    params, statistics = Model(ModelConfig(n_layers=1, d_model=6, ssm_size=4)).init()
    with pytest.raises(S5Error, match="did not keep"):
        weights.write(tmp_path / "a.safetensors", weights.Weights(params, statistics, "run", False))
    assert not (tmp_path / "a.safetensors").exists()


def test_damaged_safetensors_and_npz() -> None:
    data = tensors.dumps({"x": np.ones((2, 3))})
    for end in (0, 5, len(data) - 1):
        with pytest.raises(S5Error, match="here"):
            tensors.loads(data[:end], "here")
    with pytest.raises(S5Error, match="here"):
        flax.npz_loads(b"no zip", "here")
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    whole = len(header).to_bytes(8, "little") + header + b"\x80\x3f"
    assert tensors.loads(whole)["x"].tolist() == [1.0]


@pytest.mark.jax
def test_bytes_are_those_of_flax() -> None:
    from flax import serialization

    native = {name: x for name, x in arrays().items() if x.dtype.isnative}
    theirs = serialization.msgpack_serialize(flax.nested(native))
    assert flax.msgpack_dumps(native) == theirs
    same(flax.msgpack_loads(theirs), native)
    back = serialization.msgpack_restore(flax.msgpack_dumps(native, chunk=8))
    np.testing.assert_array_equal(back["b"]["F"], native["b/F"])


@pytest.mark.jax
def test_bfloat16_as_flax_writes_it() -> None:
    import jax.numpy as jnp
    from flax import serialization

    x = jnp.asarray([1.5, -2.0, 3e38], jnp.bfloat16)
    got = flax.msgpack_loads(serialization.to_bytes({"x": x}))["x"]
    np.testing.assert_array_equal(got, np.asarray(x.astype(jnp.float32)))


def test_weights_in_an_npz_are_arrays_and_no_larger_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("params/encoder/kernel.npy", b"no array")
    with pytest.raises(S5Error, match=r"a\.npz: params/encoder/kernel\.npy is not readable as npy"):
        weights.read(path)
    np.savez_compressed(path, allow_pickle=False, **{"params/encoder/kernel": np.zeros((2**11, 2**12))})

    def refused() -> None:
        with pytest.raises(S5Error, match="its members must take at most"):
            weights.read(path)

    assert peak(refused) < 2**21


@pytest.mark.parametrize(
    "tree",
    [
        {"a": msgpack.ExtType(1, msgpack.packb(((b"x", 2**26), "float32", bytes(4))))},  # b"x" times 2**26
        {"x" * 2**14: {str(i): 1 for i in range(2**12)}},  # every leaf's path begins with the long name
    ],
    ids=["shape", "path"],
)
def test_msgpack_takes_no_more_memory_than_the_file_holds(tree: Any) -> None:
    data = msgpack.packb(tree)

    def refused() -> None:
        with pytest.raises(S5Error, match="here"):
            flax.msgpack_loads(data, "here")

    assert peak(refused) < 2**22


def test_msgpack_makes_no_room_for_lists_that_only_announce_themselves() -> None:
    n = 2**16
    data = b"\x81\xa1a" + (b"\xdd" + n.to_bytes(4, "big")) * 500 + bytes(n)

    def refused() -> None:
        with pytest.raises(S5Error, match="here"):
            flax.msgpack_loads(data, "here")

    assert peak(refused) < 2**22
