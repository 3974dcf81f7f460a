"""A disk that is full, for anybody and without one: files may not grow beyond a limit, which looks the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FULL = "cannot be written (File too large); free some space, or allow larger files"


@contextmanager
def no_file_above(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: to write more is an error, the first part is written."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def leftovers(folder: Path) -> list[str]:
    """Whatever lies below a folder under a name for unfinished or half removed things."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))
