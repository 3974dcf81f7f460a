"""Paths: which names are media, which files can be read at all, and the natural order of a folder of frames."""

import os
import re
import stat
from pathlib import Path

from magvit2.errors import MediaError
from magvit2.video.stretch import Medium, Stretch

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
VIDEO_SUFFIXES = frozenset({".264", ".h264", ".avc", ".265", ".h265", ".hevc"}) | frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".mkv",
        ".webm",
        ".gif",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".flv",
        ".wmv",
        ".ogv",
        ".y4m",
    }
)


def is_media(path: str | os.PathLike[str]) -> bool:
    """Return whether a name ends like a video or an image that can be read (the file itself is not looked at)."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def is_image(path: str | os.PathLike[str]) -> bool:
    """Return whether a name ends like a still image or an animated WebP."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def check_readable(path: Medium) -> None:
    """Raise MediaError unless `path` is a file with bytes in it, or a folder, that this user may read."""
    if isinstance(path, Stretch):
        _check_stretch(path)
        return
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):  # the second: a name with a zero byte
        raise MediaError(f"{path}: no such file or folder; check the name") from None
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise MediaError(f"{path}: is neither a file nor a folder; expected a video, an image or a folder of frames")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: permission denied; make it readable for this user")
    if path.is_file() and path.stat().st_size == 0:
        raise MediaError(
            f"{path}: the file is empty (0 bytes); expected a video or an image, copy or download it again"
        )


def check_file(path: Medium) -> None:
    """Raise MediaError unless `path` is a readable file; a folder is refused."""
    check_readable(path)
    if isinstance(path, Path) and path.is_dir():
        raise MediaError(f"{path}: is a folder; expected a file")


def _check_stretch(stretch: Stretch) -> None:
    check_file(stretch.path)
    if stretch.length == 0:
        raise MediaError(f"{stretch}: is empty (0 bytes); expected a video or an image, write the tar file again")
    if stretch.path.stat().st_size < stretch.offset + stretch.length:
        raise MediaError(f"{stretch}: lies beyond the end of {stretch.path}, which is cut short; copy it again")


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sorting key in which numbers count as numbers: frame2 comes before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def frame_files(folder: Path) -> list[Path]:
    """Return the images in a folder in natural order, hidden files left out; MediaError when there are none."""
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise MediaError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    files = [
        folder / name for name in sorted(names, key=lambda name: (natural_key(name), name)) if is_image(folder / name)
    ]
    if not files:
        raise MediaError(f"{folder}: no images in this folder; expected frames such as 000000.png")
    return files
