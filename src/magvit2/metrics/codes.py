"""How well a vocabulary is used: distinct ids, their entropy, and the entropy of every bit."""

import math
from collections.abc import Mapping
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import InputError
from magvit2.tokens import TokenSpace


class CodeUsage:
    """Counts ids of one token space as they come; memory grows with distinct ids, not with tokens."""

    def __init__(self, space: TokenSpace) -> None:
        self.space = space
        self._counts: dict[int, int] = {}

    def add(self, ids: Int[Tensor, "*shape"]) -> None:
        """Count the ids of one clip. Raises InputError for what is no integer, or outside the space."""
        if ids.is_floating_point():
            raise InputError(f"ids of {ids.dtype}: expected integers")
        values, counts = ids.flatten().unique(return_counts=True)
        self.space.check(values)
        self._count(values, counts)

    def merge(self, other: "CodeUsage") -> None:
        """Count what another one has counted, of another process, say. Raises InputError for another token space."""
        if other.space != self.space:
            raise InputError(f"merging ids of {other.space} into {self.space}: expected one token space")
        self._count(*other._table())

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all that it holds but the space: the distinct `ids` and how often each was seen."""
        ids, counts = self._table()
        return {"ids": ids, "counts": counts.long()}

    @classmethod
    def from_tensors(cls, space: TokenSpace, tensors: Mapping[str, Tensor]) -> Self:
        """Return what `to_tensors` has written. Raises InputError for other names, or ids outside the space."""
        if set(tensors) != {"ids", "counts"}:
            raise InputError(f"tensors {sorted(tensors)}: expected counts and ids")
        space.check(tensors["ids"])
        usage = cls(space)
        usage._count(tensors["ids"], tensors["counts"])
        return usage

    @property
    def num_tokens(self) -> int:
        """Number of ids counted."""
        return sum(self._counts.values())

    @property
    def num_distinct(self) -> int:
        """Number of different ids seen."""
        return len(self._counts)

    @property
    def usage(self) -> float:
        """Share of the vocabulary seen; at most num_tokens / vocab_size."""
        return self.num_distinct / self.space.vocab_size

    @property
    def entropy_bits(self) -> float:
        """Entropy of the ids' empirical distribution in bits; at most log2 of num_tokens, 0 for no ids."""
        return _entropy_bits(list(self._counts.values()))

    @property
    def bit_entropies(self) -> Float[Tensor, " k"]:
        """Entropy in bits of every bit of the ids, least significant first (spaces whose radices are all 2).

        Without ids they are nan.
        """
        assert self.space.num_bits
        return self.digit_entropies

    @property
    def digit_entropies(self) -> Float[Tensor, " k"]:
        """Entropy of every digit of the ids, least significant first, as a share (0 .. 1) of the most it can be.

        Of a bit, that is its entropy in bits. Without ids they are nan.
        """
        ids, counts = self._table()
        shares = counts / counts.sum()
        digits = self.space.ids_to_digits(ids).unbind(dim=1)
        return torch.stack(
            [_relative_entropy(digit, shares, radix) for digit, radix in zip(digits, self.space.radices, strict=True)]
        )

    def _count(self, values: Tensor, counts: Tensor) -> None:
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + int(count)

    def _table(self) -> tuple[Tensor, Tensor]:
        ids = torch.tensor(list(self._counts), dtype=torch.int64)
        return ids, torch.tensor(list(self._counts.values()), dtype=torch.float64)


def _relative_entropy(digits: Tensor, shares: Tensor, radix: int) -> Tensor:
    """Return the entropy of digits in 0 .. radix - 1 that have these shares, over log(radix)."""
    if not len(digits):
        return shares.new_tensor(math.nan)
    totals = shares.new_zeros(radix).index_add_(0, digits, shares)
    return torch.special.entr(totals).sum().clamp_min(0) / math.log(radix)


def _entropy_bits(counts: list[int]) -> float:
    total = sum(counts)
    return sum((count / total * math.log2(total / count) for count in counts), 0.0)
