"""Packing a source for a machine without a video decoder: its clips and images as JPEG (or PNG) in a few tar shards.

A pack is itself a source, for training and evaluation: a folder of `index.csv`, `shard-0000.tar`, ... and `pack.json`,
which says what was taken, what was left out, how it was compressed, and each shard's SHA-256. It holds one split.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from magvit2.data.frames import Frames, read_item, resize
from magvit2.data.items import INDEX_NAME, MediaItem, Split
from magvit2.data.pack_shards import Entry, ShardWriter
from magvit2.errors import ConfigError, InputError, errors_as_output
from magvit2.schema import to_dict
from magvit2.video import decode_image
from magvit2.video.atomic import replaced_on_success
from magvit2.video.compressed import PictureFormat, Subsampling, encode_image, is_jpeg, is_png
from magvit2.video.paths import check_file

PACK_NAME = "pack.json"
_VERSION = 1
_MIB = 2**20


@dataclass(frozen=True)
class PackSettings:
    """How items are stored, and how much of them.

    `format` png keeps the pixels of clips; `quality` and `subsampling` are for JPEG. Pictures whose shorter side is
    above `short_side` pixels are scaled down to it. Of each clip at most the first `max_frames` are taken; of the whole
    source as much as `max_total_mib` holds, in shards of at most `max_shard_mib` (in 2**20 bytes). None: no limit.
    """

    format: PictureFormat = "jpeg"
    quality: int = 90
    subsampling: Subsampling = "4:4:4"
    short_side: int | None = None
    max_frames: int | None = None
    max_shard_mib: int = 32
    max_total_mib: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality = {self.quality}: expected 1 to 100")
        for name in ("short_side", "max_frames", "max_shard_mib", "max_total_mib"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value}: expected 1 or more")


@dataclass
class GroupCount:
    """What a pack has of one group. `num_bytes` are those in the shards, headers included."""

    num_items: int = 0
    num_clips: int = 0
    num_frames: int = 0
    num_bytes: int = 0
    num_left_out: int = 0


@dataclass(frozen=True)
class Shard:
    """One file of a pack."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Pack:
    """What was packed: the counts by group, and the files."""

    split: Split
    settings: PackSettings
    groups: dict[str, GroupCount]
    shards: tuple[Shard, ...]


