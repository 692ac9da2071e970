"""What we wrote ourselves to read foreign bytes, fuzzed by atheris (`pip install atheris`).

    python tests/interop/fuzz.py -max_total_time=600 CORPUS

The pickle of a .pt for its machine of opcodes, or a msgpack, is read or refused as S5Error. Anything else
ends the run and names the input.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import zipfile
from typing import Any

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(
    include=["s5ref.interop.pt", "s5ref.interop.flax", "s5ref.npz", "pickletools"]
):
    from s5ref.errors import S5Error
    from s5ref.interop import flax, pt


def read(data: bytes) -> None:
    """The first byte says which format the rest is in."""
    with contextlib.suppress(S5Error):
        if data[:1] == b"\1":
            pt.loads(torch_zip(data[1:]))
        else:
            flax.msgpack_loads(data[1:])


def torch_zip(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", bytes(16))
    return buffer.getvalue()


if __name__ == "__main__":
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
