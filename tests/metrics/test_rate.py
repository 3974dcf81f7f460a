"""What ids cost: ids whose cost is known, and a coder that walks from id to id with its estimates."""

import itertools
import math

import numpy as np
import pytest
import torch

from magvit2.errors import InputError
from magvit2.metrics.rate import IdRate
from magvit2.tokens import TokenSpace

SPACE = TokenSpace(radices=(2,) * 6, strides=(4, 8, 8))
PIXELS = 10_000


def counted(*clips: np.ndarray, space: TokenSpace = SPACE) -> IdRate:
    rate = IdRate(space)
    for ids in clips:
        rate.add(torch.from_numpy(ids), PIXELS)
    return rate


def by_walking(ids: np.ndarray, space: TokenSpace) -> float:
    """Bits of a coder that goes through one clip id by id, with (ones + 1/2) / (all + 1) for a one in each context."""
    digits = space.ids_to_digits(torch.from_numpy(ids)).numpy()
    seen: dict[tuple[object, ...], list[int]] = {}
    total = 0.0
    for t, h, w in itertools.product(*map(range, ids.shape)):
        for d, radix in enumerate(space.radices):
            width = (radix - 1).bit_length()

            def text(t: int, h: int, w: int, d: int = d, width: int = width) -> str:
                inside = min(t, h, w) >= 0
                return format(int(digits[t, h, w, d]), f"0{width}b") if inside else "0" * width

            own, near = text(t, h, w), [text(t - 1, h, w), text(t, h - 1, w), text(t, h, w - 1)]
            for level, bit in enumerate(own):
                counts = seen.setdefault((d, own[:level], *(n[level] for n in near)), [0, 0])
                total -= math.log2((counts[int(bit)] + 0.5) / (sum(counts) + 1))
                counts[int(bit)] += 1
    return total


