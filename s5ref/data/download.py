"""Downloads: official files from their mirrors, each accepted only with its official SHA-256."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
    folder = Path(target_dir)
    return [fetch(folder, f"{file.name}.gz", file.gz, base_urls, report, timeout) for file in images.MNIST]


def fetch(
    folder: Path,
    name: str,
    sha256: str,
    base_urls: Sequence[str],
    report: Callable[[str], None] | None = None,
    timeout: float = 30.0,
) -> Path:
    """``folder/name`` with the given SHA-256, from the first mirror that has it. A failure leaves nothing.

    Raises
    ------
    DataError
        If no mirror has it.
    MissingDependency
        Without pooch.
    """
    pooch = optional("pooch", "data")
    logger = pooch.get_logger()
    level = logger.level
    existed = folder.is_dir()
    failures = []
    logger.setLevel(logging.ERROR)  # progress goes to ``report``
    try:
        for base in base_urls:
            url = base.rstrip("/") + "/" + name
            if report is not None:
                report(f"{name} from {base}")
            try:
                return Path(
                    pooch.retrieve(
                        url, f"sha256:{sha256}", fname=name, path=folder,
                        downloader=pooch.HTTPDownloader(timeout=timeout),
                    )
                )  # fmt: skip
            except ValueError as error:  # pooch: the hash differs; the temporary file is gone
                failures.append(f"{url}: {_wrong_hash(error, sha256)}")
            except OSError as error:  # requests' errors, a full disk, a read-only folder
                failures.append(f"{url}: {type(error).__name__}: {error}")
    finally:
        logger.setLevel(level)
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    raise DataError(
        f"{name}: no mirror gave the official file. {'; '.join(failures)}.",
        f"Try again, or place the file yourself as {folder / name} (for example from {MNIST_MIRRORS[0]}).",
    )


def _wrong_hash(error: ValueError, sha256: str) -> str:
    if "hash" in str(error).lower():
        return f"{type(error).__name__}: not the official file (SHA-256 must be {sha256})"
    return f"{type(error).__name__}: {error}"
