"""Damage: whatever happened to a file, reading it ends in frames or in one line that names it."""

import random
from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import MediaError
from magvit2.video import VideoWriter, open_media, write_image

NUM_VARIANTS = 400


@pytest.mark.soak
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "picture.png", "picture.jpg", "picture.webp"])
def test_files_with_random_damage_give_frames_or_one_line(name: str, tmp_path: Path) -> None:
    whole = _make(tmp_path / name).read_bytes()
    chance = random.Random(name)
    target = tmp_path / f"damaged-{name}"
    refusals = []
    for _ in range(NUM_VARIANTS):
        target.write_bytes(_damaged(whole, chance))
        try:
            with open_media(target) as reader:
                assert all(frame.dtype == np.uint8 for frame in reader)
        except MediaError as error:
            refusals.append(str(error))
    assert all(str(target) in line and "\n" not in line for line in refusals)
    assert len(refusals) > NUM_VARIANTS // 10, "the damage was too slight to test anything"


def _make(path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 255, (9, 48, 64, 3), dtype=np.uint8)
    if path.stem == "picture":
        write_image(path, frames[0])
        return path
    with VideoWriter(path, fps=25) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut the file short, overwrite some of its bytes, or drop a piece from its middle."""
    kind = chance.choice(["cut", "overwrite", "drop"])
    place = chance.randrange(len(whole))
    if kind == "cut":
        return whole[:place]
    if kind == "drop":
        return whole[:place] + whole[place + chance.randrange(1, 200) :]
    content = bytearray(whole)
    for _ in range(chance.randrange(1, 60)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)
