"""The verb pack: a source to shards of JPEG, for machines that decode no video."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import Json, progress_bars, show_json, show_table

_Limit = arg(metavar="N", help_behavior_hint="(default: no limit)")


def pack(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    split: Annotated[
        Literal["train", "val", "test"] | None,
        arg(help_behavior_hint="(default: train; all of a source without splits)"),
    ] = None,
    groups: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: all)")] = (),
    format: Literal["jpeg", "png"] = "jpeg",
    quality: Annotated[int, arg(metavar="N")] = 90,
    subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4",
    short_side: Annotated[int | None, _Limit] = None,
    max_frames: Annotated[int | None, _Limit] = None,
    max_shard_mib: Annotated[int, arg(metavar="N")] = 32,
    max_total_mib: Annotated[int | None, _Limit] = None,
    json: Json = False,
) -> None:
    """Pack one split of a source into tar shards of JPEG, to train where no video can be decoded.

    Args:
        source: folder of videos and images, one with an index.csv, a list (.csv, .jsonl), or WebDataset shards (.tar).
        out: new folder for the pack, itself a source.
        split: part to pack, by index, list or lists of UCF-101; without any, what a training keeps or holds out.
        groups: top folders of the source to take.
        format: jpeg, or png to keep the pixels of clips.
        quality: of JPEG, 1 to 100; JPEG images that are small enough keep their own bytes.
        subsampling: of colour in JPEG; 4:2:0 is smaller, and enough for clips that had it.
        short_side: larger pictures are scaled down to so many pixels on their shorter side.
        max_frames: frames of each clip, from its beginning.
        max_shard_mib: size of a shard, in MiB.
        max_total_mib: size of all shards, in MiB, shared fairly between the groups.
        json: print machine-readable results instead of tables.
    """
    from magvit2.data.items import find_items
    from magvit2.data.pack import PackSettings, describe_pack, pack_items
    from magvit2.errors import InputError

    settings = PackSettings(format, quality, subsampling, short_side, max_frames, max_shard_mib, max_total_mib)
    items = find_items(source, split or "train", hold_out=split is not None)
    known = sorted({item.group for item in items})
    for name in groups:
        if name not in known:
            raise InputError(f"--groups {name}: the source has {', '.join(known)}")
    items = [item for item in items if not groups or item.group in groups]
    with progress_bars("items") as bar:
        made = pack_items(items, out, settings, split or "train", bar("pack", len(items)))
    if json:
        show_json(describe_pack(made))
        return
    header = ("", "items", "clips", "frames", "MiB", "left out")
    rows = [
        [name or "(no group)", g.num_items, g.num_clips, g.num_frames, g.num_bytes / 2**20, g.num_left_out]
        for name, g in made.groups.items()
    ]
    rows += [["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]]
    show_table(f"{out}: {made.split} split in {len(made.shards)} shards", header, rows)
