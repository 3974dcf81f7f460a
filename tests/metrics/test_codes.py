"""How well a vocabulary is used, against plain NumPy."""

import math

import numpy as np
import pytest
import torch

from magvit2.errors import InputError
from magvit2.metrics import CodeUsage
from magvit2.tokens import TokenSpace

SPACE = TokenSpace(radices=(2,) * 6, strides=(4, 8, 8))


def counted(ids: np.ndarray, space: TokenSpace = SPACE, num_parts: int = 3) -> CodeUsage:
    usage = CodeUsage(space)
    for part in np.array_split(ids, num_parts):
        usage.add(torch.from_numpy(part))
    return usage


def entropy_bits(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log2(positive)).sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_ids_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.geometric(0.1, (12, 5, 7)), 63)
    usage = counted(ids)
    counts = np.bincount(ids.ravel(), minlength=64)
    ones = [float((ids >> bit & 1).mean()) for bit in range(6)]
    assert usage.num_tokens == 12 * 5 * 7
    assert usage.num_distinct == np.unique(ids).size
    assert usage.usage == np.unique(ids).size / 64
    assert usage.entropy_bits == pytest.approx(entropy_bits(counts / ids.size))
    assert usage.bit_entropies.tolist() == pytest.approx([entropy_bits(np.array([p, 1 - p])) for p in ones])


def test_digits_of_any_radix_against_numpy() -> None:
    """Their entropies are shares of the most that a digit can have."""
    radices, rng = (8, 5, 3), np.random.default_rng(0)
    digits = [np.minimum(rng.geometric(0.4, 500) - 1, radix - 1) for radix in radices]
    ids = digits[0] + 8 * digits[1] + 40 * digits[2]
    usage = counted(ids, TokenSpace(radices, strides=(4, 8, 8)))
    shares = [np.bincount(digit, minlength=radix) / 500 for digit, radix in zip(digits, radices, strict=True)]
    expected = [entropy_bits(share) / math.log2(radix) for share, radix in zip(shares, radices, strict=True)]
    assert usage.digit_entropies.tolist() == pytest.approx(expected)
    assert usage.entropy_bits == pytest.approx(entropy_bits(np.bincount(ids) / 500))


def test_the_parts_that_ids_come_in_do_not_matter() -> None:
    ids = np.random.default_rng(0).integers(0, 64, (10, 3, 3))
    once, often = counted(ids, num_parts=1), counted(ids[::-1].copy(), num_parts=10)
    assert (once.num_tokens, once.num_distinct) == (often.num_tokens, often.num_distinct)
    assert once.entropy_bits == pytest.approx(often.entropy_bits)
    assert torch.allclose(once.bit_entropies, often.bit_entropies)


def test_a_vocabulary_used_evenly_has_all_its_bits() -> None:
    usage = counted(np.arange(64).reshape(4, 4, 4))
    assert usage.usage == 1.0
    assert usage.entropy_bits == pytest.approx(6.0)
    assert usage.bit_entropies.tolist() == [1.0] * 6


def test_one_id_alone_has_none() -> None:
    usage = counted(np.full((3, 2, 2), 5))
    assert usage.num_distinct == 1
    assert math.copysign(1, usage.entropy_bits) == 1  # 0, not -0
    assert usage.entropy_bits == 0.0
    assert usage.bit_entropies.tolist() == [0.0] * 6


def test_a_dead_bit_is_seen_and_the_least_significant_comes_first() -> None:
    usage = counted(np.arange(64).reshape(4, 4, 4) & 0b111101)
    assert usage.bit_entropies.tolist() == [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_without_ids_there_is_nothing_to_say() -> None:
    usage = CodeUsage(SPACE)
    assert (usage.num_tokens, usage.num_distinct, usage.usage, usage.entropy_bits) == (0, 0, 0.0, 0.0)
    assert usage.bit_entropies.isnan().all()


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (torch.tensor([0, 64]), r"^ids from 0 to 64: expected 0 to 63"),
        (torch.tensor([-1]), r"^ids from -1 to -1: expected 0 to 63"),
        (torch.tensor([1.0, math.nan]), r"^ids of torch.float32: expected integers$"),
    ],
)
def test_ids_of_another_space_are_refused_and_not_counted(ids: torch.Tensor, problem: str) -> None:
    usage = CodeUsage(SPACE)
    with pytest.raises(InputError, match=problem):
        usage.add(ids)
    assert usage.num_tokens == 0


def test_a_vocabulary_of_2_to_the_18_is_counted_by_what_is_seen() -> None:
    space = TokenSpace(radices=(2,) * 18, strides=(4, 8, 8))
    usage = counted(np.array([[[0, 2**18 - 1]], [[0, 2**17]]]), space, num_parts=2)
    assert usage.num_distinct == 3
    assert usage.usage == 3 / 2**18
    assert usage.bit_entropies[17] == 1.0


def test_bits_are_for_spaces_of_bits() -> None:
    usage = counted(np.array([[[0, 7]]]), TokenSpace(radices=(8, 5), strides=(4, 8, 8)), num_parts=1)
    assert usage.entropy_bits == 1.0
    with pytest.raises(InputError, match="every radix is 2"):
        _ = usage.bit_entropies


def test_parts_that_are_merged_or_kept_as_tensors_are_the_whole() -> None:
    ids = np.random.default_rng(0).integers(0, 64, (3, 20))
    whole, merged = counted(ids), counted(ids[:1])
    merged.merge(CodeUsage.from_tensors(SPACE, counted(ids[1:]).to_tensors()))
    assert (merged.num_tokens, merged.num_distinct) == (whole.num_tokens, whole.num_distinct)
    assert merged.entropy_bits == pytest.approx(whole.entropy_bits)
    assert torch.allclose(merged.bit_entropies, whole.bit_entropies)
    assert CodeUsage.from_tensors(SPACE, CodeUsage(SPACE).to_tensors()).num_tokens == 0


def test_parts_of_other_spaces_or_with_other_tensors_are_refused() -> None:
    usage = counted(np.array([63]), num_parts=1)
    with pytest.raises(InputError, match="expected one token space"):
        usage.merge(CodeUsage(TokenSpace((2,) * 5, (4, 8, 8))))
    with pytest.raises(InputError, match="expected counts and ids"):
        CodeUsage.from_tensors(SPACE, {"ids": torch.zeros(0, dtype=torch.int64)})
    with pytest.raises(InputError, match="expected 0 to 31"):
        CodeUsage.from_tensors(TokenSpace((2,) * 5, (4, 8, 8)), usage.to_tensors())
