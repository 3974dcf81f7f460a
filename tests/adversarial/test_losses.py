"""The GAN losses by hand."""

import math

import pytest
import torch

from magvit2.adversarial import GanKind, discriminator_loss, generator_loss

LOGITS = torch.tensor([0.0, math.log(3)])  # taken for real with a chance of 1/2 and 3/4


def test_the_generator_pays_the_logarithm_of_the_chance_that_it_is_believed() -> None:
    assert generator_loss(LOGITS, "non-saturating").item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_the_discriminator_pays_for_real_that_it_doubts_and_fake_that_it_believes() -> None:
    loss = discriminator_loss(LOGITS, LOGITS[1:], "non-saturating")
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2 + math.log(4))


def test_hinge_pays_up_to_a_margin_of_one() -> None:
    real, fake = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([-3.0, 1.0])
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx((2 + 0.5 + 0) / 3 + (0 + 2) / 2)
    assert generator_loss(fake, "hinge").item() == pytest.approx((3 - 1) / 2)


@pytest.mark.parametrize("kind", ["non-saturating", "hinge"])
def test_the_losses_pull_the_logits_apart_and_the_generator_pulls_back(kind: GanKind) -> None:
    real, fake = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    discriminator_loss(real, fake, kind).backward()
    assert (real.grad < 0).all() and torch.equal(fake.grad, -real.grad)
    pulled = fake.grad.clone()
    fake.grad = None
    generator_loss(fake, kind).backward()
    assert torch.equal(fake.grad, -pulled)


@pytest.mark.parametrize("kind", ["non-saturating", "hinge"])
def test_losses_of_bfloat16_logits_are_float32_and_large_logits_stay_finite(kind: GanKind) -> None:
    logits = torch.tensor([-1e4, 1e4, 0.3], dtype=torch.bfloat16)
    for loss in (generator_loss(logits, kind), discriminator_loss(logits, logits, kind)):
        assert loss.dtype == torch.float32 and loss.isfinite()
    assert generator_loss(logits.double(), kind).dtype == torch.float64
