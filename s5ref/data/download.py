"""Downloads: official files from their mirrors, each accepted only with its official SHA-256."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from s5ref.data import images
from s5ref.errors import DataError, optional

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


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
    pooch = optional("pooch", "data")
    logger, folder = pooch.get_logger(), Path(target_dir)
    level, existed = logger.level, folder.is_dir()
    logger.setLevel(logging.ERROR)  # progress goes to ``report``
    try:
        retrieve = partial(pooch.retrieve, path=folder, downloader=pooch.HTTPDownloader(timeout=timeout))
        return [_fetch(retrieve, folder, file, base_urls, report) for file in images.MNIST]
    finally:
        logger.setLevel(level)
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _fetch(
    retrieve: Callable[..., str], folder: Path, file: images.Official, base_urls: Sequence[str],
    report: Callable[[str], None] | None,
) -> Path:  # fmt: skip
    """The file from the first mirror that has it. A failure leaves nothing."""
    name, failures = f"{file.name}.gz", []
    for base in base_urls:
        url = base.rstrip("/") + "/" + name
        if report is not None:
            report(f"{name} from {base}")
        try:
            return Path(retrieve(url, f"sha256:{file.gz}", fname=name))
        except (
            ValueError,
            OSError,
        ) as error:  # ValueError: the hash differs; requests' errors, a full disk, …
            differs = isinstance(error, ValueError) and "hash" in str(error).lower()
            why = f"not the official file (SHA-256 must be {file.gz})" if differs else error
            failures.append(f"{url}: {type(error).__name__}: {why}")
    raise DataError(
        f"{name}: no mirror gave the official file. {'; '.join(failures)}.",
        f"Try again, or place the file yourself as {folder / name} (for example from {MNIST_MIRRORS[0]}).",
    )
