"""Mean perceptual distance over pairs of frames: LPIPS where its files are, and `psq`, which is not LPIPS."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.errors import InputError
from magvit2.features import FrameDistance
from magvit2.features.frozen import device_of
from magvit2.metrics.frames import check_pair

_PIXELS_PER_PASS = 1 << 20  # keeps activations of a batch at some hundred megabytes


class PerceptualDistance:
    """Mean over frames of a distance between 8-bit RGB frames at their own size; memory does not grow with frames."""

    def __init__(self, distance: FrameDistance) -> None:
        self._distance = distance
        self._total = 0.0
        self.num_frames = 0

    def add(self, frames: UInt8[np.ndarray, "n H W 3"], others: UInt8[np.ndarray, "n H W 3"]) -> None:
        """Count frames and what became of them, one by one.

        Raises InputError unless both are uint8 of one shape, and large enough for the network.
        """
        check_pair(frames, others, 4)
        step = max(1, _PIXELS_PER_PASS // math.prod(frames.shape[1:3]))
        for start in range(0, len(frames), step):
            one, two = self._images(frames[start : start + step]), self._images(others[start : start + step])
            with torch.inference_mode():
                self._total += float(self._distance(one, two).double().sum())
        self.num_frames += len(frames)

    def merge(self, other: "PerceptualDistance") -> None:
        """Count what another process has counted. Raises InputError where the protocols differ."""
        if other.protocol != self.protocol:
            raise InputError(f"merging {other.protocol!r} into {self.protocol!r}: expected one protocol")
        self._total += other._total
        self.num_frames += other.num_frames

    @property
    def value(self) -> float:
        """Mean distance over all frames, 0 or more; nan without frames."""
        return self._total / self.num_frames if self.num_frames else math.nan

    @property
    def name(self) -> str:
        """The distance's name: lpips-alex, lpips-vgg, lpips-squeeze or psq."""
        return self._distance.name

    @property
    def protocol(self) -> str:
        """Networks and digests, size of the frames, the mean."""
        return f"{self._distance.protocol}, 8-bit RGB, mean over frames"

    def _images(self, frames: UInt8[np.ndarray, "n H W 3"]) -> Float[Tensor, "n 3 H W"]:
        x = torch.from_numpy(np.ascontiguousarray(frames)).to(device_of(self._distance))
        return x.permute(0, 3, 1, 2).float() / 127.5 - 1
