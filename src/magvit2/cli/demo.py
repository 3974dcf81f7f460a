"""The verb demo."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from magvit2.cli.common import ModelOptions, Options, Tile, load_tokenizer, progress_bars, show


def demo(
    source: Annotated[Positional[Path | None], arg(metavar="[INPUT]", help_behavior_hint="")] = None,
    out: Annotated[Path, arg(metavar="FOLDER")] = Path("demo-out"),
    tile: Tile = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Watch a real clip become tokens and come back, and language models make others: all in a folder.

    Args:
        source: video, image or folder of frames; by default photographs under a moving camera.
        out: folder for what the demo makes; made if it is missing.
        tile: compute frames in squares of N pixels a side, for frames that are too large for the memory.
        options: the model and where it runs.
    """
    from magvit2.errors import InputError
    from magvit2.generating import embedded_language_models
    from magvit2.recipes.demo import run_demo
    from magvit2.video import probe

    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder")
    if source is not None:
        probe(source)
    tokenizer = load_tokenizer(options)
    lms = embedded_language_models(tokenizer)
    with progress_bars() as bar:
        report, files = run_demo(tokenizer, source, out, bar, tile=tile, lms=lms)
    shown = report if options.json else report | {f"written to {out}": ", ".join(path.name for path in files)}
    show("magvit2 demo", shown, options.json)
