"""The Sprites video set (Li and Mandt, arXiv:1803.02991), composed from sheets of the Liberated Pixel Cup.

A sheet is a PNG of 13 x 21 cells of 64 x 64 pixels, one movement and direction a row. Layers, order, background and
choice of cells are those of the original generator (random_character.py of github.com/YingzhenLi/Sprites): body,
bottomwear, topwear, hair and the second pair of shoes over black; the sheets of eyes are not used. It makes 8 frames of
every movement: the walk leaves out the standing cell and begins with its last one, the slash of 6 cells and the
spellcast of 7 repeat a cell on the way back. Its six sheets of a part are a subset of what is composed here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from magvit2.data.items import Split
from magvit2.errors import InputError
from magvit2.video.images import read_rgba

CELL = 64
"""Height and width of a frame in pixels."""

NUM_FRAMES = 8
"""Frames of a clip of the original set, after which a movement begins again."""

_SHEET_CELLS = (21, 13)
_PARTS = ("body", "bottomwear", "topwear", "hair")
_SHOES = Path("shoes", "1.png")
# First row of a movement on the sheet, and its cells in the order of the original set.
_MOVEMENTS = {
    "walk": (8, (8, 1, 2, 3, 4, 5, 6, 7)),
    "spellcast": (0, (0, 1, 2, 3, 4, 5, 4, 6)),
    "slash": (12, (0, 1, 2, 3, 4, 5, 4, 0)),
}
_DIRECTIONS = {"front": 2, "left": 1, "right": 3}  # rows after a movement's first one, which is seen from behind

LABELS = tuple(f"{movement}-{direction}" for movement, direction in product(_MOVEMENTS, _DIRECTIONS))
"""The nine actions: walk-front, walk-left, ..., slash-right."""

Layer = UInt8[np.ndarray, "... 4"]
"""RGBA: a sheet [1344, 832, 4], or its actions [9, T, 64, 64, 4]."""


class Character(NamedTuple):
    """What somebody wears: the names of four sheets, without their endings."""

    body: str
    bottomwear: str
    topwear: str
    hair: str

    @property
    def id(self) -> str:
        """The names with hyphens between them."""
        return "-".join(self)

    @property
    def split(self) -> Split:
        """Where all the character's actions belong, by SHA-256 of the id modulo 10: 0 val, 1 test, else train."""
        rest = int(hashlib.sha256(self.id.encode()).hexdigest(), 16) % 10
        return "val" if rest == 0 else "test" if rest == 1 else "train"


@dataclass(frozen=True)
class Art:
    """The layers of every part by their names, and the shoes that everybody wears."""

    parts: Mapping[str, Mapping[str, Layer]]
    shoes: Layer

    def characters(self) -> list[Character]:
        """Return all combinations, the hair changing first, names in natural order."""
        return [Character(*names) for names in product(*(self.parts[part] for part in _PARTS))]

    def layers(self, character: Character) -> list[Layer]:
        """Return what a character consists of, from the lowest layer to the uppermost one."""
        layers = [self.parts[part][name] for part, name in zip(_PARTS, character, strict=True)]
        return [*layers, self.shoes]

    def cut(self, num_frames: int = NUM_FRAMES) -> "Art":
        """Return art of sheets with the actions of LABELS [9, T, 64, 64, 4] in place of each sheet."""
        parts = {
            part: {name: _cut_actions(sheet, num_frames) for name, sheet in sheets.items()}
            for part, sheets in self.parts.items()
        }
        return Art(parts, _cut_actions(self.shoes, num_frames))


def load_art(folder: Path) -> Art:
    """Return the sheets of folders `body`, `bottomwear`, `topwear` and `hair`, and `shoes/1.png`.

    Raises InputError where one is missing, of another size or has a hyphen in its name; MediaError for a bad picture.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one of the sheets, with {', '.join(_PARTS)} and shoes")
    return Art({part: _load_part(folder / part) for part in _PARTS}, _load_sheet(folder / _SHOES))


def choose_characters(characters: Sequence[Character], count: int, seed: int = 0) -> list[Character]:
    """Return `count` characters in their order: those with the lowest SHA-256 of seed and id.

    So with one seed fewer characters are a part of more. Raises InputError where there are not as many.
    """
    if not 1 <= count <= len(characters):
        raise InputError(f"{count} characters: expected 1 to {len(characters)}, as many as the art has")
    ranks = sorted(characters, key=lambda character: hashlib.sha256(f"{seed} {character.id}".encode()).digest())
    chosen = set(ranks[:count])
    return [character for character in characters if character in chosen]


def compose(layers: Sequence[UInt8[np.ndarray, "*shape 4"]]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return RGBA layers, the lowest first, over black: colour x alpha + below x (1 - alpha), rounded at each layer."""
    below = np.zeros((layers[0][..., 0].size, 3), dtype=np.uint8)
    for layer in layers:
        seen = np.flatnonzero(layer[..., 3])  # a sixth of a sheet or less
        pixels = layer.reshape(-1, 4)[seen].astype(np.uint16)
        alpha = pixels[:, 3:]
        below[seen] = (pixels[:, :3] * alpha + below[seen] * (255 - alpha) + 127) // 255
    return below.reshape(*layers[0].shape[:-1], 3)


def cut_action(
    sheet: UInt8[np.ndarray, "H W c"], label: str, num_frames: int = NUM_FRAMES
) -> UInt8[np.ndarray, "T 64 64 c"]:
    """Return the frames of an action (one of LABELS) of a sheet; above 8 frames the movement begins again.

    Raises InputError for another label or fewer frames than one.
    """
    if label not in LABELS or num_frames < 1:
        raise InputError(f"{num_frames} frames of {label!r}: expected 1 or more of {', '.join(LABELS)}")
    movement, direction = label.split("-")
    first_row, order = _MOVEMENTS[movement]
    top = (first_row + _DIRECTIONS[direction]) * CELL
    row = sheet[top : top + CELL].reshape(CELL, -1, CELL, sheet.shape[-1]).swapaxes(0, 1)
    return row[[order[number % len(order)] for number in range(num_frames)]]


def _cut_actions(sheet: UInt8[np.ndarray, "H W 4"], num_frames: int) -> UInt8[np.ndarray, "a T 64 64 4"]:
    return np.stack([cut_action(sheet, label, num_frames) for label in LABELS])


def _load_part(folder: Path) -> dict[str, Layer]:
    paths = [path for path in folder.glob("*.png") if not path.name.startswith(".")]
    if not paths:
        raise InputError(f"{folder}: expected sheets 0.png, 1.png, ... there, found none; is it the folder of the art?")
    hyphened = next((path for path in paths if "-" in path.stem), None)
    if hyphened is not None:
        raise InputError(f"{hyphened}: a hyphen in the name; expected none, as it stands between the names in an id")
    return {path.stem: _load_sheet(path) for path in sorted(paths, key=lambda path: (len(path.stem), path.stem))}


def _load_sheet(path: Path) -> Layer:
    if not path.is_file():
        raise InputError(f"{path}: the sheet is missing; expected it in the folder of the art")
    sheet = read_rgba(path)
    height, width = (CELL * cells for cells in _SHEET_CELLS)
    if sheet.shape[:2] != (height, width):
        got = f"{sheet.shape[1]}x{sheet.shape[0]}"
        raise InputError(f"{path}: is {got}; expected a sheet of {width}x{height}, 13 x 21 cells of {CELL} pixels")
    return sheet
