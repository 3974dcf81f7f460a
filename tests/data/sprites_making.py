"""Small art for composed sprites: sheets of one colour, and one whose cells tell where they lie."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

ROWS, COLUMNS, CELL = 21, 13, 64


def plain_sheet(rgba: tuple[int, int, int, int]) -> UInt8[np.ndarray, "H W 4"]:
    """A sheet of one colour."""
    return np.full((ROWS * CELL, COLUMNS * CELL, 4), rgba, dtype=np.uint8)


def numbered_sheet() -> UInt8[np.ndarray, "H W 4"]:
    """An opaque sheet whose cells have their row as red and their column as green."""
    sheet = plain_sheet((0, 0, 0, 255))
    sheet[..., 0] = np.repeat(np.arange(ROWS), CELL)[:, None]
    sheet[..., 1] = np.repeat(np.arange(COLUMNS), CELL)
    return sheet


def write_art(folder: Path, num_hairs: int = 1) -> Path:
    """Write art of one numbered body and several hairs whose blue is their name; all else is transparent."""
    empty = plain_sheet((255, 255, 255, 0))
    sheets = {"body/0": numbered_sheet(), "bottomwear/0": empty, "topwear/0": empty, "shoes/1": empty}
    sheets |= {f"hair/{number}": plain_sheet((0, 0, number, 0 if number == 0 else 255)) for number in range(num_hairs)}
    for name, sheet in sheets.items():
        write_sheet(folder / f"{name}.png", sheet)
    return folder


def write_sheet(path: Path, sheet: UInt8[np.ndarray, "H W 4"]) -> None:
    """Write a sheet with its alpha."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path, compress_level=1)
