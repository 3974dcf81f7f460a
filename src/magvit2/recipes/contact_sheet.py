"""The contact sheet: originals, their tokens as colours, and what the tokens decode to, frame above frame."""

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from magvit2.data.frames import resize
from magvit2.pipelines import FramePair
from magvit2.tokens import Tokens, TokenSpace

Picture = UInt8[np.ndarray, "_ _ 3"]

COLUMNS = 6
_WIDTH = 256
_GAP = 4


def pick_frames(tokens: Tokens, columns: int = COLUMNS) -> list[int]:
    """Return the indices of at most `columns` frames, evenly spaced from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, tokens.size[0] - 1, columns)})


def contact_sheet(pairs: list[FramePair], tokens: Tokens) -> Picture:
    """Return a picture with a column for each of `pairs`, the frames that `pick_frames` chose.

    Rows: the original, the ids that cover it, the reconstruction.
    """
    columns = []
    for index, pair in zip(pick_frames(tokens), pairs, strict=True):
        latent = tokens.space.latent_of(index)
        ids = token_picture(tokens.ids[latent], tokens.space)
        grown = ids.repeat(tokens.space.strides[1], axis=0).repeat(tokens.space.strides[2], axis=1)
        cropped = grown[: pair.original.shape[0], : pair.original.shape[1]]
        columns.append(_stacked([pair.original, cropped, pair.decoded]))
    return _joined(columns, axis=1)


def token_picture(ids: Int[Tensor, "h w"], space: TokenSpace) -> Picture:
    """Return ids as colours, one pixel each: the low, middle and high third of their digits are red, green and blue."""
    factors = space.ids_to_factors(ids, min(3, len(space.radices)))
    sizes = torch.tensor(space.factor_sizes(factors.shape[-1]))
    levels = (factors * 255 // (sizes - 1).clamp_min(1)).byte()
    picture = torch.zeros(*ids.shape, 3, dtype=torch.uint8)
    picture[..., : levels.shape[-1]] = levels
    return picture.numpy()


def _stacked(frames: list[Picture]) -> Picture:
    height, width = frames[0].shape[:2]
    scale = min(1.0, _WIDTH / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return _joined([resize(np.ascontiguousarray(frame)[None], *size)[0] for frame in frames], axis=0)


def _joined(pictures: list[Picture], axis: int) -> Picture:
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(parts, axis=axis)
