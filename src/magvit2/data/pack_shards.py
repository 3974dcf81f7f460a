"""Shards of a pack: uncompressed tar files whose members are pictures and clips, GROUP/LABEL/NAME, read by offsets.

A picture is a member `.jpg` or `.png`. A clip is a member `.mjpg` or `.mpng`: its frames as JPEG or PNG files, one
after another, as FFmpeg plays them. Their lengths in bytes stand in the member's PAX header, so that any frame is one
seek away. An empty group or label is written `_`; what a file's name should not hold is percent-encoded.
"""

import io
import tarfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote, unquote

from magvit2.data.tars import read_tar
from magvit2.errors import InputError

PICTURE_SUFFIXES = (".jpg", ".png")
CLIP_SUFFIXES = (".mjpg", ".mpng")
_FRAME_BYTES = "MAGVIT2.frame_bytes"  # POSIX asks for VENDOR.keyword


class Member(NamedTuple):
    """One picture or clip of a shard: what it is, and where its bytes lie. A picture has no `frame_bytes`."""

    name: str
    group: str
    label: str
    offset: int
    length: int
    frame_bytes: tuple[int, ...]


class Entry(NamedTuple):
    """One picture or clip on its way into a shard; `name` ends in one of the suffixes above."""

    group: str
    label: str
    name: str
    data: bytes
    frame_bytes: tuple[int, ...] = ()


def read_shard(path: Path) -> list[Member]:
    """Return the pictures and clips of a shard in their order. Raises InputError where it is none, cut or damaged."""
    members = read_tar(path, "a shard, an uncompressed tar file")
    return [_member(path, info) for info in members if info.isfile() and _is_ours(info)]


class ShardWriter:
    """A context manager that writes entries to `shard-0000.tar`, `shard-0001.tar`, ... of at most `max_bytes` each.

    The same entries in the same order give the same bytes: no times, no owners.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.paths: list[Path] = []
        self._folder, self._max_bytes = folder, max_bytes
        self._archive: tarfile.TarFile | None = None
        self._closed_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def add(self, entry: Entry) -> int:
        """Append an entry and return what it takes in bytes. Raises InputError where a whole shard cannot hold it."""
        info, cost = _info(entry), entry_bytes(entry)
        if _closed_size(cost) > self._max_bytes:
            raise InputError(
                f"{info.name} takes {cost:,} bytes, more than a shard of {self._max_bytes:,}: allow larger shards, or "
                "fewer frames of a clip"
            )
        if self._archive is not None and _closed_size(self._archive.offset + cost) > self._max_bytes:
            self._close()
        if self._archive is None:
            self.paths.append(self._folder / f"shard-{len(self.paths):04d}.tar")
            self._archive = tarfile.open(self.paths[-1], "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - see _close
        self._archive.addfile(info, io.BytesIO(entry.data))
        return cost

    def num_bytes_with(self, entry: Entry) -> int:
        """Return the size that all shards together would have with one more entry."""
        cost = entry_bytes(entry)
        filled = 0 if self._archive is None else self._archive.offset
        if _closed_size(filled + cost) > self._max_bytes:
            return self._closed_bytes + _closed_size(filled) + _closed_size(cost)
        return self._closed_bytes + _closed_size(filled + cost)

    def _close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None
            self._closed_bytes += self.paths[-1].stat().st_size


def entry_bytes(entry: Entry) -> int:
    """Return what an entry takes in a shard, in bytes: its headers, and its data in whole blocks."""
    headers = _info(entry).tobuf(tarfile.PAX_FORMAT)
    return len(headers) + -(-len(entry.data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _closed_size(filled: int) -> int:
    """Return the size of a finished tar file: two empty blocks behind the members, then up to a whole record."""
    return -(-(filled + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE if filled else 0


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo("/".join(_quoted(part) for part in (entry.group, entry.label, entry.name)))
    info.size = len(entry.data)
    if entry.frame_bytes:
        info.pax_headers = {_FRAME_BYTES: " ".join(map(str, entry.frame_bytes))}
    return info


def _is_ours(info: tarfile.TarInfo) -> bool:
    return info.name.endswith((*PICTURE_SUFFIXES, *CLIP_SUFFIXES))


def _member(path: Path, info: tarfile.TarInfo) -> Member:
    parts = info.name.split("/")
    if len(parts) != 3:
        raise InputError(f"{path}: member {info.name!r}; expected GROUP/LABEL/NAME")
    lengths: tuple[int, ...] = ()
    if info.name.endswith(CLIP_SUFFIXES):
        words = info.pax_headers.get(_FRAME_BYTES, "").split()
        lengths = tuple(int(word) for word in words if word.isdecimal())
        if sum(lengths) != info.size or len(lengths) != len(words) or not lengths:
            raise InputError(f"{path}: the frames of {info.name} do not add up to its {info.size} bytes; pack it again")
    return Member(info.name, _unquoted(parts[0]), _unquoted(parts[1]), info.offset_data, info.size, lengths)


def _quoted(text: str) -> str:
    """Return a word as a file's name: never empty, no slash, no name that means a folder."""
    if text in ("", "_"):
        return "%5F" if text else "_"
    name = quote(text, safe=" ,()+'")
    return name if name.strip(".") else name.replace(".", "%2E")


def _unquoted(name: str) -> str:
    return "" if name == "_" else unquote(name)
