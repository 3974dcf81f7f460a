"""Token spaces: ids, digits and factors, least significant first."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from magvit2.errors import ConfigError, InputError
from magvit2.geometry import Size
from magvit2.tokens import Tokens, TokenSpace

LFQ = TokenSpace((2,) * 18, (4, 8, 8))
FSQ = TokenSpace((8, 8, 8, 5, 5, 5), (4, 8, 8))
VQ = TokenSpace((1024,), (1, 8, 8))

radices = st.lists(st.integers(2, 9), min_size=1, max_size=8).map(tuple)


def plain_digits(value: int, sizes: tuple[int, ...]) -> list[int]:
    digits = []
    for size in sizes:
        value, digit = divmod(value, size)
        digits.append(digit)
    return digits


def some_ids(space: TokenSpace) -> torch.Tensor:
    last = space.vocab_size - 1
    return torch.tensor([[0, 1, last // 3], [last // 2, last - 1, last]])


@given(radices)
def test_digits_are_those_of_a_mixed_radix_number_least_significant_first(radices: tuple[int, ...]) -> None:
    space = TokenSpace(radices, (4, 8, 8))
    ids = some_ids(space)
    digits = space.ids_to_digits(ids)
    assert digits.tolist() == [[plain_digits(value, radices) for value in row] for row in ids.tolist()]
    assert torch.equal(space.digits_to_ids(digits), ids)


@given(radices, st.data())
def test_factors_split_and_join_an_id_exactly(radices: tuple[int, ...], data: st.DataObject) -> None:
    space = TokenSpace(radices, (4, 8, 8))
    num_factors = data.draw(st.integers(1, len(radices)))
    sizes = space.factor_sizes(num_factors)
    ids = some_ids(space)
    factors = space.ids_to_factors(ids, num_factors)
    assert factors.shape == (2, 3, num_factors)
    assert factors.tolist() == [[plain_digits(value, sizes) for value in row] for row in ids.tolist()]
    assert torch.equal(space.factors_to_ids(factors), ids)


def test_the_paper_s_factors_of_18_and_40_bits() -> None:
    assert LFQ.factor_sizes(1) == (2**18,)
    assert LFQ.factor_sizes(2) == (512, 512)
    assert TokenSpace((2,) * 40, (1, 16, 16)).factor_sizes(4) == (1024,) * 4


@pytest.mark.parametrize("count", range(1, 41))
def test_factors_are_as_equal_as_possible(count: int) -> None:
    space = TokenSpace((2,) * count, (4, 8, 8))
    for num_factors in range(1, count + 1):
        bits = [size.bit_length() - 1 for size in space.factor_sizes(num_factors)]
        assert sum(bits) == count and len(bits) == num_factors
        assert max(bits) - min(bits) <= 1


def test_forty_bit_ids_stay_exact() -> None:
    space = TokenSpace((2,) * 40, (4, 8, 8))
    ids = torch.tensor([2**40 - 1, 2**39, 2**24 + 1])
    assert torch.equal(space.digits_to_ids(space.ids_to_digits(ids)), ids)
    assert space.ids_to_digits(ids)[1].tolist() == [0] * 39 + [1]


def test_vocabulary_and_raw_rate() -> None:
    assert LFQ.vocab_size == 262_144 and FSQ.vocab_size == 64_000 and VQ.vocab_size == 1024
    assert LFQ.bits_per_pixel == pytest.approx(0.0703, abs=5e-5)  # 18 bits for 4 x 8 x 8 pixels
    assert VQ.bits_per_pixel == 10 / 64


def test_a_clip_s_rate_counts_all_its_ids_over_its_true_pixels() -> None:
    tokens = Tokens(torch.zeros(2, 1, 2, dtype=torch.int64), LFQ, (3, 7, 10), Fraction(25), "f" * 16)
    assert tokens.bits_per_pixel == pytest.approx(4 * 18 / (3 * 7 * 10))


def test_bits_are_defined_only_where_every_radix_is_2() -> None:
    assert LFQ.num_bits == 18
    with pytest.raises(InputError, match="every radix is 2"):
        FSQ.num_bits  # noqa: B018


@pytest.mark.parametrize("bad", [-1, 2**18])
def test_ids_outside_the_space_are_refused(bad: int) -> None:
    ids = torch.tensor([0, bad])
    for use in (LFQ.check, LFQ.ids_to_digits, lambda ids: LFQ.ids_to_factors(ids, 2)):
        with pytest.raises(InputError, match="expected 0 to 262143"):
            use(ids)


@pytest.mark.parametrize("num_factors", [0, 19])
def test_an_impossible_number_of_factors_is_refused(num_factors: int) -> None:
    with pytest.raises(InputError, match="expected 1 to 18"):
        LFQ.factor_sizes(num_factors)


def test_digits_of_another_space_are_refused() -> None:
    with pytest.raises(InputError, match="expected 18"):
        LFQ.digits_to_ids(torch.zeros(3, 17, dtype=torch.int64))


@pytest.mark.parametrize(
    ("radices", "strides"), [((), (4, 8, 8)), ((2, 1), (4, 8, 8)), ((2,), (0, 8, 8)), ((2,) * 63, (4, 8, 8))]
)
def test_an_impossible_space_is_refused(radices: tuple[int, ...], strides: Size) -> None:
    with pytest.raises(ConfigError):
        TokenSpace(radices, strides)


def test_frames_and_latents_of_a_space_obey_its_frame_rule() -> None:
    causal, windowed = (TokenSpace((2,), (4, 8, 8), is_causal) for is_causal in (True, False))
    assert causal.grid_for((17, 128, 128)) == (5, 16, 16) and windowed.grid_for((17, 128, 128)) == (5, 16, 16)
    assert causal.size_for((5, 2, 2)) == (17, 16, 16) and windowed.size_for((5, 2, 2)) == (20, 16, 16)
    assert causal.valid_size((2, 1, 9)) == (5, 8, 16) and windowed.valid_size((2, 1, 9)) == (4, 8, 16)
    assert [causal.latent_of(frame) for frame in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [windowed.latent_of(frame) for frame in (0, 1, 3, 4)] == [0, 0, 0, 1]
