"""The error tree: every failure that magvit2 raises on purpose descends from `Magvit2Error`.

A message is one line that says what was given, what was expected and what to do. The command line prints that line and
exits with 1; library users catch `Magvit2Error` or one of its children.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "free some space, or allow larger files",
    errno.EROFS: "make it writable, or choose another place",
}
DISK_ERRORS = frozenset((*_ADVICE, errno.EIO))
"""Errors of the disk itself: it is full, read-only or broken."""


class Magvit2Error(Exception):
    """Root of every error that magvit2 raises."""


class ConfigError(Magvit2Error, ValueError):
    """A configuration, preset or recipe is not valid (unknown key, impossible value)."""


class InputError(Magvit2Error, ValueError):
    """A caller's tensor or argument has the wrong shape, type or range."""


class MediaError(Magvit2Error, OSError):
    """A video, an image or a folder of frames cannot be read or written."""


class OutputError(Magvit2Error, OSError):
    """A file or folder cannot be written: the disk is full or read-only, or the place is closed to us."""


class FormatError(Magvit2Error, ValueError):
    """A model folder, checkpoint or token file is damaged, foreign or of an unknown version."""


class ModelNotFoundError(Magvit2Error, LookupError):
    """A model's name, folder or hub id leads to no model."""


class MissingDependencyError(Magvit2Error, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class TrainingError(Magvit2Error, RuntimeError):
    """A training run cannot start, go on or be resumed."""


@contextmanager
def errors_as_output(path: os.PathLike[str] | str) -> Iterator[None]:
    """Turn what the system says against writing in the block into one line: `OutputError("PATH: cannot be written")`.

    Our own errors pass through, but for an OutputError about another file, which becomes one about `path`.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, Magvit2Error) and not isinstance(error, OutputError):
            raise
        number = error.errno or 0
        reason = os.strerror(number) if number else str(error)
        found = OutputError(f"{path}: cannot be written ({reason}); {_ADVICE.get(number, 'choose another place')}")
        found.errno = number
        raise found from error
