"""BSQ: corners of the unit sphere, compared with another implementation."""

import math

import pytest
import torch
import vector_quantize_pytorch as other_library

from magvit2.errors import ConfigError, InputError
from magvit2.quantizers import BSQ, LFQ


def test_codes_are_the_nearest_corners_of_the_unit_sphere(generator: torch.Generator) -> None:
    latents = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    quantized = BSQ(6)(latents)
    corners = BSQ(6).ids_to_codes(torch.arange(64), torch.float64)
    assert torch.allclose(corners.norm(dim=-1), torch.ones(64, dtype=torch.float64))
    nearest = torch.cdist(latents / latents.norm(dim=-1, keepdim=True), corners).argmin(dim=1)
    assert quantized.ids.equal(nearest)
    assert torch.allclose(quantized.codes, corners[nearest])


def test_it_is_the_other_implementation_s_spherical_mode_with_the_bits_in_our_order(generator: torch.Generator) -> None:
    latents = torch.randn(1, 40, 10, generator=generator)
    other = other_library.LFQ(
        dim=10, codebook_size=2**10, spherical=True, has_projections=False, force_quantization_f32=True
    )
    theirs, their_ids, _ = other.eval()(latents)
    ours = BSQ(10)(latents)
    assert torch.allclose(ours.codes, theirs, atol=1e-6)
    reversed_bits = sum(((their_ids >> bit) & 1) << (9 - bit) for bit in range(10))
    assert ours.ids.equal(reversed_bits)


def test_ids_and_bits_are_those_of_lfq(generator: torch.Generator) -> None:
    latents = torch.randn(2, 3, 4, 4, 18, generator=generator)
    assert BSQ(18)(latents).ids.equal(LFQ(18)(latents).ids)
    assert BSQ(18)(torch.zeros(1, 18)).ids.item() == 0


def test_the_latents_that_losses_see_have_unit_length_and_pass_the_gradient(generator: torch.Generator) -> None:
    latents = torch.randn(7, 5, generator=generator, requires_grad=True)
    quantized = BSQ(5)(latents)
    assert torch.allclose(quantized.latents.norm(dim=-1), torch.ones(7))
    weights = torch.randn(7, 5, generator=generator)
    (through,) = torch.autograd.grad((quantized.codes * weights).sum(), latents, retain_graph=True)
    (straight,) = torch.autograd.grad((quantized.latents * weights).sum(), latents)
    assert torch.allclose(through, straight)
    assert torch.allclose(quantized.codes.abs(), torch.full((7, 5), 1 / math.sqrt(5)))


def test_ids_and_codes_are_inverse() -> None:
    ids = torch.arange(2**9)
    assert BSQ(9).codes_to_ids(BSQ(9).ids_to_codes(ids)).equal(ids)


def test_a_wrong_number_of_bits_or_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_bits = 41: expected 1 to 40"):
        BSQ(41)
    with pytest.raises(InputError, match="expected 6 channels"):
        BSQ(6)(torch.zeros(2, 5))
