"""FSQ: rounding to levels, compared with another implementation and with the definition."""

import math

import pytest
import torch
import vector_quantize_pytorch as other_library

from magvit2.errors import ConfigError, InputError
from magvit2.quantizers import FSQ
from magvit2.tokens import TokenSpace

LEVELS = [(8, 8, 8, 5, 5, 5), (8,) * 6, (7, 5, 5, 5), (3, 4, 3), (16,)]


@pytest.mark.parametrize("levels", LEVELS)
def test_codes_and_ids_are_the_other_implementation_s(levels: tuple[int, ...], generator: torch.Generator) -> None:
    latents = 3 * torch.randn(2, 50, len(levels), generator=generator)
    theirs, their_ids = other_library.FSQ(list(levels)).eval()(latents)
    ours = FSQ(levels)(latents)
    assert torch.allclose(ours.codes, theirs, atol=1e-6)
    assert ours.ids.equal(their_ids.long())


@pytest.mark.parametrize("levels", LEVELS)
def test_ids_and_codes_are_inverse_and_digits_are_those_of_the_token_space(levels: tuple[int, ...]) -> None:
    quantizer, space = FSQ(levels), TokenSpace(levels, (4, 8, 8))
    ids = torch.arange(min(space.vocab_size, 5000)) * max(1, space.vocab_size // 5000)
    codes = quantizer.ids_to_codes(ids)
    assert quantizer.codes_to_ids(codes).equal(ids)
    digits = (codes * torch.tensor([n // 2 for n in levels]) + torch.tensor([n // 2 for n in levels])).round().long()
    assert space.digits_to_ids(digits).equal(ids)


def test_every_level_can_be_reached_and_none_beyond() -> None:
    levels = (8, 5)
    sweep = torch.linspace(-20, 20, 4001)
    quantized = FSQ(levels)(torch.stack([sweep, sweep], dim=-1))
    assert quantized.codes[:, 0].unique().tolist() == [i / 4 for i in range(-4, 4)]
    assert quantized.codes[:, 1].unique().tolist() == [i / 2 for i in range(-2, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rounding_is_to_the_nearest_and_the_gradient_goes_straight_through(dtype: torch.dtype) -> None:
    latents = torch.linspace(-2, 2, 41, dtype=dtype)[:, None].requires_grad_()
    quantized = FSQ((6,))(latents)
    assert quantized.codes.dtype == quantized.latents.dtype == dtype
    assert (quantized.codes - quantized.latents).abs().max() <= 1 / 6 + 1e-2
    (through,) = torch.autograd.grad(quantized.codes.sum(), latents, retain_graph=True)
    (straight,) = torch.autograd.grad(quantized.latents.sum(), latents)
    assert through.equal(straight) and (through > 0).all()


def test_a_latent_of_zero_is_the_middle_level() -> None:
    assert FSQ((5, 8))(torch.zeros(1, 2)).codes.tolist() == [[0.0, 0.0]]


def test_wrong_levels_or_channels_are_refused() -> None:
    for levels in [(), (8, 2)]:
        with pytest.raises(ConfigError, match="expected one count of 3 or more"):
            FSQ(levels)
    with pytest.raises(InputError, match="expected 2 channels"):
        FSQ((8, 8))(torch.zeros(2, 3))


def test_it_has_no_parameters_and_a_vocabulary_of_the_product() -> None:
    assert not list(FSQ((8, 8)).parameters())
    assert FSQ((8, 8, 8, 5, 5, 5)).ids_to_codes(torch.tensor([math.prod((8, 8, 8, 5, 5, 5)) - 1])).tolist() == [
        [0.75] * 3 + [1.0] * 3
    ]
