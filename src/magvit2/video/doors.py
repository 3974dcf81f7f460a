"""The doors to PyAV (video) and Pillow (images): loaded on first use, silenced, their errors made ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from magvit2.errors import DISK_ERRORS, Magvit2Error, MediaError, MissingDependencyError, errors_as_output
from magvit2.video.stretch import Medium

if TYPE_CHECKING:
    from av import VideoFrame as VideoFrame
    from av.container import InputContainer as InputContainer
    from av.container import OutputContainer as OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream as VideoStream
    from PIL.Image import Image

    AvPacket = Packet[VideoStream]
    PillowImage = Image
else:  # names for annotations that are looked at while running
    VideoFrame = InputContainer = OutputContainer = AvPacket = VideoStream = PillowImage = Any


@cache
def load_av() -> ModuleType:
    """Return the `av` module, silenced (FFmpeg's log never reaches standard error). Raises MissingDependencyError."""
    try:
        import av
        import av.logging
        import av.video.reformatter
    except ImportError:
        raise MissingDependencyError("reading video needs PyAV: pip install 'magvit2[video]'") from None
    av.logging.set_level(None)
    return av


@cache
def load_pillow() -> ModuleType:
    """Return the `PIL` package with `Image` and `ImageOps` loaded. Raises MissingDependencyError."""
    try:
        import PIL
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise MissingDependencyError("reading images needs Pillow: pip install 'magvit2[video]'") from None
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without one, its errors reach standard error as well
    return PIL


@contextmanager
def errors_as_media(name: str | Medium, problem: str) -> Iterator[None]:
    """Turn whatever a codec library raises inside the block into one line: `MediaError("NAME: PROBLEM (cause)")`.

    The libraries' plug-ins raise nearly every built-in exception on damaged input (struct, zlib, index, syntax errors),
    so all are caught; our own errors and a lack of memory pass through unchanged.
    """
    try:
        yield
    except (Magvit2Error, MemoryError):
        raise
    except Exception as error:
        raise MediaError(f"{name}: {problem} ({_cause(error)})") from None


@contextmanager
def errors_in_writing(path: Path) -> Iterator[None]:
    """Turn a failure to write in the block into one line about `path`: the disk's into OutputError, others as above.

    Encoders too refuse what they cannot do with the system's errors.
    """
    with errors_as_media(path, "cannot be written"):
        try:
            yield
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            with errors_as_output(path):
                raise


def _cause(error: Exception) -> str:
    """Return a library's error on one line, without file names (ours stands in front of it)."""
    text = str(getattr(error, "strerror", None) or error).split(" '/")[0].split(" <_io.")[0]
    return " ".join(text.split())[:120] or type(error).__name__
