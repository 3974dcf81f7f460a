"""The verb tokenize: a source to token shards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import ModelOptions, Options, check_at_least_one, load_tokenizer, progress_bars, show

if TYPE_CHECKING:
    from magvit2.tokenizing import Tokenized

_All = arg(metavar="N", help_behavior_hint="(default: all)")
_MOST_NAMED = 20


def tokenize(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    out: Annotated[Path, arg(metavar="DIR")],
    split: Annotated[
        Literal["train", "val", "test"] | None,
        arg(help_behavior_hint="(default: train; all of a source without splits)"),
    ] = None,
    groups: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: all)")] = (),
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: whole clips)")] = None,
    stride: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as --frames)")] = None,
    size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: their own size)")] = None,
    flip: Annotated[bool, arg(help_behavior_hint="")] = False,
    rows_per_shard: Annotated[int, arg(metavar="N")] = 1024,
    limit: Annotated[int | None, _All] = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Turn one split of a source into token shards (Parquet); the same command continues what was interrupted.

    Args:
        source: folder of videos and images, one with an index.csv, a list (.csv, .jsonl), or WebDataset shards (.tar).
        out: folder for tokens-00000.parquet, ...
        split: part to take, by index, list or lists of UCF-101; without any, what a training keeps or holds out.
        groups: top folders of the source to take.
        frames: cut clips into windows of so many frames, a row each; what is shorter, as images are, is left out.
        stride: step between the first frames of windows.
        size: scale the short side to N pixels (antialiased), and keep the middle square.
        flip: add every clip a second time, mirrored.
        rows_per_shard: rows of a file.
        limit: how many items of each group, from its first.
        options: the model and where it runs.
    """
    from magvit2.data.items import find_items, first_of_each_group, only_groups
    from magvit2.tokenizing import Cut, tokenize_items

    for name, count in (("--rows-per-shard", rows_per_shard), ("--limit", limit)):
        check_at_least_one(name, count)
    cut = Cut(frames, stride, size, flip)
    items = find_items(source, split or "train", hold_out=split is not None)
    items = only_groups(items, groups) if groups else items
    items = items if limit is None else first_of_each_group(items, limit)
    tokenizer = load_tokenizer(options)
    with progress_bars("items") as bar:
        report = bar("tokenize", len(items))
        made = tokenize_items(tokenizer, items, source, out, cut, rows_per_shard=rows_per_shard, progress=report)
    show(f"{source} -> {out}", _rows(made, out, frames, options.json), options.json)


def _rows(made: "Tokenized", out: Path, frames: int | None, as_json: bool) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "folder": str(out),
        "rows": made.num_rows,
        "new rows": made.num_new,
        "tokens": made.num_tokens,
        "shards": made.num_shards,
        "bits per pixel": made.bits_per_pixel,
    }
    if as_json:
        rows["skipped"] = [skipped._asdict() for skipped in made.skipped]
    else:
        rows["skipped (damaged)"] = len(made.skipped)
        rows |= {f"  {path}": reason for path, reason in made.skipped[:_MOST_NAMED]}
        rows |= {"  ...": "--json names all"} if len(made.skipped) > _MOST_NAMED else {}
    if frames is not None:
        rows[f"left out (shorter than {frames} frames)"] = made.num_short
    return rows
