"""Multi-scale structural similarity, and the PSNR of a clip's pooled error, over pairs of 8-bit RGB frames.

MS-SSIM is Wang, Simoncelli and Bovik 2003 as `tf.image.ssim_multiscale` computes it (the paper's protocol): 11x11
Gaussian windows of sigma 1.5 that lie inside the picture, 2x2 means between scales (an odd last row or column is
repeated), negative terms cut to 0, each colour channel by itself, then their mean. torchmetrics has another convention
(mirrored borders, channels pooled before the product).
"""

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from magvit2.errors import InputError
from magvit2.metrics.frames import MAX_PSNR_DB, Frame, check_pair

MsSsimName = Literal["ms-ssim", "ms-ssim-3"]

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_FIVE = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WEIGHTS: dict[MsSsimName, tuple[float, ...]] = {
    "ms-ssim": _FIVE,
    "ms-ssim-3": tuple(weight / sum(_FIVE[:3]) for weight in _FIVE[:3]),
}

MS_SSIM_PROTOCOL = (
    "ms-ssim: 5 scales, valid 11x11 Gaussian windows, per RGB channel, mean over frames; ms-ssim-3 where the short "
    "side is under 176 pixels: the first 3 scales, weights rescaled to a sum of 1; none under 44 pixels"
)
POOLED_PSNR_PROTOCOL = "psnr_pooled_db: PSNR of the mean squared error over all frames of a clip, at most 100 dB"


def ms_ssim_name(height: int, width: int) -> MsSsimName | None:
    """Return which MS-SSIM frames of a size have: "ms-ssim" from 176 pixels on the short side, "ms-ssim-3" from 44."""
    short = min(height, width)
    return next((name for name, weights in _WEIGHTS.items() if short >= _min_side(weights)), None)


def ms_ssim(frame: Frame, other: Frame, name: MsSsimName = "ms-ssim") -> float:
    """Return the multi-scale structural similarity of two frames, 0 .. 1; equal frames have 1.

    nan where the short side is below what the scales need (176 pixels for five, 44 for three). Raises InputError unless
    both are uint8 [H, W, 3] of one size.
    """
    check_pair(frame, other)
    weights = _WEIGHTS[name]
    if min(frame.shape[:2]) < _min_side(weights):
        return math.nan
    x, y = _planes(frame), _planes(other)
    product = torch.ones(3, dtype=x.dtype)
    for index, weight in enumerate(weights):
        if index:
            x, y = _halve(x), _halve(y)
        similarity, contrast = _terms(x, y)
        term = similarity if index == len(weights) - 1 else contrast
        product *= term.clamp_min(0) ** weight
    return float(product.mean())


class MultiScaleSsim:
    """Mean of MS-SSIM over the frames of one clip, by the name that the frames' size gives; memory is constant."""

    def __init__(self) -> None:
        self.num_frames = 0
        self.name: MsSsimName | None = None
        self._size: tuple[int, ...] = ()
        self._sum = 0.0

    def add(self, frame: Frame, other: Frame) -> None:
        """Count one frame and its reconstruction. Raises InputError where a frame's size is not the first one's."""
        check_pair(frame, other)
        self._size = self._size or frame.shape
        if frame.shape != self._size:
            raise InputError(f"a frame of shape {frame.shape} after one of {self._size}: expected one size per clip")
        self.name = ms_ssim_name(*frame.shape[:2])
        self.num_frames += 1
        self._sum += math.nan if self.name is None else ms_ssim(frame, other, self.name)

    @property
    def mean(self) -> float:
        """Mean over frames; nan for no frames and for frames under 44 pixels. `name` says which MS-SSIM it is."""
        return self._sum / self.num_frames if self.num_frames else math.nan


class PooledPsnr:
    """PSNR of the error of a whole clip, pooled over its frames: what codecs report, and what one bad frame lowers."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._squared_error = 0
        self._num_values = 0

    def add(self, frame: Frame, other: Frame) -> None:
        """Count one frame and its reconstruction. Raises InputError unless both are uint8 [H, W, 3] of one size."""
        check_pair(frame, other)
        self.num_frames += 1
        self._num_values += frame.size
        self._squared_error += int(((frame.astype(np.int64) - other) ** 2).sum())

    @property
    def psnr(self) -> float:
        """PSNR in dB of the pooled mean squared error, 100 at most; never above the mean over frames; nan for none."""
        if not self._num_values:
            return math.nan
        if not self._squared_error:
            return MAX_PSNR_DB
        return min(MAX_PSNR_DB, 10 * math.log10(255**2 * self._num_values / self._squared_error))


def _min_side(weights: tuple[float, ...]) -> int:
    return int(_WINDOW * 2 ** (len(weights) - 1))


def _planes(frame: Frame) -> Float[Tensor, "3 1 H W"]:
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[:, None].double()


def _terms(x: Float[Tensor, "3 1 H W"], y: Float[Tensor, "3 1 H W"]) -> tuple[Tensor, Tensor]:
    """Return the mean structural similarity and the mean contrast-structure term of every channel."""
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variances = (mean_xx - mean_x**2) + (mean_yy - mean_y**2)
    contrast = (2 * (mean_xy - mean_x * mean_y) + _C2) / (variances + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _blur(x: Float[Tensor, "n 1 H W"]) -> Float[Tensor, "n 1 h w"]:
    """Weight by the Gaussian window, only where it lies inside."""
    window = _gaussian()
    return functional.conv2d(functional.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def _halve(x: Float[Tensor, "n 1 H W"]) -> Float[Tensor, "n 1 h w"]:
    padded = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    return functional.avg_pool2d(padded, 2)


@cache
def _gaussian() -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()
