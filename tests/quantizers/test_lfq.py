"""Lookup-free quantization: the sign of every channel is a bit of the id, least significant first."""

import pytest
import torch
from torch import Tensor

from magvit2.errors import ConfigError, InputError
from magvit2.quantizers import LFQ


def plain_id(latents: list[float]) -> int:
    """Equation 4, word for word: the sum over channels of 2^(i - 1) where latent i is above 0."""
    return sum(2**i for i, value in enumerate(latents) if value > 0)


def some_latents(num_bits: int, generator: torch.Generator, count: int = 12) -> Tensor:
    latents = torch.randn(count, num_bits, generator=generator)
    latents[0], latents[1], latents[2] = 1, -1, 0
    return latents


@pytest.mark.parametrize("num_bits", range(1, 41))
def test_ids_are_the_sign_bits_least_significant_first(num_bits: int, generator: torch.Generator) -> None:
    latents = some_latents(num_bits, generator)
    quantized = LFQ(num_bits)(latents)
    assert quantized.ids.dtype == torch.int64
    assert quantized.ids.tolist() == [plain_id(row) for row in latents.tolist()]
    assert quantized.ids[:3].tolist() == [2**num_bits - 1, 0, 0]


@pytest.mark.parametrize("num_bits", [1, 2, 18, 31, 32, 33, 40])
def test_ids_codes_and_latents_round_trip(num_bits: int, generator: torch.Generator) -> None:
    lfq, latents = LFQ(num_bits), some_latents(num_bits, generator).view(2, 3, 2, num_bits)
    codes, ids, _ = lfq(latents)
    assert ids.shape == (2, 3, 2) and codes.shape == latents.shape
    assert torch.equal(codes, torch.where(latents > 0, 1.0, -1.0))
    assert torch.equal(lfq.ids_to_codes(ids), codes)
    assert torch.equal(lfq.codes_to_ids(codes), ids)


def test_a_latent_of_exactly_zero_is_bit_0_and_code_minus_1() -> None:
    codes, ids, _ = LFQ(3)(torch.tensor([[0.0, -0.0, 1e-30]]))
    assert ids.tolist() == [0b100] and codes.tolist() == [[-1.0, -1.0, 1.0]]


def test_ids_take_codes_of_the_type_that_is_asked_for() -> None:
    assert LFQ(4).ids_to_codes(torch.tensor([5]), torch.bfloat16).dtype == torch.bfloat16
    assert LFQ(4).ids_to_codes(torch.tensor([5])).tolist() == [[1.0, -1.0, 1.0, -1.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_pass_straight_through_and_codes_stay_exact(dtype: torch.dtype, generator: torch.Generator) -> None:
    latents = 3 * torch.randn(64, 18, generator=generator)
    latents[0] = 1e9 * latents[0].sign()  # beside which 1 is nothing
    latents = latents.to(dtype).requires_grad_()
    weights = torch.randn(64, 18, generator=generator).to(dtype)
    codes = LFQ(18)(latents).codes
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    (codes * weights).sum().backward()
    assert torch.equal(latents.grad, weights)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e25])
def test_normalising_latents_changes_no_id(scale: float, generator: torch.Generator) -> None:
    latents = scale * some_latents(18, generator, count=200)
    assert torch.equal(LFQ(18, normalize=True)(latents).ids, LFQ(18)(latents).ids)


def test_normalised_latents_have_length_sqrt_k_and_are_what_the_losses_see(generator: torch.Generator) -> None:
    latents = 5 * torch.randn(50, 18, generator=generator)
    assert torch.equal(LFQ(18)(latents).latents, latents)
    normalised = LFQ(18, normalize=True)(latents).latents
    torch.testing.assert_close(normalised, latents * 18**0.5 / latents.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("num_bits", [0, -1, 41])
def test_an_impossible_number_of_bits_is_refused(num_bits: int) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 40"):
        LFQ(num_bits)


def test_latents_with_another_number_of_channels_are_refused() -> None:
    with pytest.raises(InputError, match="expected 18 channels"):
        LFQ(18)(torch.zeros(2, 17))
