"""Items: every video and image of a source, found once, with what is known before it is opened.

A source is a folder or a list (see `lists`). A folder's `index.csv` is such a list, which must give path, kind and
split; without one, every media file below the folder is an item, labelled by its folder. Images inside uncompressed tar
files are items of their own, and so are the pictures and clips of a pack's shards (see `shards`). Where UCF-101's lists
of split 1 lie in a source, beside it or in a folder `ucfTrainTestlist` there, they say which clips belong to `train`
and to `test`.
"""

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from magvit2.data.lists import LIST_SUFFIXES, Row, has_splits, is_list, read_list
from magvit2.data.shards import read_shard
from magvit2.errors import InputError, MediaError
from magvit2.video import is_media, probe
from magvit2.video.paths import is_image

ItemKind = Literal["video", "image", "strip", "frames"]
Split = Literal["train", "val", "test"]

INDEX_NAME = "index.csv"
_INDEX_COLUMNS = ("path", "kind", "split")
_KINDS = "video, image, strip, tar or shard"
_UCF_LISTS = {"train": "trainlist01.txt", "test": "testlist01.txt"}


@dataclass(frozen=True)
class MediaItem:
    """One clip or image. `strip` is a clip whose frames stand side by side in one picture, `frames` one in a shard.

    `member` is the (offset, length) in bytes of an image or a clip inside a tar file, and `frame_bytes` has the lengths
    of such a clip's frames, which lie one after another. `num_frames` is None until somebody looks.
    `group` is the top folder of the source that it came from, or what its row says; groups are what a training mixture
    balances.
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

    @property
    def name(self) -> str:
        """What messages call it: its path and, inside a tar file, where it begins."""
        return str(self.path) if self.member is None else f"{self.path}@{self.member[0]}"


def find_items(source: Path, split: Split = "train", *, use_lists: bool = True) -> list[MediaItem]:
    """Return the items of a source in a fixed order; where nothing splits it, the split is ignored: all are used.

    Without `use_lists` all are used of UCF-101 too: lists beside a folder of samples say nothing about those.
    Raises InputError where there are none, or where the index or the list is not one or names a missing file.
    """
    table = _table(source)
    if table is not None:
        return _read_table(source, table, split)
    if not source.is_dir():
        ending = " or ".join(LIST_SUFFIXES)
        raise InputError(
            f"{source}: not a folder, nor a list; give a folder of videos or images, one with an {INDEX_NAME}, or a "
            f"list of them that ends in {ending}"
        )
    ucf_list = _ucf_list(source, split) if use_lists else None
    items = _scan(source) if ucf_list is None else _read_ucf_list(source, ucf_list)
    if not items:
        raise InputError(f"{source}: expected videos or images below it, found none")
    return items


def scope_of(source: Path, split: str, *, use_lists: bool = True) -> str:
    """Return what `find_items` takes of a source, in words."""
    table = _table(source)
    if table is not None:
        own = "" if table.parent == source else f"{table.name}, "
        return own + (f"split {split}" if has_splits(_read_rows(source, table)) else "all items")
    ucf_list = _ucf_list(source, split) if use_lists else None
    return f"UCF-101 {ucf_list.name}" if ucf_list is not None else "no index, all items"


def root_of(source: Path) -> Path:
    """Return the folder that the names of a source's items are relative to: its own or, of a list, the list's."""
    return source.parent if is_list(source) else source


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
    parts = path.relative_to(source).parts
    label = parts[-2] if len(parts) > 1 else ""
    return MediaItem(path, _kind_of(path), parts[0] if len(parts) > 1 else "", label)


def _kind_of(path: Path) -> ItemKind:
    """Return the kind of a media file by its name; a WebP is looked into, as it may be animated."""
    if not is_image(path):
        return "video"
    try:
        return "image" if path.suffix.lower() != ".webp" or probe(path).kind == "image" else "video"
    except MediaError:  # a damaged one is named by whoever reads it, as any other damaged file is
        return "image"


def _table(source: Path) -> Path | None:
    """Return the list that names a source's items: the source itself, or its index. None where there is none."""
    if is_list(source):
        return source
    index = source / INDEX_NAME
    return index if index.is_file() else None


def _read_rows(source: Path, table: Path) -> list[Row]:
    return read_list(table) if table == source else read_list(table, _INDEX_COLUMNS)


def _read_table(source: Path, table: Path, split: Split) -> list[MediaItem]:
    """Return the items of a list's rows of one split, of all its rows where it has no splits."""
    rows = _read_rows(source, table)
    chosen = [row for row in rows if row.split in ("", split)]
    items = [item for row in chosen for item in _READERS.get(row.kind, _listed)(table.parent, row)]
    missing = [row for row in chosen if not os.path.exists(table.parent / row.path)]  # noqa: PTH110 - never raises
    if missing:
        place, path, count = missing[0].place, table.parent / missing[0].path, f"{len(missing)} of {len(chosen)}"
        raise InputError(f"{place}: {path} is missing ({count} files are); paths are relative to the list's folder")
    if not items:
        known = ", ".join(sorted({repr(row.split) for row in rows})) or "none"
        where = "" if table == source else f" in its {INDEX_NAME}"
        raise InputError(f"{source}: expected rows of split {split!r}{where}, found none; its splits are: {known}")
    return items


def _listed(root: Path, row: Row) -> list[MediaItem]:
    path = root / row.path
    kind = row.kind or (_kind_of(path) if is_media(path) else "")
    if not kind:
        raise InputError(f"{row.place}: the name {row.path} tells no kind; expected {_KINDS}")
    if kind not in ("video", "image", "strip"):
        raise InputError(f"{row.place}: kind {kind!r} of {row.path}; expected {_KINDS}")
    return [MediaItem(path, kind, _group(row), row.label, row.num_frames)]  # type: ignore[arg-type]


def _tar_items(root: Path, row: Row) -> list[MediaItem]:
    path = root / row.path
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile() and is_image(Path(member.name))]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be read as an uncompressed tar file ({error})") from error
    return [
        MediaItem(path, "image", _group(row), Path(m.name).parent.name, 1, (m.offset_data, m.size)) for m in members
    ]


def _shard_items(root: Path, row: Row) -> list[MediaItem]:
    path = root / row.path
    return [
        MediaItem(
            path,
            "frames" if member.frame_bytes else "image",
            row.group or member.group,
            member.label,
            max(1, len(member.frame_bytes)),
            (member.offset, member.length),
            member.frame_bytes,
        )
        for member in read_shard(path)
    ]


_READERS = {"tar": _tar_items, "shard": _shard_items}


def _group(row: Row) -> str:
    """Return the group that a row names, or the top folder of its path below the list or beside it."""
    path = PurePosixPath(row.path)
    folders = [part for part in path.parts[:-1] if part != ".."]
    return row.group or (folders[0] if folders and not path.is_absolute() else "")
