"""Frames in square tiles: what is too large for memory is computed one tile after another and put together again.

Where every position is normalised by itself, tiles are exact: each reads as far around it as its network looks
(`reach`), cut off at the frame's border, where the network pads a tile as it pads the frame. Of what it makes, only the
tile itself is kept. Where statistics come from the whole frame, no tile can know them: tiles then overlap, and latents
(of the encoder) or pixels (of the decoder) go over into each other by linear ramps whose weights sum to 1.

A frame in one piece is the case of one tile.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.reach import Span, decoder_halo, encoder_halo

OVERLAP = 1 / 8
"""How far a blended tile reaches into each of its neighbours, as a share of its side."""


@dataclass(frozen=True)
class Piece:
    """One tile along one axis: what it reads, which part of what it makes counts how much, and where that belongs."""

    reads: slice
    makes: slice
    place: slice
    weights: Tensor


class Tiles:
    """The tiles of a frame, on which networks work one at a time."""

    def __init__(self, rows: Sequence[Piece], columns: Sequence[Piece]) -> None:
        self._pieces = list(itertools.product(rows, columns))
        self._sides = rows[-1].place.stop, columns[-1].place.stop

    def __len__(self) -> int:
        return len(self._pieces)

    def map(self, x: Tensor, networks: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
        """Return what `networks`, one for each tile, make of the tiles of x [..., h, w], put together."""
        if len(self) == 1:
            return next(iter(networks))(x)
        whole: Tensor | None = None
        for (rows, columns), network in zip(self._pieces, networks, strict=False):
            made = network(x[..., rows.reads, columns.reads])
            whole = self._blank(made) if whole is None else whole
            weights = (rows.weights[:, None] * columns.weights).to(made)
            whole[..., rows.place, columns.place].addcmul_(made[..., rows.makes, columns.makes], weights)
        assert whole is not None
        return whole

    def _blank(self, made: Tensor) -> Tensor:
        """Return zeros for the whole, of the type of the first tile [b, c, t, h, w]."""
        size = (*made.shape[:-2], *self._sides)
        whole = torch.empty(size, dtype=made.dtype, device=made.device, memory_format=torch.channels_last_3d)
        return whole.zero_()


def encoder_tiles(config: TokenizerConfig, grid: Size, tile: int | None) -> Tiles:
    """Return the tiles, `tile` pixels a side, in which pixels become a grid (t, h, w) of latents; None: one tile.

    Raises InputError where `tile` is no multiple of the strides in space.
    """
    return _tiles(config, grid, tile, encoder_halo, reads=config.strides[1:], makes=(1, 1))


def decoder_tiles(config: TokenizerConfig, grid: Size, tile: int | None) -> Tiles:
    """Return the tiles, `tile` pixels a side, in which a grid (t, h, w) of latents becomes pixels; None: one tile.

    Raises InputError where `tile` is no multiple of the strides in space.
    """
    return _tiles(config, grid, tile, decoder_halo, reads=(1, 1), makes=config.strides[1:])


def cut(length: int, side: int, halo: Span, reads: int, makes: int) -> list[Piece]:
    """Return the tiles of `side` along `length` latent positions; for each it reads `reads` and makes `makes` others.

    A tile reads `halo` more on either side. Without a bound to it, tiles overlap by a share of their side.
    """
    ramp = math.ceil(side * OVERLAP) if None in halo else 0
    before, behind = (ramp if more is None else more for more in halo)
    pieces = []
    for start in range(0, length, side):
        stop = min(start + side, length)
        first, last = max(0, start - before), min(stop + behind, length)
        begin, end = max(0, start - ramp), min(stop + ramp, length)
        positions = (torch.arange(begin * makes, end * makes, dtype=torch.float64) + 0.5) / makes
        risen = _risen(positions, start, ramp) if start > 0 else torch.ones_like(positions)
        fallen = _risen(positions, stop, ramp) if stop < length else torch.zeros_like(positions)
        pieces.append(
            Piece(
                reads=slice(first * reads, last * reads),
                makes=slice((begin - first) * makes, (end - first) * makes),
                place=slice(begin * makes, end * makes),
                weights=risen - fallen,
            )
        )
    return pieces


def _risen(positions: Tensor, boundary: int, ramp: int) -> Tensor:
    """Return how much of the way from 0 to 1 is done at positions on a ramp around a boundary; a step where it is 0.

    No position is on a boundary: they are the middles of latents or pixels.
    """
    return ((positions - boundary) / (2 * ramp) + 0.5).clamp(0, 1)


def _tiles(
    config: TokenizerConfig,
    grid: Size,
    tile: int | None,
    halos_of: Callable[[TokenizerConfig], tuple[Span, Span]],
    reads: tuple[int, int],
    makes: tuple[int, int],
) -> Tiles:
    sides, halos = grid[1:], (Span(0, 0), Span(0, 0))
    if tile is not None:
        _check_tile(config, tile)
        sides, halos = (tile // config.strides[1], tile // config.strides[2]), halos_of(config)
    rows, columns = (cut(*axis) for axis in zip(grid[1:], sides, halos, reads, makes, strict=True))
    return Tiles(rows, columns)


def _check_tile(config: TokenizerConfig, tile: int) -> None:
    step = math.lcm(*config.strides[1:])
    if tile < 1 or tile % step:
        raise InputError(f"tile = {tile}: expected a multiple of {step} pixels, the side of a latent position")
