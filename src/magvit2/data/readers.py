"""Readers of sources: a folder's files, and the rows of a list by their kind, each an item with its name.

The name is what an item is held out by (see `holdout`): its path in the source without the ending, as a row writes it;
a WebDataset sample's key; the name in its tar file of what a pack or a tar file of images holds.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from magvit2.data.lists import Row
from magvit2.data.media_item import ItemKind, MediaItem
from magvit2.data.pack_shards import read_shard
from magvit2.data.tars import expand_braces, is_compressed_tar, is_tar, read_tar, refuse_compressed
from magvit2.data.webdataset import read_samples
from magvit2.errors import InputError, MediaError
from magvit2.video import Stretch, is_image, is_media, probe

NamedItem = tuple[str, MediaItem]
_KINDS = "video, image, strip, tar, webdataset or shard"


def scan(source: Path) -> Iterator[NamedItem]:
    """Yield the media files and the samples of shards below a folder, by their paths.

    Compressed tar files are refused, but for those beside loose media alone: nobody takes them for shards.
    """
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    compressed = next((path for path in paths if is_compressed_tar(path)), None)
    if compressed is not None and (any(map(is_tar, paths)) or not any(map(is_media, paths))):
        refuse_compressed(compressed)
    for path in paths:
        if is_tar(path) and not path.name.startswith("."):
            yield from _sample_items(path, _top_folder(path.relative_to(source)))
        elif is_media(path):
            yield _scanned(source, path)


def read_shards(paths: list[Path]) -> list[NamedItem]:
    """Return the samples of WebDataset shards as one group. Raises InputError where one is missing or damaged."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing ({len(missing)} of {len(paths)} shards are); check the name")
    return [pair for path in paths for pair in _sample_items(path)]


def read_row(root: Path, row: Row) -> list[NamedItem]:
    """Return the items of a row of a list in the folder `root`.

    Raises InputError for another kind, and where a tar file cannot be read; a file that is missing is left to the
    caller.
    """
    return _READERS.get(kind_of_row(row), _listed)(root, row)


def kind_of_row(row: Row) -> str:
    """Return the kind that a row names; of a tar file without one, `webdataset`."""
    is_shard = is_tar(Path(row.path)) or is_compressed_tar(Path(row.path))
    return row.kind or ("webdataset" if is_shard else "")


def _scanned(source: Path, path: Path) -> NamedItem:
    own = path.relative_to(source)
    label = own.parts[-2] if len(own.parts) > 1 else ""
    return _without_ending(own.as_posix()), MediaItem(path, _kind_of(path), _top_folder(own), label)


def _top_folder(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ""


def _without_ending(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 - of a name, be it a path or not


def _kind_of(medium: Path | Stretch) -> ItemKind:
    """Return the kind of a media file by its name; a WebP is looked into, as it may be animated."""
    name = str(medium)
    if not is_image(name):
        return "video"
    try:
        return "image" if not name.lower().endswith(".webp") or probe(medium).kind == "image" else "video"
    except MediaError:  # a damaged one is named by whoever reads it, as any other damaged file is
        return "image"


def _listed(root: Path, row: Row) -> list[NamedItem]:
    path = root / row.path
    kind = row.kind or (_kind_of(path) if is_media(path) else "")
    if not kind:
        raise InputError(f"{row.place}: the name {row.path} tells no kind; expected {_KINDS}")
    if kind not in ("video", "image", "strip"):
        raise InputError(f"{row.place}: kind {kind!r} of {row.path}; expected {_KINDS}")
    name = _without_ending(PurePosixPath(row.path).as_posix())
    return [(name, MediaItem(path, kind, _group(row), row.label, row.num_frames))]  # type: ignore[arg-type]


def _sample_items(path: Path, group: str = "", label: str = "") -> Iterator[NamedItem]:
    """Yield the samples of a WebDataset shard; a label that is given counts for all of them."""
    if is_compressed_tar(path):
        refuse_compressed(path)
    for sample in read_samples(path):
        member = sample.offset, sample.length
        kind = _kind_of(Stretch(path, *member, sample.name))
        item = MediaItem(path, kind, group, label or sample.label, None, member, entry=sample.name)
        yield sample.key, item


def _listed_samples(root: Path, row: Row) -> list[NamedItem]:
    paths = expand_braces(root / row.path)
    return [pair for path in paths for pair in _sample_items(path, _group(row), row.label)]


def _tar_items(root: Path, row: Row) -> list[NamedItem]:
    path, group = root / row.path, _group(row)
    members = [member for member in read_tar(path) if member.isfile() and is_image(member.name)]
    return [
        (
            _without_ending(m.name),
            MediaItem(path, "image", group, Path(m.name).parent.name, 1, (m.offset_data, m.size)),
        )
        for m in members
    ]


def _shard_items(root: Path, row: Row) -> list[NamedItem]:
    path = root / row.path
    return [
        (
            _without_ending(member.name),
            MediaItem(
                path,
                "frames" if member.frame_bytes else "image",
                row.group or member.group,
                member.label,
                max(1, len(member.frame_bytes)),
                (member.offset, member.length),
                member.frame_bytes,
            ),
        )
        for member in read_shard(path)
    ]


_READERS = {"tar": _tar_items, "webdataset": _listed_samples, "shard": _shard_items}


def _group(row: Row) -> str:
    """Return the group that a row names, or the top folder of its path below the list or beside it."""
    path = PurePosixPath(row.path)
    folders = [part for part in path.parts[:-1] if part != ".."]
    return row.group or (folders[0] if folders and not path.is_absolute() else "")
