"""Contenders, metrics and sources that are known through and through, for evaluations of a second."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from magvit2.evaluation.contenders import FloorContender, Outcome, TokenizerContender
from magvit2.evaluation.reconstruction import Bench
from magvit2.evaluation.running import Setup
from magvit2.evaluation.scores import Panel, SetMetric, open_panel
from magvit2.pipelines import write_frames
from magvit2.tokens import TokenSpace
from magvit2.video import write_image
from tests.tiny import tiny_tokenizer
from tests.video.making import scene

SPACE = TokenSpace(radices=(2,) * 6, strides=(4, 8, 8))


class Brighter:
    """Makes every frame brighter by the next of `gaps` (0 when they run out); its ids are the next of `ids`."""

    protocol = "brighter"
    space: TokenSpace | None = SPACE

    def __init__(self, gaps: Iterable[int] = (), ids: Iterable[int] = (), name: str = "model") -> None:
        self.name = name
        self._gaps, self._ids = iter(list(gaps)), iter(list(ids))

    def code(self, clips: Sequence[np.ndarray], fps: Sequence[Fraction]) -> list[Outcome]:
        return [self._one(clip) for clip in clips]

    def _one(self, clip: np.ndarray) -> Outcome:
        gaps = np.array([next(self._gaps, 0) for _ in clip])[:, None, None, None]
        grid = SPACE.grid_for((clip.shape[0], clip.shape[1], clip.shape[2]))
        ids = torch.tensor([next(self._ids, 0) for _ in range(int(np.prod(grid)))]).reshape(grid)
        return Outcome(np.clip(clip + gaps, 0, 255).astype(np.uint8), float(ids.numel() * 6), "raw", ids)


def means_of_frames(frames: np.ndarray) -> torch.Tensor:
    """A feature of each frame: its mean colour."""
    return torch.from_numpy(frames.reshape(len(frames), -1, 3).mean(axis=1))


def changes_of_clip(frames: np.ndarray) -> torch.Tensor | None:
    """One feature vector of a clip of 3 frames or more: how its colour changes over the first 3."""
    return means_of_frames(frames[:3]).diff(dim=0).reshape(1, -1) if len(frames) >= 3 else None


def panel_with_sets() -> Panel:
    """What needs no network, and two distances of known features."""
    known = open_panel(("psnr", "ssim", "ms_ssim"))
    sets = (
        SetMetric("fd-colour", "mean colour", 1, means_of_frames),
        SetMetric("fd-change", "change of colour", 1, changes_of_clip),
    )
    return Panel(known.pairs, sets)


@dataclass(frozen=True)
class TinySetup(Setup):
    """A tiny tokenizer, the floor, and features that need no network."""

    def open(self) -> Bench:
        tokenizer = tiny_tokenizer()
        contenders = (TokenizerContender("tiny", tokenizer), FloorContender(tokenizer.space))
        return Bench(contenders, panel_with_sets(), self.max_frames, self.size, self.batch_size)


def flat(num_frames: int, height: int = 16, width: int = 16, level: int = 100) -> np.ndarray:
    return np.full((num_frames, height, width, 3), level, np.uint8)


def clip_item(folder: Path, name: str, frames: np.ndarray) -> None:
    path = folder / f"{name}.mkv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frames(path, iter(frames), Fraction(25), lossless=True)


def mixed_source(folder: Path) -> Path:
    """Seven clips of two shapes in two groups and three photographs."""
    for number in range(7):
        shape = (24, 32) if number % 3 else (17, 16)
        clip_item(folder, f"{'ab'[number % 2]}/{number}", scene(2 + number % 4, *shape) + np.uint8(number))
    for number in range(3):
        write_image(folder / "b" / f"photo{number}.png", scene(1, 48 + number, 50)[0] + np.uint8(number))
    return folder
