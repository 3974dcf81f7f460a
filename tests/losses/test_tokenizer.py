"""The objective's terms by hand, and their sum."""

import math

import pytest
import torch
from torch import Tensor

from magvit2.losses import LossTerms, LossWeights, commitment_loss, entropy_weight, tokenizer_loss
from magvit2.quantizers import BSQ, FSQ, LFQ, Quantized

PAPER = LossWeights()


def saturated() -> Quantized:
    """Two positions with different ids, two bits, latents at +-2: sure of themselves, and half of the codes in use."""
    return LFQ(2)(torch.tensor([[2.0, 2.0], [-2.0, -2.0]])[None, None, None])


def clips(value: float) -> Tensor:
    return torch.full((1, 3, 1, 2, 2), float(value))


def test_the_paper_s_weights_are_the_default() -> None:
    published = LossWeights(
        reconstruction=5.0,
        commitment=0.25,
        entropy=0.1,
        entropy_boost=3.0,
        entropy_boost_steps=2000,
        temperature=0.01,
    )
    assert LossWeights() == published


def test_commitment_is_the_mean_squared_distance_to_the_codes() -> None:
    latents = torch.tensor([[0.5, -2.0], [-1.0, 3.0]], requires_grad=True)
    loss = commitment_loss(LFQ(2)(latents))
    assert loss.item() == pytest.approx((0.25 + 1 + 0 + 4) / 4)
    loss.backward()
    assert torch.allclose(latents.grad, torch.tensor([[-0.25, -0.5], [0.0, 1.0]]))  # (z - sign z) / 2: codes stay


@pytest.mark.parametrize(("step", "weight"), [(0, 0.3), (500, 0.25), (1000, 0.2), (2000, 0.1), (10**6, 0.1)])
def test_the_entropy_weight_falls_from_three_times_to_once_over_2000_steps(step: int, weight: float) -> None:
    assert entropy_weight(PAPER, step) == pytest.approx(weight)


def test_without_boost_steps_the_entropy_weight_is_constant() -> None:
    assert entropy_weight(LossWeights(entropy_boost_steps=0), 0) == 0.1
    assert entropy_weight(LossWeights(entropy_boost=1.0), 0) == pytest.approx(0.1)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.3), (1000, 0.2), (5000, 0.1)])
def test_the_total_is_the_weighted_sum(step: int, weight: float) -> None:
    terms = tokenizer_loss(clips(0.5), clips(-0.3), saturated(), PAPER)
    assert terms.reconstruction.item() == pytest.approx(0.4**2)  # 0.8 on the [-1, 1] scale is 0.4 on [0, 1]
    assert terms.commitment.item() == pytest.approx(1.0)
    assert terms.sample_entropy.item() == pytest.approx(0.0, abs=1e-6)
    assert terms.batch_entropy.item() == pytest.approx(math.log(2))
    expected = 5 * 0.16 + 0.25 * 1.0 + weight * (0 - math.log(2))
    assert sum(terms.weighted(PAPER, step).values()).item() == pytest.approx(expected, rel=1e-5)


def test_the_absolute_error_is_on_the_scale_of_pixels() -> None:
    terms = tokenizer_loss(clips(0.5), clips(-0.3), saturated(), PAPER)
    assert terms.absolute.item() == pytest.approx(0.4)
    assert "absolute" not in terms.weighted(PAPER, 0)
    assert terms.weighted(LossWeights(absolute=2.0), 0)["absolute"].item() == pytest.approx(0.8)


def test_weights_of_zero_leave_only_the_reconstruction() -> None:
    weights = LossWeights(reconstruction=1.0, commitment=0.0, entropy=0.0)
    terms = tokenizer_loss(clips(1.0), clips(-1.0), saturated(), weights)
    assert sum(terms.weighted(weights, 0).values()).item() == pytest.approx(1.0)  # black for white


def test_the_temperature_reaches_the_entropy() -> None:
    flat = tokenizer_loss(clips(0), clips(0), saturated(), LossWeights(temperature=1e6))
    assert flat.sample_entropy.item() == pytest.approx(2 * math.log(2), rel=1e-4)


def test_the_mean_over_ranks_reaches_the_batch_term_and_no_other() -> None:
    def others_use_the_other_codes(p: Tensor) -> Tensor:
        return (p + p.flip(0)) / 2

    alone = tokenizer_loss(clips(0), clips(0), saturated(), PAPER)
    together = tokenizer_loss(clips(0), clips(0), saturated(), PAPER, mean_over_ranks=others_use_the_other_codes)
    assert together.batch_entropy.item() == pytest.approx(2 * math.log(2))
    assert together.sample_entropy == alone.sample_entropy and together.commitment == alone.commitment


def test_losses_of_bfloat16_networks_are_float32() -> None:
    quantized = LFQ(2)(torch.tensor([[0.5, -2.0]], dtype=torch.bfloat16, requires_grad=True).view(1, 1, 1, 1, 2))
    terms = tokenizer_loss(clips(0.1).bfloat16(), clips(0.3), quantized, PAPER)
    assert all(term.dtype == torch.float32 for term in terms)
    assert commitment_loss(quantized).item() == pytest.approx((0.25 + 1) / 2)


def test_bsq_s_entropies_are_those_of_a_softmax_over_its_corners(generator: torch.Generator) -> None:
    latents = torch.randn(1, 1, 3, 3, 4, generator=generator, dtype=torch.float64)
    quantizer = BSQ(4)
    quantized = quantizer(latents)
    weights = LossWeights(temperature=0.2, joint_entropy=False)
    terms = tokenizer_loss(clips(0), clips(0), quantized, weights, code_size=quantizer.code_size)
    corners = quantizer.ids_to_codes(torch.arange(16), torch.float64)
    p = torch.softmax(2 * quantized.latents.reshape(9, 4) @ corners.T / 0.2, dim=-1)
    assert terms.sample_entropy.item() == pytest.approx(torch.special.entr(p).sum(dim=-1).mean().item())
    ones = (p.mean(dim=0)[:, None] * (corners > 0)).sum(dim=0)
    per_bit = torch.special.entr(ones) + torch.special.entr(1 - ones)
    assert terms.batch_entropy.item() == pytest.approx(per_bit.sum().item())


def test_codes_that_are_not_binary_have_no_entropy_terms() -> None:
    quantized = FSQ((8, 5))(torch.randn(1, 1, 2, 2, 2))
    terms = tokenizer_loss(clips(0.1), clips(0.3), quantized, PAPER, code_size=None)
    assert terms.sample_entropy == terms.batch_entropy == 0
    total = sum(terms.weighted(PAPER, 0).values()).item()
    assert total == pytest.approx(5 * terms.reconstruction.item() + 0.25 * terms.commitment.item())


def test_diversity_weighs_the_batch_term_alone() -> None:
    terms = LossTerms(*(torch.tensor(value) for value in (0.0, 0.0, 0.0, 5.0, 2.0)))
    weights = LossWeights(entropy=0.1, entropy_boost=1.0, diversity=2.5)
    assert terms.weighted(weights, 0)["entropy"].item() == pytest.approx(0.1 * (5.0 - 2.5 * 2.0))
