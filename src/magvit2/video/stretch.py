"""Media inside larger files: a stretch of bytes, such as a member of a tar file, opened as if it were a file."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast


@dataclass(frozen=True)
class Stretch:
    """A medium of `length` bytes that begins at byte `offset` of the file `path`.

    `name` is what messages call it, and its ending tells a video from an image.
    """

    path: Path
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return a file that holds these bytes alone, for reading. Only what is read comes into memory."""
        assert mode == "rb"
        return cast(BinaryIO, io.BufferedReader(_StretchFile(self)))


Medium = Path | Stretch


class _StretchFile(io.RawIOBase):
    """The bytes of a stretch as a file; where the file around it is cut, it ends there."""

    mode = "rb"

    def __init__(self, stretch: Stretch) -> None:
        self.name = stretch.name
        self._file = stretch.path.open("rb", buffering=0)
        self._offset, self._length, self._position = stretch.offset, stretch.length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset}: expected 0 or more")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._offset + self._position)
        count = self._file.readinto(memoryview(buffer)[: max(0, self._length - self._position)]) or 0
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
