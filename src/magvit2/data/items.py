"""Items: every video and image of a source, found once, with what is known before it is opened.

A source is a folder. With an `index.csv` (path, kind, split, label, ...) its rows are the items; without one, every
media file below it is, labelled by its folder. Images inside uncompressed tar files are items of their own.
"""

import csv
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from magvit2.errors import InputError
from magvit2.video import is_media, probe
from magvit2.video.paths import is_image

ItemKind = Literal["video", "image", "strip"]
Split = Literal["train", "val", "test"]

INDEX_NAME = "index.csv"
_COLUMNS = ("path", "kind", "split")


@dataclass(frozen=True)
class MediaItem:
    """One clip or image. `strip` is a clip whose frames stand side by side in one picture.

    `member` is the (offset, length) in bytes of an image inside a tar file. `num_frames` is None until somebody looks.
    `group` is the top folder of the source that it came from; groups are what a training mixture balances.
    """

    path: Path
    kind: ItemKind
    group: str
    label: str = ""
    num_frames: int | None = None
    member: tuple[int, int] | None = None

    @property
    def is_clip(self) -> bool:
        """Whether it has frames in time."""
        return self.kind != "image"


def find_items(source: Path, split: Split = "train") -> list[MediaItem]:
    """Return the items of a source folder in a fixed order; without an index the split is ignored: all are used.

    Raises InputError where there are none, or where the index is not one.
    """
    if not source.is_dir():
        raise InputError(f"{source}: not a folder; give a folder of videos or images, or one with an {INDEX_NAME}")
    has_index = (source / INDEX_NAME).is_file()
    items = _read_index(source, split) if has_index else _scan(source)
    if not items:
        wanted = f"rows of split {split!r} in its {INDEX_NAME}" if has_index else "videos or images below it"
        raise InputError(f"{source}: expected {wanted}, found none")
    return items


def first_of_each_group(items: list[MediaItem], count: int) -> list[MediaItem]:
    """Return the first `count` items of every group, in their order."""
    seen: dict[str, int] = {}
    chosen = []
    for item in items:
        seen[item.group] = seen.get(item.group, 0) + 1
        if seen[item.group] <= count:
            chosen.append(item)
    return chosen


def _scan(source: Path) -> list[MediaItem]:
    paths = sorted(path for path in source.rglob("*") if path.is_file() and is_media(path))
    return [_scanned(source, path) for path in paths]


def _scanned(source: Path, path: Path) -> MediaItem:
    is_still = is_image(path) and (path.suffix.lower() != ".webp" or probe(path).kind == "image")
    parts = path.relative_to(source).parts
    label = parts[-2] if len(parts) > 1 else ""
    return MediaItem(path, "image" if is_still else "video", parts[0] if len(parts) > 1 else "", label)


def _read_index(source: Path, split: Split) -> list[MediaItem]:
    path = source / INDEX_NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    reader = csv.DictReader(lines)
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(f"{path}: the columns {', '.join(missing)} are missing; expected path, kind, split, ...")
    rows = [row for row in reader if row["split"] == split]
    items: list[MediaItem] = []
    for row in rows:
        items += _tar_items(source, row) if row["kind"] == "tar" else [_indexed(source, row)]
    return items


def _indexed(source: Path, row: dict[str, str]) -> MediaItem:
    kind = row["kind"]
    if kind not in ("video", "image", "strip"):
        raise InputError(f"{source / INDEX_NAME}: kind {kind!r} of {row['path']}; expected video, image, strip or tar")
    frames = row.get("frames") or ""
    count = int(frames) if frames.isdigit() else None
    return MediaItem(source / row["path"], kind, _group(row), row.get("label") or "", count)  # type: ignore[arg-type]


def _tar_items(source: Path, row: dict[str, str]) -> list[MediaItem]:
    path = source / row["path"]
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile() and is_image(Path(member.name))]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be read as an uncompressed tar file ({error})") from error
    return [
        MediaItem(path, "image", _group(row), Path(m.name).parent.name, 1, (m.offset_data, m.size)) for m in members
    ]


def _group(row: dict[str, str]) -> str:
    folder, slash, _ = row["path"].partition("/")
    return folder if slash else ""
