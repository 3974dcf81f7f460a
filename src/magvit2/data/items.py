"""Items: every video and image of a source, found once, with what is known before it is opened.

A source is a folder, a list (see `lists`) or a WebDataset shard (see `webdataset`; of a series, a name with braces). A
folder's `index.csv` is such a list, which must give path, kind and split; without one, every media file and shard below
the folder is used, and a file is labelled by its folder. Images inside uncompressed tar files are items of their own,
and so are the pictures and clips of a pack's shards (see `pack_shards`). Where UCF-101's lists of split 1 lie in a
source, beside it or in a folder `ucfTrainTestlist` there, they say which clips belong to `train` and to `test`. What
nothing splits is used whole, or has a twentieth held out (see `holdout`).
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from magvit2.data.holdout import Named, sides_of
from magvit2.data.lists import LIST_SUFFIXES, Row, has_splits, is_list, read_list
from magvit2.data.media_item import ItemKind, MediaItem
from magvit2.data.readers import NamedItem, kind_of_row, read_row, read_shards, scan
from magvit2.data.tars import expand_braces, is_compressed_tar, is_tar
from magvit2.data.ucf101 import find_ucf_list, read_ucf_list
from magvit2.errors import InputError

__all__ = [
    "INDEX_NAME", "Found", "ItemKind", "MediaItem", "Split", "find", "find_items", "first_of_each_group", "only_groups",
    "root_of",
]  # fmt: skip

Split = Literal["train", "val", "test"]

INDEX_NAME = "index.csv"
_INDEX_COLUMNS = ("path", "kind", "split")


class Found(NamedTuple):
    """The items of one split of a source, what they are in words, and how many were held out of them by a hash."""

    items: list[MediaItem]
    scope: str
    num_held_out: int = 0


def find(source: Path, split: Split = "train", *, hold_out: bool = False, use_lists: bool = True) -> Found:
    """Return the items of a source in a fixed order, with their scope.

    Where nothing splits the source, all are used; with `hold_out`, `train` leaves out a twentieth by a hash of the
    names, and both `val` and `test` are that twentieth. Without `use_lists` the lists of UCF-101 are left alone: those
    beside a folder of samples say nothing about it. Raises InputError where there are no items, or where the index,
    the list or a tar file is not one or names a missing file.
    """
    table = _table(source)
    if table is not None:
        own = "" if table.parent == source else f"{table.name}, "
        rows = _read_rows(source, table)
        named = _read_table(source, table, rows, split)
        if has_splits(rows):
            return Found(_items(named), f"{own}split {split}")
    elif use_lists and (ucf_list := find_ucf_list(source, split)) is not None:
        return Found(_ucf_items(source, ucf_list), f"UCF-101 {ucf_list.name}")
    else:
        own, named = "no index, ", _files_of(source)
    return _part(named, split, own) if hold_out else Found(_items(named), f"{own}all items")


def find_items(
    source: Path, split: Split = "train", *, hold_out: bool = False, use_lists: bool = True
) -> list[MediaItem]:
    """Return the items of a source as `find` does, without their scope."""
    return find(source, split, hold_out=hold_out, use_lists=use_lists).items


def root_of(source: Path) -> Path:
    """Return the folder that the names of a source's items are relative to: its own or, of a file, the file's."""
    return source if source.is_dir() else source.parent


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


def _items(named: Iterable[NamedItem]) -> list[MediaItem]:
    return [item for _, item in named]


def _part(named: list[NamedItem], split: Split, own: str) -> Found:
    """Return one side of items that nothing splits."""
    sides = sides_of([Named(name, item.is_clip) for name, item in named])
    if sides.is_train == sides.is_val:
        return Found(_items(named), f"{own}all items (too few to hold any out)")
    is_chosen = sides.is_train if split == "train" else sides.is_val
    items = [item for (_, item), chosen in zip(named, is_chosen, strict=True) if chosen]
    num_held_out = len(named) - len(items) if split == "train" else 0
    return Found(items, f"{own}split {split} by a hash of names", num_held_out)


def _files_of(source: Path) -> list[NamedItem]:
    """Return the items of a folder or of shards."""
    paths = [] if source.is_dir() else expand_braces(source)
    if not all(is_tar(path) or is_compressed_tar(path) for path in paths):
        ending = " or ".join(LIST_SUFFIXES)
        raise InputError(
            f"{source}: not a folder, nor a list; give a folder of videos or images, one with an {INDEX_NAME}, a "
            f"WebDataset shard that ends in .tar, or a list of them that ends in {ending}"
        )
    named = read_shards(paths) if paths else list(scan(source))
    if not named:
        raise InputError(f"{source}: expected videos or images below it, found none")
    return named


def _ucf_items(source: Path, path: Path) -> list[MediaItem]:
    """Return the clips of a list of UCF-101 as one group in the list's order."""
    names = read_ucf_list(source, path)
    return [MediaItem(source / name, "video", source.name, Path(name).parent.name) for name in names]


def _table(source: Path) -> Path | None:
    """Return the list that names a source's items: the source itself, or its index. None where there is none."""
    if is_list(source):
        return source
    index = source / INDEX_NAME
    return index if index.is_file() else None


def _read_rows(source: Path, table: Path) -> list[Row]:
    return read_list(table) if table == source else read_list(table, _INDEX_COLUMNS)


def _read_table(source: Path, table: Path, rows: list[Row], split: Split) -> list[NamedItem]:
    """Return the items of a list's rows of one split, of all its rows where it has no splits."""
    chosen = [row for row in rows if row.split in ("", split)]
    named = [pair for row in chosen for pair in read_row(table.parent, row)]
    files = [row for row in chosen if kind_of_row(row) != "webdataset"]  # whose name may have braces, and was read
    missing = [row for row in files if not os.path.exists(table.parent / row.path)]  # noqa: PTH110 - never raises
    if missing:
        place, path, count = missing[0].place, table.parent / missing[0].path, f"{len(missing)} of {len(chosen)}"
        raise InputError(f"{place}: {path} is missing ({count} files are); paths are relative to the list's folder")
    if not named:
        known = ", ".join(sorted({repr(row.split) for row in rows})) or "none"
        where = "" if table == source else f" in its {INDEX_NAME}"
        raise InputError(f"{source}: expected rows of split {split!r}{where}, found none; its splits are: {known}")
    return named
