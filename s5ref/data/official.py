"""The official archives: where they are, and their published checksums where there are any.

The addresses were not tried from here: a server on the same machine stands for them in the tests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """An official archive.

    name      of the file
    urls      of the file, tried in order
    checksum  "sha256:…" or "md5:…" as published; "": none is known
    size      bytes; 0: not known
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int

    @property
    def promise(self) -> str:
        """What is checked of a download."""
        kind, _, want = self.checksum.partition(":")
        names = {"sha256": "SHA-256", "md5": "MD5"}
        return f"{names[kind]} must be {want}" if want else "not verified: no checksum is published"

    def matches(self, path: Path) -> bool:
        """Whether the file has the checksum; False where none is known."""
        kind, _, want = self.checksum.partition(":")
        if not want:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, kind).hexdigest() == want


IMDB = Archive(
    "aclImdb_v1.tar.gz",
    ("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
    "md5:7c2ac02c03563afcf9b574c7e56c153a", 84_125_825,
)  # fmt: skip
CIFAR10 = Archive(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "md5:c32a1d4ab5d03f1284b67883e8d87530", 170_052_171,
)  # fmt: skip
CIFAR10_PYTHON = Archive(
    "cifar-10-python.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    "md5:c58f30108f718f92721af3b95e74349a", 170_498_071,
)  # fmt: skip
SPEECH_COMMANDS = Archive(
    "speech_commands_v0.02.tar.gz",
    (
        "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    ),
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58", 2_428_923_189,
)  # fmt: skip
LRA = Archive("lra_release.gz", ("https://storage.googleapis.com/long-range-arena/lra_release.gz",), "", 0)
ALL = {archive.name: archive for archive in (IMDB, CIFAR10, CIFAR10_PYTHON, SPEECH_COMMANDS, LRA)}


def is_official(path: Path) -> bool:
    """Whether a path is an official archive, by name and checksum."""
    return path.name in ALL and path.is_file() and ALL[path.name].matches(path)
