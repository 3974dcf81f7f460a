"""Normalisations; those of causal models keep causality: their statistics never reach across frames.

`FrameGroupNorm` is the paper's, statistics over a whole frame. `PositionNorm` is ours: statistics over the channels of
one position, so that tiles, chunks, batches and single images agree exactly. `ClipGroupNorm` is the older, non-causal
models': statistics over all frames of a window. The adaptive forms follow the authors'
code: no affine of their own, scale and shift at every position from the codes (figure 7).
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.geometry import Size

NormKind = Literal["frame", "position", "clip"]

_MAX_GROUPS = 32
_EPS = 1e-6


class FrameGroupNorm(nn.Module):
    """GroupNorm over [b, c, t, h, w] with the statistics of one frame: 32 groups, or as many as divide c; eps 1e-6."""

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.groups = _num_groups(channels)
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Normalise every frame by itself."""
        frames = x.transpose(1, 2).flatten(0, 1)
        # Not functional.group_norm, which refuses an image of one latent position.
        frames = torch.group_norm(frames, self.groups, self.weight, self.bias, _EPS)
        return frames.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


class ClipGroupNorm(nn.Module):
    """GroupNorm over [b, c, t, h, w] with the statistics of a whole window of frames; eps 1e-6."""

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.groups = _num_groups(channels)
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Normalise every window by itself."""
        return torch.group_norm(x, self.groups, self.weight, self.bias, _EPS)


class PositionNorm(nn.Module):
    """LayerNorm over the channels of every position of [b, c, t, h, w]; eps 1e-6."""

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Normalise every position by itself."""
        last = x.permute(0, 2, 3, 4, 1)
        last = functional.layer_norm(last, (self.channels,), self.weight, self.bias, _EPS)
        return last.permute(0, 4, 1, 2, 3)


class AdaptiveNorm(nn.Module):
    """Normalise without an affine, then scale by 1 + gamma and shift by beta, both linear in the codes (AdaGN).

    Codes [b, k, t', h', w'] belong to the coarsest grid; gamma and beta are repeated onto the grid of x, which is
    `factors` (t, h, w) finer and relates to theirs by the causal frame rule. Initialised to gamma = beta = 0.
    """

    def __init__(self, channels: int, num_code_channels: int, kind: NormKind, factors: Size) -> None:
        super().__init__()
        self.factors = factors
        self.norm = make_norm(channels, kind, affine=False)
        self.affine = nn.Linear(num_code_channels, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Float[Tensor, "b c t h w"], codes: Float[Tensor, "b k u y x"]) -> Float[Tensor, "b c t h w"]:
        """Normalise x under the codes of its clip, or of its chunk."""
        time, rows, columns = self.factors
        affine = self.affine(codes.permute(0, 2, 3, 4, 1))  # b u y x 2c
        affine = affine.repeat_interleave(time, dim=1)[:, -x.shape[2] :]  # b t y x 2c, as in repeat_grid
        gamma, beta = affine[:, :, :, None, :, None].chunk(2, dim=-1)  # b t y 1 x 1 c: repeated while it is read
        y = self.norm(x).permute(0, 2, 3, 4, 1).unflatten(3, (-1, columns)).unflatten(2, (-1, rows))
        y = torch.addcmul(beta, y, 1 + gamma)  # b t y rows x columns c
        return y.flatten(4, 5).flatten(2, 3).permute(0, 4, 1, 2, 3)


def make_norm(channels: int, kind: NormKind, *, affine: bool = True) -> nn.Module:
    """Build the normalisation called `kind` for `channels`."""
    return {"frame": FrameGroupNorm, "position": PositionNorm, "clip": ClipGroupNorm}[kind](channels, affine=affine)


def _num_groups(channels: int) -> int:
    """Return 32, or the largest count below it that divides `channels`."""
    return next(groups for groups in range(min(_MAX_GROUPS, channels), 0, -1) if channels % groups == 0)


def repeat_grid(
    coarse: Float[Tensor, "b c u y x"], factors: Size, num_frames: int
) -> Float[Tensor, "b c {num_frames} h w"]:
    """Repeat every position by `factors` (t, h, w) (nearest) and keep the last `num_frames` frames.

    A clip of 1 + s(t - 1) frames so loses the first s - 1 copies of its first latent, and later chunks lose none.
    """
    time, rows, columns = factors
    batch, channels, t, h, w = coarse.shape
    last = coarse.permute(0, 2, 3, 4, 1).reshape(batch, t, 1, h, 1, w, 1, channels)
    last = last.expand(-1, -1, time, -1, rows, -1, columns, -1)
    last = last.reshape(batch, t * time, h * rows, w * columns, channels)
    return last.permute(0, 4, 1, 2, 3)[:, :, t * time - num_frames :]
