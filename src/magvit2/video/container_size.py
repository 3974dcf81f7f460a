"""Is a file as long as it says? Containers that state their own length tell a cut copy from a whole one."""

import os
from typing import BinaryIO

from magvit2.video.stretch import Medium

_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)  # written by programs that cannot go back
_GIF_TRAILER, _GIF_IMAGE, _GIF_EXTENSION = b"\x3b", b"\x2c", b"\x21"


def is_cut_short(path: Medium) -> bool:
    """Return True when an MP4, Matroska/WebM, RIFF (AVI, WebP) or GIF file ends before its own structure does.

    Raw streams and MPEG-TS say nothing of their length: never True.
    """
    with path.open("rb") as file:
        size = _size(file)
        head = file.read(12)
        if head[:4] == b"RIFF":
            length = int.from_bytes(head[4:8], "little")
            return length not in _UNKNOWN_RIFF_SIZES and size < 8 + length
        if head[:4] == _EBML_HEADER:
            return size < (_matroska_end(file) or 0)
        if head[:4] == b"GIF8":
            return size < _gif_end(file, size)
        return head[4:8] == b"ftyp" and size < _mp4_boxes(file, size)[1]


def lacks_mp4_index(path: Medium) -> bool:
    """Return True for an MP4 without its index (moov): a recording that was not finished, or a copy cut before it."""
    with path.open("rb") as file:
        size = _size(file)
        head = file.read(8)
        return head[4:8] == b"ftyp" and b"moov" not in _mp4_boxes(file, size)[0]


def _size(file: BinaryIO) -> int:
    """Return the length of a file that was just opened, in bytes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _mp4_boxes(file: BinaryIO, size: int) -> tuple[set[bytes], int]:
    """Return the types of the top-level boxes and where the last ends (ISO 14496-12 4.2: size, type, 64-bit size)."""
    types, position = set(), 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        types.add(header[4:8])
        if length < 8:  # 0: the box goes on to the end of the file; less than a header: not boxes any more
            return types, size
        position += length
    return types, position


def _gif_end(file: BinaryIO, size: int) -> int:
    """Return where a GIF's last block ends, or would end (GIF89a, 15-27); a missing trailer does no harm."""
    file.seek(10)
    _skip(file, 2 + _colour_table_bytes(file.read(1)))
    while (introducer := file.read(1)) not in (b"", _GIF_TRAILER):
        if introducer == _GIF_IMAGE:
            _skip(file, 8)
            _skip(file, _colour_table_bytes(file.read(1)) + 1)
        elif introducer == _GIF_EXTENSION:
            _skip(file, 1)
        else:  # not blocks any more; let the decoder judge
            break
        while length := int.from_bytes(file.read(1) or b"\xff"):
            _skip(file, length)
            if file.tell() > size:
                break
    return file.tell()


def _colour_table_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _skip(file: BinaryIO, num_bytes: int) -> None:
    file.seek(num_bytes, os.SEEK_CUR)  # beyond the end is allowed: `tell` then shows how much is missing


def _matroska_end(file: BinaryIO) -> int | None:
    """Return where the Segment ends (RFC 8794 4-6), or None when it states no length (live streams) or is not found."""
    file.seek(4)
    header_length = _read_vint(file)
    if header_length is None:
        return None
    _skip(file, header_length)
    if file.read(4) != _MATROSKA_SEGMENT:
        return None
    length = _read_vint(file)
    return None if length is None else file.tell() + length


def _read_vint(file: BinaryIO) -> int | None:
    """Read an EBML variable-length integer: leading zero bits count the bytes that follow; all ones means unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value