def correlated(shape: tuple[int, int, int], vocabulary: int, seed: int = 0) -> np.ndarray:
    """Ids that are mostly those of the frame before."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, vocabulary, shape)
    for t in range(1, shape[0]):
        kept = rng.random(shape[1:]) < 0.8
        ids[t][kept] = ids[t - 1][kept]
    return ids


@pytest.mark.parametrize(
    "space",
    [SPACE, TokenSpace((8, 5, 3), (4, 8, 8)), TokenSpace((100,), (4, 8, 8))],
    ids=["bits", "digits", "one digit"],
)
def test_the_closed_form_is_what_a_coder_spends_that_goes_from_id_to_id(space: TokenSpace) -> None:
    ids = correlated((3, 4, 5), space.vocab_size)
    assert counted(ids, space=space).adaptive_bits == pytest.approx(by_walking(ids, space))


def test_uniform_ids_cost_their_raw_bits_and_a_little_for_learning_that() -> None:
    rate = counted(*(np.random.default_rng(seed).integers(0, 64, (5, 16, 16)) for seed in range(4)))
    assert rate.raw_bits == 4 * 5 * 256 * 6
    assert rate.raw_bits < rate.adaptive_bits < 1.02 * rate.raw_bits
    assert 0.98 * rate.raw_bits < rate.zero_order_bits <= rate.raw_bits
    assert 60 < rate.perplexity <= 64


def test_one_id_all_along_costs_next_to_nothing() -> None:
    rate = counted(np.full((5, 16, 16), 37))
    assert rate.raw_bits == 5 * 256 * 6
    assert (rate.zero_order_bits, rate.perplexity) == (0.0, 1.0)
    assert 0 < rate.adaptive_bits < 0.02 * rate.raw_bits


def test_ids_that_repeat_in_time_are_cheap_only_for_the_coder_that_looks_back() -> None:
    rate = counted(np.broadcast_to(np.random.default_rng(0).integers(0, 64, (1, 16, 16)), (16, 16, 16)).copy())
    assert rate.zero_order_bits > 0.9 * rate.raw_bits
    assert rate.adaptive_bits < 0.25 * rate.raw_bits


def test_raw_bits_are_log2_of_the_vocabulary_whatever_its_digits() -> None:
    rate = counted(np.zeros((2, 3, 4), np.int64), space=TokenSpace((8, 5, 3), (4, 8, 8)))
    assert rate.raw_bits == pytest.approx(24 * math.log2(120))
    assert rate.per_pixel(rate.raw_bits) == pytest.approx(24 * math.log2(120) / PIXELS)


def test_zero_order_bits_by_hand() -> None:
    rate = counted(np.array([[[0, 0, 0, 1]]]))  # 3/4 and 1/4
    assert rate.zero_order_bits == pytest.approx(4 * (0.75 * math.log2(4 / 3) + 0.25 * 2))
    assert rate.perplexity == pytest.approx(2 ** (rate.zero_order_bits / 4))


def test_kt_lengths_by_hand() -> None:
    """One bit: a zero costs 1 bit, the next in the same context log2(4/3), a one after two zeros log2(6)."""
    space = TokenSpace((2,), (4, 8, 8))
    assert counted(np.array([[[0]]]), space=space).adaptive_bits == pytest.approx(1)
    assert counted(np.array([[[0, 0]]]), space=space).adaptive_bits == pytest.approx(1 + math.log2(4 / 3))
    bits = 1 + math.log2(4 / 3) + math.log2(6)
    assert counted(np.array([[[0, 0, 1]]]), space=space).adaptive_bits == pytest.approx(bits)


def test_counts_go_on_from_clip_to_clip_but_neighbours_do_not() -> None:
    one, two = correlated((4, 6, 6), 64, seed=1), correlated((4, 6, 6), 64, seed=2)
    both = counted(one, two)
    assert both.adaptive_bits == pytest.approx(counted(two, one).adaptive_bits)
    assert both.adaptive_bits < counted(one).adaptive_bits + counted(two).adaptive_bits  # learnt once
    assert both.adaptive_bits != pytest.approx(counted(np.concatenate([one, two])).adaptive_bits)


def test_results_are_bits_per_pixel_by_name() -> None:
    rate = counted(correlated((4, 6, 6), 64), correlated((4, 6, 6), 64, seed=1))
    results = dict(rate.results())
    assert rate.num_pixels == 2 * PIXELS
    assert results["raw_bits_per_pixel"] == 2 * 144 * 6 / (2 * PIXELS)
    assert results["zero_order_bits_per_pixel"] == rate.zero_order_bits / (2 * PIXELS)
    assert results["adaptive_bits_per_pixel"] == rate.adaptive_bits / (2 * PIXELS)
    assert results["id_perplexity"] == rate.perplexity


def test_without_ids_there_is_no_rate() -> None:
    rate = IdRate(SPACE)
    assert (rate.raw_bits, rate.zero_order_bits, rate.adaptive_bits, rate.perplexity) == (0.0, 0.0, 0.0, 1.0)
    assert math.isnan(rate.per_pixel(rate.raw_bits))


def test_an_18_bit_vocabulary_is_no_larger_to_count_than_its_bits() -> None:
    space = TokenSpace((2,) * 18, (4, 8, 8))
    rate = counted(np.random.default_rng(0).integers(0, 2**18, (5, 16, 16)), space=space)
    assert rate.adaptive_bits > rate.raw_bits > rate.zero_order_bits  # 1280 ids have an entropy of 10.3 bits at most


def test_ids_of_another_space_are_refused_and_change_nothing() -> None:
    rate = counted(correlated((4, 6, 6), 64))
    before = dict(rate.results())
    with pytest.raises(InputError, match="expected 0 to 63"):
        rate.add(torch.full((1, 2, 2), 64), PIXELS)
    assert dict(rate.results()) == before


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("ids", "num_pixels", "given"),
    [
        (torch.zeros(1, 2, 3, 4, dtype=torch.int64), 10, r"\[1, 2, 3, 4\] of torch.int64, for 10 pixels"),
        (torch.zeros(2, 3, dtype=torch.int64), 10, r"\[2, 3\] of torch.int64, for 10 pixels"),
        (torch.zeros(1, 2, 3), 10, r"\[1, 2, 3\] of torch.float32, for 10 pixels"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), 0, r"\[1, 2, 3\] of torch.int64, for 0 pixels"),
    ],
    ids=["batch", "frame", "floats", "no pixels"],
)
def test_what_is_no_clip_of_ids_is_refused(ids: torch.Tensor, num_pixels: int, given: str) -> None:
    rate = IdRate(SPACE)
    with pytest.raises(InputError, match=rf"^ids {given}: expected integers \[t, h, w\] of one clip"):
        rate.add(ids, num_pixels)
    assert rate.num_tokens == 0


@pytest.mark.parametrize("space", [SPACE, TokenSpace((8, 5, 3), (4, 8, 8))])
def test_parts_that_are_merged_or_kept_as_tensors_are_the_whole(space: TokenSpace) -> None:
    clips = [correlated((3, 4, 5), space.vocab_size, seed=seed) for seed in range(3)]
    whole, merged = counted(*clips, space=space), counted(clips[0], space=space)
    merged.merge(IdRate.from_tensors(space, counted(*clips[1:], space=space).to_tensors()))
    assert dict(merged.results()) == pytest.approx(dict(whole.results()))
    assert (merged.num_pixels, merged.usage.num_distinct) == (whole.num_pixels, whole.usage.num_distinct)
    empty = IdRate(space)
    empty.merge(whole)
    empty.add(torch.from_numpy(clips[0]), PIXELS)  # what was merged stays as it was
    assert dict(merged.results()) == pytest.approx(dict(whole.results()))


def test_parts_of_other_spaces_or_with_other_tensors_are_refused() -> None:
    rate = counted(correlated((2, 2, 2), 64))
    with pytest.raises(InputError, match="expected one token space"):
        rate.merge(IdRate(TokenSpace((2,) * 5, (4, 8, 8))))
    with pytest.raises(InputError, match="expected num_pixels"):
        IdRate.from_tensors(SPACE, {})
