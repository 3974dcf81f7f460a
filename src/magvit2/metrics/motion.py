"""`fd-mbv2` and `fd-mbv2-t`: Fréchet distances on the substitute MobileNetV2, of frames and of how clips move.

They stand in for FID and FVD where those networks are missing, under names of their own. `fd-mbv2` looks at frames one
by one: their order is nothing to it. `fd-mbv2-t` looks at how the frames' features go through a clip, in four
statistics of each of 32 projected features x_t:

- mean_t x: what is seen (at a quarter of its size, lest it drown the others);
- std_t x: how much it changes in all, 0 for a frozen clip;
- mean_t |x_(t+1) - x_t|: how fast, more for shuffled frames;
- mean_t w_t |x_(t+1) - x_t|, w_t from -1 to 1 along the clip (times 4): whether more happens later or earlier; its
  sign turns when a clip runs backwards.

The weights bring the four to one order of size on ARID and CCTV clips. The projection is Gaussian and fixed,
so that a covariance of 128 dimensions, not of 5,120, has to be known from the clips. Few clips still make every
distance large, that of two halves of real clips too: compare equal numbers of clips only.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.errors import InputError
from magvit2.features import FoundFile, MobileNetEmbedding, load_mobilenet_embedding
from magvit2.features.mobilenet import MobileNetV2, load_mobilenet
from magvit2.metrics.frechet import FrechetDistance
from magvit2.metrics.fvd import NUM_FRAMES, ClipDistance, Windows

SIZE: Final = 112
NUM_PROJECTED: Final = 32
_WEIGHTS: Final = (0.25, 1.0, 1.0, 4.0)


class MotionEmbedding:
    """Clips of `num_frames` frames to 128 motion statistics of MobileNetV2's features at 112 x 112."""

    name = "fd-mbv2-t"
    ddof = 1

    def __init__(self, network: MobileNetV2, file: FoundFile, num_frames: int = NUM_FRAMES) -> None:
        if num_frames < 3:
            raise InputError(f"num_frames = {num_frames}: motion expects 3 or more")
        self._embed_frames = MobileNetEmbedding(network, file, SIZE)
        self.num_frames = num_frames
        self.protocol = (
            f"{self.name}: {file.label}, {num_frames} frames, 8-bit RGB, bilinear antialiased to {SIZE}x{SIZE}, "
            f"1280-d pooled, fixed projection to {NUM_PROJECTED}, mean/std/speed/trend"
        )

    def __call__(self, items: UInt8[np.ndarray, "n T H W 3"]) -> Float[Tensor, "n d"]:
        """Return the statistics of clips. Raises InputError for another number of frames."""
        if items.shape[1] != self.num_frames:
            raise InputError(f"clips of {items.shape[1]} frames: {self.name} expects {self.num_frames}")
        features = torch.stack([self._embed_frames(clip) for clip in items])
        return motion_statistics(project(features))


def project(features: Float[Tensor, "n T d"], num_projected: int = NUM_PROJECTED) -> Float[Tensor, "n T p"]:
    """Return features under a fixed Gaussian projection, which keeps distances on average, in float64."""
    # RandomState's streams are frozen by NumPy's compatibility policy, those of default_rng are not.
    matrix = np.random.RandomState(0).standard_normal((features.shape[2], num_projected))
    return features.double() @ (torch.from_numpy(matrix) / num_projected**0.5)


def motion_statistics(features: Float[Tensor, "n T p"]) -> Float[Tensor, "n q"]:
    """Return weighted mean, standard deviation, speed and trend of speed of every feature: q = 4 p."""
    speed = features.diff(dim=1).abs()
    trend = torch.linspace(-1, 1, speed.shape[1], dtype=speed.dtype)[:, None]
    statistics = (
        features.mean(dim=1),
        features.std(dim=1, correction=0),
        speed.mean(dim=1),
        (speed * trend).mean(dim=1),
    )
    return torch.cat([weight * value for weight, value in zip(_WEIGHTS, statistics, strict=True)], dim=1)


def fd_mbv2(nets: Path, device: str | torch.device = "cpu") -> FrechetDistance:
    """Return an accumulator of `fd-mbv2` over frames [n, H, W, 3]. Raises MissingNetworkError, FormatError."""
    return FrechetDistance(load_mobilenet_embedding(nets, device))


def fd_mbv2_t(
    nets: Path, windows: Windows | None = None, num_folds: int = 1, device: str | torch.device = "cpu"
) -> ClipDistance:
    """Return an accumulator of `fd-mbv2-t` over clips [T, H, W, 3]. Raises MissingNetworkError, FormatError."""
    windows = windows or Windows()
    return ClipDistance(load_motion_embedding(nets, device, windows.num_frames), windows, num_folds)


def load_motion_embedding(
    nets: Path, device: str | torch.device = "cpu", num_frames: int = NUM_FRAMES
) -> MotionEmbedding:
    """Return `fd-mbv2-t`'s embedding. Raises MissingNetworkError, FormatError."""
    network, file = load_mobilenet(nets)
    return MotionEmbedding(network.to(device), file, num_frames)
