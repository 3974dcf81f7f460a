"""Composes the Sprites video set from its art, as a source for training and evaluation.

    python -m magvit2.recipes.sprites --art FOLDER --out FOLDER [--characters N] [--seed S] [--frames T]

Each clip is a PNG of 64 x 64 frames side by side, `walk-left/BODY-BOTTOMWEAR-TOPWEAR-HAIR.png`; `index.csv` has its
split and its label. No character is in two splits. One core of a 2-core CPU writes 400 clips a second. The art,
folders of sheets of the Liberated Pixel Cup as in github.com/YingzhenLi/Sprites, is not shipped: CC-BY-SA 3.0 and GPL
3.0, which hold for the clips as well.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magvit2.data.items import INDEX_NAME, Split
from magvit2.data.sprites import LABELS, NUM_FRAMES, Art, Character, choose_characters, compose, load_art
from magvit2.errors import InputError, Magvit2Error, errors_as_output
from magvit2.video import write_image
from magvit2.video.atomic import replaced_on_success

_GROUP = "sprites"
_COLUMNS = ("path", "kind", "split", "label", "group", "frames")
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 failed, 130 interrupted."""
    given = _parser().parse_args(arguments)
    try:
        _run(given)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", 130)
    except Magvit2Error as error:
        return _fail(str(error), 1)
    return 0


def write_sprites(art: Art, characters: Sequence[Character], folder: Path, num_frames: int = NUM_FRAMES) -> None:
    """Write all actions of characters to a new folder, whole or not at all; the same art gives the same bytes.

    Raises InputError where the folder holds something, OutputError where it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; give the name of a new folder for the clips")
    with errors_as_output(folder), replaced_on_success(folder) as partial:
        for label in LABELS:
            (partial / label).mkdir(parents=True)
        actions = art.cut(num_frames)
        for character in characters:
            for label, frames in zip(LABELS, compose(actions.layers(character)), strict=True):
                write_image(partial / _path(character, label), np.concatenate(list(frames), axis=1))
        _write_index(partial / INDEX_NAME, characters, num_frames)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m magvit2.recipes.sprites", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--art", type=Path, required=True, help="folder of body, bottomwear, topwear, hair and shoes")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the clips and their index.csv")
    parser.add_argument("--characters", type=int, metavar="N", help="how many characters (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which ones --characters takes (default: 0)")
    parser.add_argument(
        "--frames",
        type=int,
        default=NUM_FRAMES,
        metavar="T",
        help="frames of a clip (default: 8, as in the original); above 8 the movement begins again, so 9 close it",
    )
    return parser


def _run(given: argparse.Namespace) -> None:
    art = load_art(given.art)
    characters = art.characters()
    counts = " x ".join(f"{len(sheets)} {part}" for part, sheets in art.parts.items())
    sys.stdout.write(f"{counts}: {len(characters)} characters\n")
    if given.characters is not None:
        characters = choose_characters(characters, given.characters, given.seed)
    write_sprites(art, characters, given.out, given.frames)
    sys.stdout.write(_summary(characters, given.out, given.frames))


def _path(character: Character, label: str) -> str:
    return f"{label}/{character.id}.png"


def _write_index(path: Path, characters: Sequence[Character], num_frames: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for character in characters:
            for label in LABELS:
                writer.writerow((_path(character, label), "strip", character.split, label, _GROUP, num_frames))


def _summary(characters: Sequence[Character], folder: Path, num_frames: int) -> str:
    """Return what was written, in words and as characters and clips of each split."""
    num_clips = len(characters) * len(LABELS)
    found = Counter(character.split for character in characters)
    splits = "\n".join(
        f"  {split:5} {found[split]:6} characters {found[split] * len(LABELS):6} clips" for split in _SPLITS
    )
    return f"{folder}: {num_clips} clips of {num_frames} frames, {len(LABELS)} actions a character\n{splits}\n"


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"magvit2: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
