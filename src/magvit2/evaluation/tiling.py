"""What tiles cost in quality: a clip computed in tiles against the same clip in one piece.

Where norms are per position there is nothing to see but rounding. Where statistics come from the whole frame, ids
differ, and so do pixels, most of all where one tile goes over into the next.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magvit2.tokenizer import Tokenizer
from magvit2.tokenizer.tiling import OVERLAP

Result = tuple[str, float]


def compare_tiles(tokenizer: Tokenizer, clips: Float[Tensor, "b 3 T H W"], tile: int) -> Iterator[Result]:
    """Yield (name, value) for clips in tiles of `tile` pixels a side against whole frames; both must fit into memory.

    `ids_different` is a share. `psnr_db` compares the two decodes, each of its own ids, and `decoder_psnr_db` two
    decodes of the same ids (the whole frames'); infinite where they are equal. `near_seams` and `elsewhere` are mean
    absolute differences of the former two, in grey levels of 255: within an eighth of a tile of its border, and further
    away; nan where there is no such place. Raises InputError for a tile that does not fill latent positions.
    """
    size = (clips.shape[2], clips.shape[3], clips.shape[4])
    ids, tiled_ids = (tokenizer.encode(clips, tile=side) for side in (None, tile))
    yield "ids_different", float((tiled_ids != ids).double().mean())
    whole, tiled = tokenizer.decode(ids, size), tokenizer.decode(tiled_ids, size, tile=tile)
    yield "psnr_db", _psnr(tiled, whole)
    yield "decoder_psnr_db", _psnr(tokenizer.decode(ids, size, tile=tile), whole)
    levels = (tiled - whole).abs() * 127.5
    is_near = near_seams(size[1], size[2], tile).to(levels.device)
    yield "near_seams", _mean(levels[..., is_near])
    yield "elsewhere", _mean(levels[..., ~is_near])


def near_seams(height: int, width: int, tile: int) -> Bool[Tensor, "{height} {width}"]:
    """Return which pixels of a frame lie within an eighth of a tile of a border between two tiles."""
    rows, columns = (_near_multiples(length, tile) for length in (height, width))
    return rows[:, None] | columns


def _near_multiples(length: int, tile: int) -> Tensor:
    seams = torch.tensor(range(tile, length, tile))
    middles = torch.arange(length) + 0.5
    return ((middles[:, None] - seams).abs() < tile * OVERLAP).any(dim=1)


def _psnr(clips: Tensor, others: Tensor) -> float:
    """Return the PSNR in dB of clips in [-1, 1], not rounded to 8 bits."""
    error = float((clips.double() - others.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(4 / error)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
