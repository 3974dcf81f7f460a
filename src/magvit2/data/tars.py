"""Uncompressed tar files: their members, found once by reading headers alone; series of them by one name.

Damage is told from the end: Python's own reader stops at a header that it cannot read as if the archive ended there.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from magvit2.errors import InputError

TAR_SUFFIX = ".tar"
_COMPRESSED = re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|lzma)|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_BRACES = re.compile(r"\{(?:(?P<first>\d+)\.\.(?P<last>\d+)|(?P<words>[^{}]*,[^{}]*))\}")


def is_tar(path: Path) -> bool:
    """Return whether a name ends as that of an uncompressed tar file does."""
    return path.suffix.lower() == TAR_SUFFIX


def is_compressed_tar(path: Path) -> bool:
    """Return whether a name ends as that of a compressed tar file does: `.tar.gz`, `.tgz`, ..."""
    return _COMPRESSED.search(path.name) is not None


def refuse_compressed(path: Path, kind: str = "by its name") -> NoReturn:
    """Raise the InputError of a compressed tar file."""
    raise InputError(
        f"{path}: is compressed ({kind}); expected an uncompressed tar file, whose members can be read at random: "
        "unpack it once, by gunzip or the like"
    )


def expand_braces(path: Path) -> list[Path]:
    """Return the paths that a name with braces means, as a shell does: `train-{000..009}.tar`, `{train,more}.tar`.

    The first number's leading zeros are kept. A name without braces, or of a file that is there, means itself.
    """
    text = str(path)
    found = None if path.exists() else _BRACES.search(text)
    if found is None:
        return [path]
    head, tail = text[: found.start()], text[found.end() :]
    return [path for word in _words(found) for path in expand_braces(Path(head + word + tail))]


def read_tar(path: Path, what: str = "an uncompressed tar file") -> Iterator[tarfile.TarInfo]:
    """Yield the members of an uncompressed tar file in their order; only the one in hand is kept.

    Raises InputError where it is missing, compressed, cut short or damaged, with the byte where it is.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
            if kind is not None:
                refuse_compressed(path, kind)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it keeps all of them for look-ups by name
                    yield member
                end = archive.offset
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"damaged or cut short at byte {end:,}; copy or write it again")
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be read as {what} ({error})") from error


def _words(braces: re.Match[str]) -> list[str]:
    if braces["words"] is not None:
        return braces["words"].split(",")
    first, last = int(braces["first"]), int(braces["last"])
    step = 1 if first <= last else -1
    return [f"{number:0{len(braces['first'])}d}" for number in range(first, last + step, step)]