def pack_items(
    items: Sequence[MediaItem],
    folder: Path,
    settings: PackSettings = PackSettings(),
    split: Split = "train",
    progress: Callable[[int], None] | None = None,
) -> Pack:
    """Write items of one split to a new pack in `folder`, whole or not at all; return what it holds.

    Groups take turns by bytes: the next item is always of the group that has the fewest so far, drawn in an order that
    is random and always the same. So every prefix of the shards is a fair sample, and where `max_total_mib` ends it the
    groups have equal shares, but for those that are complete. `progress` is called with the number of items done. The
    same items, settings and release of Pillow give the same bytes.

    Raises InputError where the folder holds something or an item is larger than a shard, MediaError for a bad item,
    OutputError where the disk is full.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; give the name of a new folder for the pack")
    with errors_as_output(folder), replaced_on_success(folder) as partial:
        partial.mkdir()
        with ShardWriter(partial, settings.max_shard_mib * _MIB) as writer:
            groups = _fill(writer, items, settings, progress)
        if not writer.paths:
            raise InputError(f"{folder}: not one item fits into {settings.max_total_mib} MiB; allow more")
        pack = Pack(split, settings, groups, tuple(_shard(path) for path in writer.paths))
        rows = [f"{shard.name},shard,{split}" for shard in pack.shards]
        (partial / INDEX_NAME).write_text("\n".join(["path,kind,split", *rows]) + "\n")
        (partial / PACK_NAME).write_text(json.dumps(describe_pack(pack), indent=2) + "\n")
    return pack


def describe_pack(pack: Pack) -> dict[str, Any]:
    """Return a pack as the JSON values of its `pack.json`."""
    return {
        "version": _VERSION,
        "split": pack.split,
        "settings": to_dict(pack.settings),
        "groups": {name: asdict(count) for name, count in pack.groups.items()},
        "shards": [asdict(shard) for shard in pack.shards],
    }


def _fill(
    writer: ShardWriter, items: Sequence[MediaItem], settings: PackSettings, progress: Callable[[int], None] | None
) -> dict[str, GroupCount]:
    waiting = _shuffled_groups(items)
    counts = {name: GroupCount(num_left_out=len(group)) for name, group in waiting.items()}
    limit = None if settings.max_total_mib is None else settings.max_total_mib * _MIB
    num_done = 0
    while waiting:
        name = min(waiting, key=lambda name: (counts[name].num_bytes, name))
        number, item = waiting[name].pop()
        entry = _entry(item, number, settings)
        if limit is not None and writer.num_bytes_with(entry) > limit:
            del waiting[name]  # the others may have smaller items
            continue
        _count(counts[name], entry, writer.add(entry))
        if not waiting[name]:
            del waiting[name]
        num_done += 1
        if progress is not None:
            progress(num_done)
    return counts


def _shuffled_groups(items: Sequence[MediaItem]) -> dict[str, list[tuple[int, MediaItem]]]:
    """Return the items by group, in order of name, each with its number in the group and all in a random order."""
    groups: dict[str, list[tuple[int, MediaItem]]] = {}
    for item in items:
        group = groups.setdefault(item.group, [])
        group.append((len(group), item))
    shuffled = {}
    for name in sorted(groups):
        order = np.random.default_rng(len(groups[name])).permutation(len(groups[name]))
        shuffled[name] = [groups[name][index] for index in order]
    return shuffled


def _count(count: GroupCount, entry: Entry, num_bytes: int) -> None:
    count.num_items += 1
    count.num_clips += bool(entry.frame_bytes)
    count.num_frames += max(1, len(entry.frame_bytes))
    count.num_bytes += num_bytes
    count.num_left_out -= 1


def _entry(item: MediaItem, number: int, settings: PackSettings) -> Entry:
    """Return an item as it is stored, under the number that it has in its group."""
    name = f"{number:06d}"
    if item.is_clip:
        frames = _scaled(read_item(item, 0, settings.max_frames), settings.short_side)
        stored = [encode_image(frame, settings.format, settings.quality, settings.subsampling) for frame in frames]
        suffix = ".mpng" if settings.format == "png" else ".mjpg"
        return Entry(item.group, item.label, name + suffix, b"".join(stored), tuple(map(len, stored)))
    data = _image_bytes(item, settings)
    return Entry(item.group, item.label, name + (".png" if is_png(data) else ".jpg"), data)


def _image_bytes(item: MediaItem, settings: PackSettings) -> bytes:
    """Return an image's own bytes where they will do: a JPEG that is small enough; else it is compressed anew."""
    data = _own_bytes(item)
    frame = decode_image(data, str(item.path))[None]
    scaled = _scaled(frame, settings.short_side)
    is_kept = is_jpeg(data) or (settings.format == "png" and is_png(data))
    if is_kept and scaled.shape == frame.shape:
        return data
    return encode_image(scaled[0], settings.format, settings.quality, settings.subsampling)


def _own_bytes(item: MediaItem) -> bytes:
    check_file(item.path)
    with item.path.open("rb") as file:
        if item.member is None:
            return file.read()
        file.seek(item.member[0])
        return file.read(item.member[1])


def _scaled(frames: Frames, short_side: int | None) -> UInt8[np.ndarray, "T Y X 3"]:
    height, width = frames.shape[1:3]
    if short_side is None or min(height, width) <= short_side:
        return frames
    scale = short_side / min(height, width)
    return resize(frames, max(1, round(height * scale)), max(1, round(width * scale)))


def _shard(path: Path) -> Shard:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Shard(path.name, path.stat().st_size, digest.hexdigest())
