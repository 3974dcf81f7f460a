"""Perceptual losses: a frozen network's distance of decoded frames to their originals (MAGVIT-v2, section 3.1).

The paper's is the squared difference of a ResNet-50's logits. The others compare features, as LPIPS does. None of them
is a metric that is reported: the loss and the yardstick must differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import ConfigError
from magvit2.features import (
    NO_NETWORKS,
    FrameDistance,
    LogitDistance,
    load_lpips,
    load_resnet50_logits,
    load_resnet50_v2_distance,
)

PerceptualNetwork = Literal["none", "resnet50-logits", "resnet50v2", "lpips-alex", "lpips-vgg", "lpips-squeeze"]
Distance = FrameDistance | LogitDistance

_LOADERS: Final = MappingProxyType[str, Callable[[Path], Distance]](
    {
        "resnet50-logits": load_resnet50_logits,
        "resnet50v2": load_resnet50_v2_distance,
        "lpips-alex": partial(load_lpips, net="alex"),
        "lpips-vgg": partial(load_lpips, net="vgg"),
        "lpips-squeeze": partial(load_lpips, net="squeeze"),
    }
)


@dataclass(frozen=True)
class PerceptualWeights:
    """Which network, at what weight, and on how many frames of each clip, drawn anew at every step (0: all of them).

    `resnet50-logits` at 0.1 is the paper's; `resnet50v2` is a substitute. Raises ConfigError for what cannot be.
    """

    network: PerceptualNetwork = "none"
    weight: float = 0.1
    num_frames: int = 0

    def __post_init__(self) -> None:
        if self.weight < 0 or self.num_frames < 0:
            raise ConfigError(f"{self}: expected a weight and a number of frames of 0 or more")

    @property
    def is_used(self) -> bool:
        """Whether there is such a term."""
        return self.network != "none" and self.weight > 0


def open_perceptual(weights: PerceptualWeights, nets: Path | None) -> Distance | None:
    """Return the distance that `weights` names, from the folder of networks; None where there is no such term.

    Raises MissingNetworkError, which names the file, and FormatError for one that is not what it should be.
    """
    if not weights.is_used:
        return None
    return _LOADERS[weights.network](nets or NO_NETWORKS)


def pick_frames(num_clips: int, length: int, num_frames: int, rng: np.random.Generator) -> Int[Tensor, "{num_clips} _"]:
    """Return for each clip the frames that are looked at: `num_frames` different ones of `length`, or all (0)."""
    if not 0 < num_frames < length:
        return torch.arange(length).expand(num_clips, -1)
    return torch.from_numpy(np.stack([rng.choice(length, num_frames, replace=False) for _ in range(num_clips)]))


def perceptual_loss(
    distance: Distance,
    decoded: Float[Tensor, "b 3 T H W"],
    clips: Float[Tensor, "b 3 T H W"],
    frames: Int[Tensor, "b n"],
) -> Float[Tensor, ""]:
    """Return the mean distance over the `frames` of each clip; clips are in [-1, 1]."""
    index = frames.to(clips.device)[:, None, :, None, None].expand(-1, 3, -1, *clips.shape[3:])
    pairs = (x.gather(2, index).transpose(1, 2).flatten(0, 1) for x in (decoded, clips))
    return distance(*pairs).mean()
