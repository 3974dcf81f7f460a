"""Rotary positions: pairs of a head's channels turn by an angle that grows with the position (arXiv 2104.09864).

A token may have several coordinates, such as (t, h, w): each turns its own share of the pairs. Channel i of a head is
paired with channel i + d / 2, as in Llama's checkpoints.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import ConfigError
from magvit2.geometry import Size


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of n tokens' angles, for every channel of a head."""

    cos: Float[Tensor, "n d"]
    sin: Float[Tensor, "n d"]

    def at(self, tokens: slice) -> "Rotation":
        """Return the rotation of a run of the tokens."""
        return Rotation(self.cos[tokens], self.sin[tokens])

    def to(self, device: torch.device) -> "Rotation":
        """Return it on a device."""
        return Rotation(self.cos.to(device), self.sin.to(device))


def grid_positions(grid: Size) -> Int[Tensor, "n 3"]:
    """Return the coordinates (t, h, w) of a grid's positions in raster order."""
    return torch.tensor(list(itertools.product(*(range(side) for side in grid))))


@torch.inference_mode(False)  # it is kept and used again, also where there are gradients
def rotation(positions: Int[Tensor, "n axes"], head_width: int, base: float) -> Rotation:
    """Return the rotation of tokens at integer positions; the lowest frequency of an axis is about 1 / `base`.

    The pairs are shared evenly by the axes, the first ones taking one less where that does not come out. Raises
    ConfigError for a head too narrow for that, or of odd width.
    """
    num_pairs, num_axes = head_width // 2, positions.shape[1]
    if head_width % 2 or num_pairs < num_axes:
        raise ConfigError(f"heads of {head_width} channels: expected an even number, {2 * num_axes} or more")
    shares = [(num_pairs + axis) // num_axes for axis in range(num_axes)]
    angles = torch.cat([_angles(positions[:, axis], share, base) for axis, share in enumerate(shares)], dim=1)
    both = torch.cat([angles, angles], dim=1)
    return Rotation(both.cos(), both.sin())


def rotate(x: Float[Tensor, "*b heads n d"], turn: Rotation) -> Float[Tensor, "*b heads n d"]:
    """Turn every head's channels by its token's angles."""
    first, second = x.chunk(2, dim=-1)
    return x * turn.cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * turn.sin.to(x.dtype)


def _angles(positions: Tensor, num_pairs: int, base: float) -> Tensor:
    frequencies = base ** -(torch.arange(num_pairs, dtype=torch.float32) / num_pairs)
    return positions.float()[:, None] * frequencies
