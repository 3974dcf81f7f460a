"""The verbs evaluate ...: numbers with their protocol beside them."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from magvit2.cli.common import (
    ModelOptions,
    Options,
    check_at_least_one,
    load_tokenizer,
    progress_bars,
    show_json,
    show_table,
)

PROTOCOL = (
    "8-bit RGB at native size; PSNR and SSIM: mean over frames, then over items; ids counted over all items of "
    "a group; bicubic: down to the token grid and up, antialiased"
)


def reconstruction(
    data: Annotated[Path, arg(metavar="FOLDER")],
    split: Literal["train", "val", "test"] = "val",
    max_frames: Annotated[int, arg(metavar="N")] = 17,
    max_items: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Measure reconstruction on a source: PSNR, SSIM, code usage, entropy per bit, bits per pixel, bicubic beside them.

    Args:
        data: folder of videos and images, or one with an index.csv.
        split: rows of the index to use; a source without an index is used whole.
        max_frames: frames of each clip, from its beginning.
        max_items: how many items of each group, from its first.
        options: the model and where it runs.
    """
    from magvit2.data.items import INDEX_NAME, find_items, first_of_each_group
    from magvit2.evaluation.reconstruction import evaluate_reconstruction

    check_at_least_one("--max-frames", max_frames)
    check_at_least_one("--max-items", max_items)
    items = find_items(data, split)
    if max_items is not None:
        items = first_of_each_group(items, max_items)
    tokenizer = load_tokenizer(options)
    with progress_bars("items") as bar:
        results = dict(evaluate_reconstruction(tokenizer, items, max_frames, bar("evaluate", len(items))))
    scope = f"split {split}" if (data / INDEX_NAME).is_file() else "no index, all items"
    protocol = f"{PROTOCOL}; {scope}; clips cut to {max_frames} frames"
    if options.json:
        show_json({"model": options.model, "protocol": protocol, "results": results})
        return
    groups = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in results))
    metrics = list(dict.fromkeys(name.rsplit("/", 1)[1] for name in results))
    rows = [[metric, *(results[f"{group}/{metric}"] for group in groups)] for metric in metrics]
    show_table(f"{options.model} on {data}", ["", *groups], rows)
    print(f"protocol: {protocol}")  # noqa: T201
