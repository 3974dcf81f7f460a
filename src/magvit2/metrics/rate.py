"""What ids cost: raw bits, their zero-order entropy, and an adaptive binary coder's ideal code length.

The adaptive number is what arithmetic coding with Krichevsky-Trofimov estimates would spend: every id becomes bits
(digit by digit, each digit from its most significant bit), and a bit is predicted from how often it was 0 and 1 before
where the same bit of the ids before it in time, above and to the left was the same (0 where there is none) and so were
the digit's higher bits. The length of a KT code depends on the counts alone, so nothing is coded and order does not
matter:
-log2 of G(zeros + 1/2) G(ones + 1/2) / (pi G(zeros + ones + 1)).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from magvit2.errors import InputError
from magvit2.metrics.codes import CodeUsage
from magvit2.tokens import TokenSpace

RATE_PROTOCOL = (
    "raw: log2(vocabulary) an id; zero-order: empirical entropy of the ids, without the cost of its table (too low for "
    "few ids); adaptive: ideal length of a binary KT coder, contexts previous, upper, left id, counts kept over clips"
)

_NUM_CONTEXTS = 8  # three neighbours' bits


class IdRate:
    """Bits that clips of ids cost by three estimates; add clips one by one, and read totals, bits per pixel or an id.

    Counts go on from clip to clip: one accumulator for each clip gives what each costs by itself, learning included.
    """

    def __init__(self, space: TokenSpace) -> None:
        self.space = space
        self.num_pixels = 0
        self._usage = CodeUsage(space)
        self._counts: dict[tuple[int, int], Int[Tensor, "contexts 2"]] = {}

    def add(self, ids: Int[Tensor, "t h w"], num_pixels: int) -> None:
        """Count the ids of one clip, which stand for `num_pixels` pixels (frames x height x width).

        Raises InputError for ids that are no integers [t, h, w] of the space, and for no pixels.
        """
        if ids.ndim != 3 or ids.is_floating_point() or num_pixels < 1:
            given = f"ids {list(ids.shape)} of {ids.dtype}, for {num_pixels} pixels"
            raise InputError(f"{given}: expected integers [t, h, w] of one clip, for one pixel or more")
        digits = self.space.ids_to_digits(ids.cpu())
        self.num_pixels += num_pixels
        self._usage.add(ids)
        for digit, radix in enumerate(self.space.radices):
            for level, bits, prefix in _bit_planes(digits[..., digit], radix):
                self._count(digit, level, bits, prefix)

    def merge(self, other: "IdRate") -> None:
        """Count what another one has counted, of another process, say. Raises InputError for another token space."""
        self._usage.merge(other._usage)
        self.num_pixels += other.num_pixels
        for key, counts in other._counts.items():
            self._counts[key] = self._counts.get(key, torch.zeros_like(counts)) + counts

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all that it holds but the space, to be sent to another process or kept in a file."""
        planes = {f"plane {digit} {level}": counts for (digit, level), counts in self._counts.items()}
        return {"num_pixels": torch.tensor(self.num_pixels), **self._usage.to_tensors(), **planes}

    @classmethod
    def from_tensors(cls, space: TokenSpace, tensors: Mapping[str, Tensor]) -> Self:
        """Return what `to_tensors` has written. Raises InputError for other names, or ids outside the space."""
        rate, rest = cls(space), dict(tensors)
        if "num_pixels" not in rest:
            raise InputError(f"tensors {sorted(rest)}: expected num_pixels, counts, ids and planes")
        rate.num_pixels = int(rest.pop("num_pixels"))
        planes = {name: rest.pop(name) for name in sorted(rest) if name.startswith("plane ")}
        rate._usage = CodeUsage.from_tensors(space, rest)
        for name, counts in planes.items():
            _, digit, level = name.split()
            rate._counts[int(digit), int(level)] = counts.clone()
        return rate

    @property
    def usage(self) -> CodeUsage:
        """How often each id was seen."""
        return self._usage

    @property
    def num_tokens(self) -> int:
        """Number of ids counted."""
        return self._usage.num_tokens

    @property
    def raw_bits(self) -> float:
        """Bits of ids written with equal lengths: log2 of the vocabulary each."""
        return self.num_tokens * math.log2(self.space.vocab_size)

    @property
    def zero_order_bits(self) -> float:
        """Bits at the entropy of the ids' empirical distribution, which a decoder would have to know."""
        return self.num_tokens * self._usage.entropy_bits

    @property
    def adaptive_bits(self) -> float:
        """Bits of an adaptive binary coder, which needs to know nothing."""
        return math.fsum(_kt_bits(counts) for counts in self._counts.values())

    @property
    def perplexity(self) -> float:
        """2 to the entropy of the ids: the size of a vocabulary that, used evenly, would cost the same; 1 for none."""
        return float(2**self._usage.entropy_bits)

    def per_pixel(self, bits: float) -> float:
        """Return bits over all pixels; nan before the first clip."""
        return bits / self.num_pixels if self.num_pixels else math.nan

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield (name, value): bits per pixel by each estimate, and the perplexity."""
        yield "raw_bits_per_pixel", self.per_pixel(self.raw_bits)
        yield "zero_order_bits_per_pixel", self.per_pixel(self.zero_order_bits)
        yield "adaptive_bits_per_pixel", self.per_pixel(self.adaptive_bits)
        yield "id_perplexity", self.perplexity

    def _count(self, digit: int, level: int, bits: Tensor, prefix: Tensor) -> None:
        """Count zeros and ones of one bit of a digit in each of its contexts."""
        num_contexts = _NUM_CONTEXTS << level
        context = prefix * _NUM_CONTEXTS + _neighbours(bits)
        index = (context * 2 + bits).flatten()
        counts = torch.bincount(index, minlength=2 * num_contexts).view(num_contexts, 2)
        self._counts[digit, level] = self._counts.get((digit, level), torch.zeros_like(counts)) + counts


def _bit_planes(digits: Int[Tensor, "t h w"], radix: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (level, bits, the digits' higher bits) from the most significant bit of a digit on."""
    num_bits = (radix - 1).bit_length()
    for level in range(num_bits):
        rest = digits >> (num_bits - 1 - level)
        yield level, rest & 1, rest >> 1


def _neighbours(bits: Int[Tensor, "t h w"]) -> Int[Tensor, "t h w"]:
    """Return 4 x the bit before in time + 2 x the one above + the one to the left; outside the clip they are 0."""
    padded = functional.pad(bits, (1, 0, 1, 0, 1, 0))
    return 4 * padded[:-1, 1:, 1:] + 2 * padded[1:, :-1, 1:] + padded[1:, 1:, :-1]


def _kt_bits(counts: Int[Tensor, "contexts 2"]) -> float:
    """Return the code length in bits of counts (zeros, ones) of each context."""
    x = counts.double()
    nats = math.log(math.pi) + torch.lgamma(x.sum(dim=1) + 1) - torch.lgamma(x + 0.5).sum(dim=1)
    return float(nats.clamp_min(0).sum()) / math.log(2)
