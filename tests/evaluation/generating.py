"""Samples, references and networks that are known through and through, for comparisons of a second."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from magvit2.data.items import find_items
from magvit2.evaluation.generation import GenerationBench, GenerationPanel, GenerationSetup, describe_generation
from magvit2.evaluation.generation_results import Score, compute_scores
from magvit2.evaluation.running import run
from magvit2.evaluation.sides import Match, Side, SideName, match_sides
from magvit2.evaluation.tally import Tally
from magvit2.metrics.fvd import Windows
from tests.evaluation.making import clip_item


class Colour:
    """Frames to their mean colour and its square: 6 numbers."""

    name = "fd-colour"
    protocol = "mean colour"
    ddof = 1
    num_frames = 1

    def __call__(self, items: np.ndarray) -> Tensor:
        colours = torch.from_numpy(items.reshape(len(items), -1, 3).mean(axis=1))
        return torch.cat([colours, colours**2 / 255], dim=1)


class Change:
    """Clips of 16 frames to what changes: mean absolute differences in time, in space and over both, by channel."""

    name = "fd-change"
    protocol = "change of colour"
    ddof = 0
    num_frames = 16

    def __call__(self, items: np.ndarray) -> Tensor:
        x = torch.from_numpy(items.astype(np.float64))
        steps = (x.diff(dim=1), x.diff(dim=3))
        return torch.cat([step.abs().mean(dim=(1, 2, 3)) for step in steps], dim=1)


class StubI3D(nn.Module):
    """400 numbers of the frames' means and of their changes."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features
        means = x.mean(dim=[3, 4]).flatten(1)
        rough = (x[..., 1:] - x[..., :-1]).abs().mean(dim=[3, 4]).flatten(1)
        return torch.cat([means, rough], dim=1).repeat(1, 5)[:, :400]


class StubInception(nn.Module):
    """Features are pixels, probabilities a softmax of the channels' means."""

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        if return_features:
            return img.flatten(1).float().repeat(1, 2048)[:, :2048]
        assert no_output_bias
        return torch.softmax(img.float().mean(dim=[2, 3]) / 10, dim=1)


def save_networks(folder: Path) -> Path:
    """Write stub archives under the names of I3D's and Inception's; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(StubI3D()).save(str(folder / "i3d_torchscript.pt"))
    torch.jit.script(StubInception()).save(str(folder / "inception-2015-12-05.pt"))
    return folder


@dataclass(frozen=True)
class StubSetup(GenerationSetup):
    """Known features beside those of the archives in `nets`, if any; `together` windows at once, on a CPU too."""

    together: int = 1

    def open(self) -> GenerationBench:
        classes = super().open().panel.classes if self.nets else None
        panel = GenerationPanel((Change(), Colour()), classes)
        return GenerationBench(panel, self.windows, self.size, self.num_folds, self.together)


def side(name: SideName, folder: Path) -> Side:
    return Side(name, folder, tuple(find_items(folder)), "all")


def matched(samples: Path, reference: Path, size: int | None = None, windows: Windows | None = None) -> Match:
    return match_sides(side("samples", samples), side("reference", reference), windows or Windows(), size)


def compared(
    setup: GenerationSetup, samples: Path, reference: Path, out: Path | None = None, **options: object
) -> tuple[dict[str, Score], Tally]:
    """Return scores by name, and the tally."""
    bench = setup.open()
    sides = side("samples", samples), side("reference", reference)
    match = match_sides(*sides, setup.windows, setup.size)
    settings = describe_generation(setup, bench, *sides)
    tally = run(setup, bench, match.entries, settings, out, save_every_s=0, **options)  # type: ignore[arg-type]
    assert [record.index for record in tally.records] == list(range(len(match.entries)))
    return {score.name: score for score in compute_scores(tally, bench.panel, setup.num_folds)}, tally


def values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: value for score in scores.values() for name, value in score.results}


def moving(seed: int, num_frames: int = 16, side: int = 16) -> np.ndarray:
    """A clip [T, side, side, 3] of blocks that drift in colour, each seed another one."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(40, 200, (side // 4, side // 4, 3)).repeat(4, axis=0).repeat(4, axis=1)
    drift = rng.uniform(-3, 3, 3) * np.arange(num_frames)[:, None, None, None]
    return np.clip(blocks + drift, 0, 255).astype(np.uint8)


def noisy(frames: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """Frames with Gaussian noise of so many grey levels."""
    noise = np.random.default_rng(seed).normal(0, sigma, frames.shape) if sigma else 0
    return np.clip(np.round(frames + noise), 0, 255).astype(np.uint8)


def save_clips(folder: Path, clips: list[np.ndarray]) -> Path:
    for number, clip in enumerate(clips):
        clip_item(folder, f"{number:03d}", clip)
    return folder
