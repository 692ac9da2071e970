"""Downloads: official files from their addresses, held against published checksums where there are any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s5ref.data import images
from s5ref.data.making import Making
from s5ref.data.official import Archive
from s5ref.data.tasks import Task
from s5ref.errors import DataError, optional

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_SHARE = 0.05  # of a file, between two lines of progress


def archive_maker(archive: Archive) -> Callable[[Task, Path, Making], None]:
    """The `Reader.make` that downloads an archive."""

    def make(task: Task, folder: Path, making: Making) -> None:
        fetch([archive], folder, making.report)

    return make


def mnist_maker(task: Task, folder: Path, making: Making) -> None:
    """The `Reader.make` of MNIST."""
    fetch_mnist(folder, report=making.report)


def fetch_mnist(
    target_dir: str | Path,
    base_urls: Sequence[str] = MNIST_MIRRORS,
    report: Callable[[str], None] | None = None,
    timeout: float = 30.0,
) -> list[Path]:
    """Download the four MNIST .gz files into ``target_dir``. Right ones are kept; mirrors are tried in order.

    Raises
    ------
    DataError
        If no mirror has the official file.
    MissingDependency
        Without pooch.
    """
    files = []
    for file in images.MNIST:
        name = f"{file.name}.gz"
        urls = tuple(f"{base.rstrip('/')}/{name}" for base in base_urls)
        files.append(Archive(name, urls, f"sha256:{file.gz}", 0))
    return fetch(files, Path(target_dir), report, timeout)


def fetch(
    files: Sequence[Archive],
    folder: Path,
    report: Callable[[str], None] | None = None,
    timeout: float = 30.0,
) -> list[Path]:
    """Download files into ``folder``. Right ones are kept; the addresses of each are tried in order.

    Raises
    ------
    DataError
        If no address has the official file. A failure leaves nothing.
    MissingDependency
        Without pooch.
    """
    with _pooch(folder) as pooch:
        return [_fetch(pooch, folder, file, report or (lambda line: None), timeout) for file in files]


@contextmanager
def _pooch(folder: Path) -> Iterator[Any]:
    """pooch, silent; a folder that it makes and leaves empty goes."""
    pooch = optional("pooch", "data")
    logger = pooch.get_logger()
    level, existed = logger.level, folder.is_dir()
    logger.setLevel(logging.ERROR)
    try:
        yield pooch
    finally:
        logger.setLevel(level)
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _fetch(pooch: Any, folder: Path, file: Archive, report: Callable[[str], None], timeout: float) -> Path:
    """The file from the first address that has it."""
    failures = []
    for url in file.urls:
        size = f" ({file.size / 1e6:,.0f} MB)" if file.size else ""
        report(f"{file.name}{size} from {url}, {file.promise}")
        downloader = pooch.HTTPDownloader(timeout=timeout, progressbar=_Progress(file.name, report))
        try:
            known = file.checksum or None
            return Path(pooch.retrieve(url, known, fname=file.name, path=folder, downloader=downloader))
        except (
            ValueError,
            OSError,
        ) as error:  # ValueError: the hash differs; requests' errors, a full disk, …
            differs = isinstance(error, ValueError) and "hash" in str(error).lower()
            why = f"not the official file ({file.promise})" if differs else error
            failures.append(f"{url}: {type(error).__name__}: {why}")
    raise DataError(
        f"{file.name}: no address gave the official file. {'; '.join(failures)}.",
        f"Try again, or place the file yourself as {folder / file.name} (for example from {file.urls[0]}).",
    )


class _Progress:
    """What pooch takes for a progress bar: a line for each twentieth of a file. ``total``: its bytes."""

    def __init__(self, name: str, report: Callable[[str], None]) -> None:
        self.name, self.report, self.total = name, report, 0
        self.done, self.said = 0, 0.0

    def update(self, size: int) -> None:
        """``size`` more bytes are here."""
        self.done += size
        share = self.done / self.total if self.total else 0.0
        if self.said + _SHARE <= share < 1:
            self.said = share
            self.report(f"{self.name}: {share:.0%} of {self.total / 1e6:,.1f} MB")

    def reset(self) -> None:
        """Nothing is here."""
        self.done = 0

    def close(self) -> None:
        """The file is here."""
        self.report(f"{self.name}: 100% of {self.total / 1e6:,.1f} MB")
