"""Distances between frames: PSNR and SSIM of 8-bit RGB, frame by frame."""

import math
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from magvit2.errors import InputError, MissingDependencyError
from magvit2.features.frozen import check_u8

MAX_PSNR_DB = 100.0
SSIM_WINDOW = 11
_BAND_PIXELS = 2**19
"""SSIM is computed band by band: some 25 float32 pictures of 3 channels are alive at once."""

Frame = UInt8[np.ndarray, "H W 3"]


@runtime_checkable
class Pair(Protocol):
    """A frame and its reconstruction."""

    @property
    def original(self) -> Frame:
        """The frame."""

    @property
    def decoded(self) -> Frame:
        """What became of it."""


P = TypeVar("P", bound=Pair)


def psnr(frame: Frame, other: Frame) -> float:
    """Return the peak signal-to-noise ratio in dB over all three channels; 100 dB at most, which equal frames have.

    Raises InputError unless both are uint8 [H, W, 3] of one size, as `ssim` does.
    """
    check_pair(frame, other)
    error = float(np.mean((frame.astype(np.float64) - other.astype(np.float64)) ** 2))
    return MAX_PSNR_DB if error == 0 else min(MAX_PSNR_DB, 10 * math.log10(255**2 / error))


def ssim(frame: Frame, other: Frame) -> float:
    """Return the structural similarity (Wang et al. 2004: 11x11 Gaussian window of sigma 1.5), mean over RGB.

    The mean is over all pixels, with mirrored ones beyond the border, as torchmetrics has it; Wang et al. and
    scikit-image leave out the 5 pixels along the border (a difference of some 0.001 at 128 pixels a side, 0.1 at 11).
    Frames smaller than the window have none: the result is nan. Raises MissingDependencyError without torchmetrics.
    """
    check_pair(frame, other)
    if min(frame.shape[:2]) < SSIM_WINDOW:
        return math.nan
    height, width = frame.shape[:2]
    band = max(1, _BAND_PIXELS // width)
    return sum(_ssim_sum(frame, other, top, min(top + band, height)) for top in range(0, height, band)) / frame.size


class FrameQuality:
    """Means of PSNR and SSIM over the frames of one clip; frames come in pairs, memory is constant."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._psnr = 0.0
        self._ssim = 0.0

    def add(self, frame: Frame, other: Frame) -> None:
        """Count one frame and its reconstruction. Raises as `psnr` and `ssim`, and then counts nothing."""
        values = psnr(frame, other), ssim(frame, other)
        self.num_frames += 1
        self._psnr += values[0]
        self._ssim += values[1]

    def watch(self, pairs: Iterable[P]) -> Iterator[P]:
        """Pass on pairs with the fields `original` and `decoded`, counting each."""
        for pair in pairs:
            self.add(pair.original, pair.decoded)
            yield pair

    @property
    def psnr(self) -> float:
        """Mean over frames of the frames' PSNR in dB (not the PSNR of the pooled error)."""
        return self._psnr / self.num_frames if self.num_frames else math.nan

    @property
    def ssim(self) -> float:
        """Mean over frames of SSIM; nan for frames under 11 pixels."""
        return self._ssim / self.num_frames if self.num_frames else math.nan


def check_pair(frames: UInt8[np.ndarray, "*_ H W 3"], others: UInt8[np.ndarray, "*_ H W 3"], num_axes: int = 3) -> None:
    """Raise InputError unless both are 8-bit RGB [H, W, 3], or [n, H, W, 3] for 4 axes, of one size, with a pixel."""
    check_u8(frames, num_axes)
    check_u8(others, num_axes)
    if frames.shape != others.shape:
        raise InputError(f"frames of shapes {frames.shape} and {others.shape}: expected the same size")


def _ssim_sum(frame: Frame, other: Frame, top: int, bottom: int) -> float:
    """Return the sum of SSIM over the values in rows `top` to `bottom`; rows beyond them are seen by their windows."""
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise MissingDependencyError("SSIM needs torchmetrics: pip install 'magvit2[metrics]'") from error
    first = max(0, top - SSIM_WINDOW // 2)
    seen = slice(first, bottom + SSIM_WINDOW // 2)
    _, similarity = structural_similarity_index_measure(
        _planes(frame[seen]), _planes(other[seen]), data_range=255.0, return_full_image=True
    )
    return float(similarity[..., top - first : bottom - first, :].sum(dtype=torch.float64))


def _planes(frame: Frame) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
