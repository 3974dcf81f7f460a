"""Items: every video and image of a source, found once, with what is known before it is opened.

A source is a folder. With an `index.csv` (path, kind, split, label, ...) its rows are the items; without one, every
media file below it is, labelled by its folder. Images inside uncompressed tar files are items of their own, and so are
the pictures and clips of a pack's shards (see `shards`). Where UCF-101's lists of split 1 lie in a source, beside it or
in a folder `ucfTrainTestlist` there, they say which clips belong to `train` and to `test`.
"""

import csv
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from magvit2.data.shards import read_shard
from magvit2.errors import InputError
from magvit2.video import is_media, probe
from magvit2.video.paths import is_image

ItemKind = Literal["video", "image", "strip", "frames"]
Split = Literal["train", "val", "test"]

INDEX_NAME = "index.csv"
_COLUMNS = ("path", "kind", "split")
_UCF_LISTS = {"train": "trainlist01.txt", "test": "testlist01.txt"}


@dataclass(frozen=True)
class MediaItem:
    """One clip or image. `strip` is a clip whose frames stand side by side in one picture, `frames` one in a shard.

    `member` is the (offset, length) in bytes of an image or a clip inside a tar file, and `frame_bytes` has the lengths
    of such a clip's frames, which lie one after another. `num_frames` is None until somebody looks.
    `group` is the top folder of the source that it came from; groups are what a training mixture balances.
    """

    path: Path
    kind: ItemKind
    group: str
    label: str = ""
    num_frames: int | None = None
    member: tuple[int, int] | None = None
    frame_bytes: tuple[int, ...] = ()

    @property
    def is_clip(self) -> bool:
        """Whether it has frames in time."""
        return self.kind != "image"


def find_items(source: Path, split: Split = "train", *, use_lists: bool = True) -> list[MediaItem]:
    """Return the items of a source folder in a fixed order; without an index the split is ignored: all are used.

    Without `use_lists` all are used of UCF-101 too: lists beside a folder of samples say nothing about those.
    Raises InputError where there are none, or where the index is not one.
    """
    if not source.is_dir():
        raise InputError(f"{source}: not a folder; give a folder of videos or images, or one with an {INDEX_NAME}")
    has_index, ucf_list = (source / INDEX_NAME).is_file(), _ucf_list(source, split) if use_lists else None
    if ucf_list is not None and not has_index:
        return _read_ucf_list(source, ucf_list)
    items = _read_index(source, split) if has_index else _scan(source)
    if not items:
        wanted = f"rows of split {split!r} in its {INDEX_NAME}" if has_index else "videos or images below it"
        raise InputError(f"{source}: expected {wanted}, found none")
    return items


def scope_of(source: Path, split: str, *, use_lists: bool = True) -> str:
    """Return what `find_items` takes of a source, in words."""
    if (source / INDEX_NAME).is_file():
        return f"split {split}"
    ucf_list = _ucf_list(source, split) if use_lists else None
    return f"UCF-101 {ucf_list.name}" if ucf_list is not None else "no index, all items"


def only_groups(items: list[MediaItem], groups: Sequence[str]) -> list[MediaItem]:
    """Return the items of some groups (top folders), in their order. Raises InputError for a group without items."""
    known = list(dict.fromkeys(item.group for item in items))
    missing = [group for group in groups if group not in known]
    if missing:
        raise InputError(f"group {missing[0]!r}: expected some of {', '.join(map(repr, known))}")
    return [item for item in items if item.group in groups]


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


def _ucf_list(source: Path, split: str) -> Path | None:
    """Return UCF-101's list of a split, None for other sources. Raises InputError for a split that it has not."""
    folders = [place / name for place in (source, source.parent) for name in ("", "ucfTrainTestlist")]
    folder = next((folder for folder in folders if all((folder / n).is_file() for n in _UCF_LISTS.values())), None)
    if folder is None:
        return None
    if split not in _UCF_LISTS:
        raise InputError(f"{source}: UCF-101 has no split {split!r}; expected train or test")
    return folder / _UCF_LISTS[split]


def _read_ucf_list(source: Path, path: Path) -> list[MediaItem]:
    """Return the clips of a list, `CLASS/NAME.avi [LABEL]` a line, as one group in the list's order."""
    names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    missing = [name for name in names if not (source / name).is_file()]
    if missing or not names:
        first = f"{len(missing)} of {len(names)} are missing in {source}, {missing[0]} first" if missing else "is empty"
        raise InputError(f"{path}: {first}; expected every clip of the list")
    return [MediaItem(source / name, "video", source.name, Path(name).parent.name) for name in names]


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
        items += _READERS.get(row["kind"], _indexed)(source, row)
    return items


def _indexed(source: Path, row: dict[str, str]) -> list[MediaItem]:
    kind = row["kind"]
    if kind not in ("video", "image", "strip"):
        raise InputError(
            f"{source / INDEX_NAME}: kind {kind!r} of {row['path']}; expected video, image, strip, tar or shard"
        )
    frames = row.get("frames") or ""
    count = int(frames) if frames.isdigit() else None
    return [MediaItem(source / row["path"], kind, _group(row), row.get("label") or "", count)]  # type: ignore[arg-type]


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


def _shard_items(source: Path, row: dict[str, str]) -> list[MediaItem]:
    path = source / row["path"]
    return [
        MediaItem(
            path,
            "frames" if member.frame_bytes else "image",
            member.group,
            member.label,
            max(1, len(member.frame_bytes)),
            (member.offset, member.length),
            member.frame_bytes,
        )
        for member in read_shard(path)
    ]


_READERS = {"tar": _tar_items, "shard": _shard_items}


def _group(row: dict[str, str]) -> str:
    folder, slash, _ = row["path"].partition("/")
    return folder if slash else ""
