"""Samples of a run: clips of a batch above what became of them, as a picture and, where they move, as a video."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.data.frames import Frames, to_frames
from magvit2.video import VideoWriter

MAX_CLIPS = 8
FPS = 8
_LEAST_S = 3
_FIRST = 50


def is_sampled(num_done: int, every: int) -> bool:
    """Whether there are samples after so many steps: after every `every`-th.

    Before the first of those also after 1, 50, 100, 200, 400 and so on: a new run shows something at once.
    """
    times = num_done / _FIRST
    is_early = num_done == 1 or (times.is_integer() and int(times).bit_count() == 1)
    return num_done % every == 0 or (num_done < every and is_early)


def moving_sheet(
    originals: Float[Tensor, "b 3 T H W"], decoded: Float[Tensor, "b 3 T H W"]
) -> UInt8[np.ndarray, "T Y X 3"]:
    """Return clips in [-1, 1] side by side, the originals above what was decoded, as 8-bit frames."""
    rows = torch.cat([originals, decoded.clamp(-1, 1).to(originals)], dim=3)
    return to_frames(torch.cat(list(rows), dim=3))


def still_sheet(sheet: UInt8[np.ndarray, "T Y X 3"], num_clips: int) -> UInt8[np.ndarray, "Y Z 3"]:
    """Return a moving sheet as one picture: of each clip its first, middle and last frame, side by side."""
    last = len(sheet) - 1
    picks = sorted({0, last // 2, last})
    columns = [frame for clip in np.split(sheet, num_clips, axis=2) for frame in clip[picks]]
    return np.concatenate(columns, axis=1)


def write_video(path: Path, sheet: Frames) -> None:
    """Write a moving sheet at 8 frames a second, again and again until it lasts three seconds.

    Raises MissingDependencyError where PyAV is not there.
    """
    with VideoWriter(path, fps=FPS) as writer:
        for frame in _repeated(sheet):
            writer.write(frame)


def _repeated(sheet: Frames) -> Iterator[UInt8[np.ndarray, "Y X 3"]]:
    times = -(-_LEAST_S * FPS // len(sheet))
    for _ in range(times):
        yield from sheet
