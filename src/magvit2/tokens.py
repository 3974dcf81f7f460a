"""Tokens: the space that ids live in, and a clip's ids with everything needed to decode them.

An id is a mixed-radix number, least significant digit first (MAGVIT-v2, equation 4: the first channel is the least
significant bit). LFQ has radix 2 for every digit; other quantizers have their own.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Int
from torch import Tensor

from magvit2.errors import ConfigError, InputError
from magvit2.geometry import Size, grid_for, size_for


@dataclass(frozen=True)
class TokenSpace:
    """The set of ids of one tokenizer: digit radices (least significant first) and strides (t, h, w) in pixels.

    `is_causal` says that frame 0 has a latent of its own (`geometry`); the field's older, non-causal models have none.
    Raises ConfigError where a radix is below 2, a stride below 1, or the vocabulary does not fit into int64.
    """

    radices: tuple[int, ...]
    strides: Size
    is_causal: bool = True

    def __post_init__(self) -> None:
        if not self.radices or min(self.radices) < 2 or min(self.strides) < 1:
            raise ConfigError(f"token space {self}: expected radices of 2 or more and strides of 1 or more")
        if self.vocab_size > 2**62:
            raise ConfigError(f"a vocabulary of {self.vocab_size} ids does not fit into int64: use fewer digits")

    @property
    def vocab_size(self) -> int:
        """Number of distinct ids."""
        return math.prod(self.radices)

    @property
    def num_bits(self) -> int:
        """Number of bits of an id; only where every radix is 2 (raises InputError elsewhere)."""
        if any(radix != 2 for radix in self.radices):
            raise InputError(f"num_bits is defined where every radix is 2; this space has radices {self.radices}")
        return len(self.radices)

    @property
    def bits_per_pixel(self) -> float:
        """Raw rate in bits per pixel of a long clip: log2(vocab_size) over the pixels that one id covers."""
        return math.log2(self.vocab_size) / math.prod(self.strides)

    def grid_for(self, size: Size) -> Size:
        """Return the latent grid (t, h, w) that covers (T, H, W), rounding up. Raises InputError for sides below 1."""
        return grid_for(size, self.strides, is_causal=self.is_causal)

    def size_for(self, grid: Size) -> Size:
        """Return the size (T, H, W) that a grid (t, h, w) decodes to. Raises InputError for sides below 1."""
        return size_for(grid, self.strides, is_causal=self.is_causal)

    def valid_size(self, size: Size) -> Size:
        """Return the smallest size >= (T, H, W) that fills whole latent positions."""
        return self.size_for(self.grid_for(size))

    def latent_of(self, frame: int) -> int:
        """Return the index in time of the latent that covers a frame."""
        return -(-frame // self.strides[0]) if self.is_causal else frame // self.strides[0]

    def ids_to_digits(self, ids: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape k"]:
        """Split ids into their digits, least significant first. Raises InputError for ids outside the space."""
        self.check(ids)
        return _split(ids, self.radices)

    def digits_to_ids(self, digits: Int[Tensor, "*shape k"]) -> Int[Tensor, "*shape"]:
        """Join digits (least significant first) into ids; the inverse of `ids_to_digits`."""
        return _join(digits, self.radices)

    def factor_sizes(self, num_factors: int) -> tuple[int, ...]:
        """Return the sub-vocabulary of each factor: the digits cut into `num_factors` runs as equal as possible.

        2^18 with 2 factors is (512, 512): MAGVIT-v2's token factorisation. Raises InputError for an impossible count.
        """
        return tuple(math.prod(run) for run in self._runs(num_factors))

    def ids_to_factors(self, ids: Int[Tensor, "*shape"], num_factors: int) -> Int[Tensor, "*shape f"]:
        """Split ids into `num_factors` sub-ids, least significant first. Raises InputError for ids outside it."""
        self.check(ids)
        return _split(ids, self.factor_sizes(num_factors))

    def factors_to_ids(self, factors: Int[Tensor, "*shape f"]) -> Int[Tensor, "*shape"]:
        """Join sub-ids into ids; the inverse of `ids_to_factors`."""
        return _join(factors, self.factor_sizes(factors.shape[-1]))

    def check(self, ids: Int[Tensor, "*shape"]) -> None:
        """Raise InputError where an id lies outside 0 .. vocab_size - 1."""
        if ids.numel() == 0 or ids.is_meta:
            return
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            raise InputError(
                f"ids from {low} to {high}: expected 0 to {self.vocab_size - 1}; are they another model's?"
            )

    def _runs(self, num_factors: int) -> list[tuple[int, ...]]:
        count = len(self.radices)
        if not 1 <= num_factors <= count:
            raise InputError(f"num_factors = {num_factors}: expected 1 to {count}, the number of digits of an id")
        bounds = [round(i * count / num_factors) for i in range(num_factors + 1)]
        return [self.radices[a:b] for a, b in itertools.pairwise(bounds)]


@dataclass(frozen=True)
class Tokens:
    """One clip's ids with all that decoding needs; what travels in files, shards and bitstreams.

    `ids` int64 [t, h, w]; `size` the true (T, H, W) in frames and pixels before padding; `fps` frames per second, None
    for an image; `fingerprint` names the tokenizer that made the ids.
    """

    ids: Int[Tensor, "t h w"]
    space: TokenSpace
    size: Size
    fps: Fraction | None
    fingerprint: str

    @property
    def bits_per_pixel(self) -> float:
        """Raw bits of all ids over the clip's true number of pixels."""
        return self.ids.numel() * math.log2(self.space.vocab_size) / math.prod(self.size)


def _split(ids: Tensor, sizes: tuple[int, ...]) -> Tensor:
    parts = []
    rest = ids.long()
    for size in sizes:
        parts.append(rest % size)
        rest = rest // size
    return torch.stack(parts, dim=-1)


def _join(parts: Tensor, sizes: tuple[int, ...]) -> Tensor:
    if parts.shape[-1] != len(sizes):
        raise InputError(f"{parts.shape[-1]} digits on the last axis: expected {len(sizes)}")
    weights = [math.prod(sizes[:i]) for i in range(len(sizes))]
    return (parts.long() * torch.tensor(weights, dtype=torch.int64, device=parts.device)).sum(dim=-1)
