"""Files and folders that appear whole or not at all: write to a hidden neighbour, rename when done."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magvit2.errors import MediaError


def partial_path(path: Path) -> Path:
    """Return a fresh hidden name beside `path` to write to; the folder is made. Raises MediaError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: its folder cannot be made ({error.strerror}); choose another place") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise MediaError(f"{path}: permission denied to write in {path.parent}; choose another place")
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def publish(partial: Path, path: Path) -> None:
    """Give a finished file or folder its name; a file of that name is replaced, as is an empty folder."""
    try:
        partial.replace(path)
    except OSError as error:
        discard(partial)
        raise MediaError(f"{path}: cannot be put in place ({error.strerror}); choose another name") from None


def discard(partial: Path) -> None:
    """Remove an unfinished file or folder, if it is there."""
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


@contextmanager
def replaced_on_success(path: Path) -> Iterator[Path]:
    """Yield a hidden name to write to; afterwards it becomes `path`, or is removed where the block raised."""
    partial = partial_path(path)
    try:
        yield partial
    except BaseException:
        discard(partial)
        raise
    publish(partial, path)
