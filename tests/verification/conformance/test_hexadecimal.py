"""Numbers as text: every array comes back bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.verification.conformance.hexadecimal import decoded, encoded

REALS = np.array([[1 / 3, -0.0, np.inf], [5e-324, -1e300, 2.0**-30]])
SINGLE = np.array([0.1, -0.0, 1e-45], np.float32)


@pytest.mark.parametrize(
    "x",
    [
        REALS,
        SINGLE,
        np.stack([REALS, REALS[::-1]], axis=-1).view(np.complex128)[..., 0],
        np.stack([SINGLE, SINGLE[::-1]], axis=-1).view(np.complex64)[..., 0],
        np.arange(-2, 4).reshape(3, 2),
        np.array([True, False]),
        np.zeros((0, 3)),
        np.asarray(0.1),
    ],
    ids=lambda x: f"{x.dtype}{list(x.shape)}",
)
def test_decoded_inverts_encoded(x: Array) -> None:
    back = decoded(x.dtype.name, x.shape, encoded(x))
    again = decoded(x.dtype.name, x.shape, list(map(str, encoded(x))))
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    assert back.tobytes() == again.tobytes() == x.tobytes()


def test_another_number_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"complex64 \(2,\) needs 4 numbers, got 3"):
        decoded("complex64", (2,), ["0x1p0"] * 3)
