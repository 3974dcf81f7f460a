"""R1 against formulas and finite differences; LeCAM by hand."""

import pytest
import torch
from torch import Tensor

from magvit2.adversarial import Discriminator, LeCAM, r1_penalty
from magvit2.errors import ConfigError
from tests.adversarial.tiny import Linear, Quadratic, random_clips, tiny_discriminator


def test_r1_of_a_linear_discriminator_is_its_slope_squared(generator: torch.Generator) -> None:
    slope = torch.randn(3, 2, 3, 4, generator=generator, dtype=torch.float64)
    discriminator = Linear(slope)
    clips = random_clips(generator, 5, (2, 3, 4))
    found = r1_penalty(discriminator, clips)
    torch.testing.assert_close(found.penalty, slope.square().sum())
    torch.testing.assert_close(found.logits, discriminator(clips))
    found.penalty.backward()
    torch.testing.assert_close(discriminator.slope.grad, 2 * slope)


def test_r1_of_a_quadratic_discriminator_is_the_mean_over_clips(generator: torch.Generator) -> None:
    discriminator, clips = Quadratic(0.7), random_clips(generator)
    found = r1_penalty(discriminator, clips)
    length = clips.square().flatten(1).sum(1).mean()  # |x|^2 of a clip; dD/dx = 0.7 x
    torch.testing.assert_close(found.penalty, 0.7**2 * length)
    found.penalty.backward()
    torch.testing.assert_close(discriminator.curvature.grad, 2 * 0.7 * length)


def slopes_by_differences(discriminator: Discriminator, clip: Tensor, width: float = 1e-6) -> Tensor:
    steps = width * torch.eye(clip.numel(), dtype=clip.dtype).view(-1, *clip.shape)
    return (discriminator(clip + steps) - discriminator(clip - steps)) / (2 * width)


def test_r1_is_what_finite_differences_give(generator: torch.Generator) -> None:
    discriminator, clips = tiny_discriminator(), random_clips(generator, 2)
    with torch.no_grad():
        expected = torch.stack([slopes_by_differences(discriminator, clip).square().sum() for clip in clips]).mean()
    torch.testing.assert_close(r1_penalty(discriminator, clips).penalty.detach(), expected, rtol=1e-6, atol=0)


def test_the_gradient_of_r1_is_what_finite_differences_give(generator: torch.Generator) -> None:
    discriminator, clips = tiny_discriminator(), random_clips(generator, 2)
    weights = [p for p in discriminator.parameters() if p.ndim > 1]
    towards = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in weights]

    def penalty_at(way: float) -> float:
        with torch.no_grad():
            for weight, direction in zip(weights, towards, strict=True):
                weight.add_(direction, alpha=way)
        value = r1_penalty(discriminator, clips).penalty.item()
        with torch.no_grad():
            for weight, direction in zip(weights, towards, strict=True):
                weight.sub_(direction, alpha=way)
        return value

    r1_penalty(discriminator, clips).penalty.backward()
    along = sum((p.grad * direction).sum().item() for p, direction in zip(weights, towards, strict=True))
    assert along == pytest.approx((penalty_at(1e-6) - penalty_at(-1e-6)) / 2e-6, rel=1e-5)


def test_r1_leaves_the_clips_alone(generator: torch.Generator) -> None:
    clips = random_clips(generator).requires_grad_()
    r1_penalty(tiny_discriminator(), clips).penalty.backward()
    assert clips.grad is None


def test_r1_is_float32_under_autocast_too(generator: torch.Generator) -> None:
    discriminator = tiny_discriminator().float()
    clips = random_clips(generator).float()
    expected = r1_penalty(discriminator, clips)
    with torch.autocast("cpu", torch.bfloat16):
        found = r1_penalty(discriminator, clips)
        assert discriminator(clips).dtype == torch.bfloat16
    assert torch.equal(found.penalty, expected.penalty) and torch.equal(found.logits, expected.logits)
    assert found.penalty.dtype == torch.float32


def moved(lecam: LeCAM, real: float, fake: float) -> None:
    lecam.update(torch.tensor(real), torch.tensor(fake))


def test_lecam_starts_at_zero_and_pays_for_real_above_and_fake_below_it() -> None:
    lecam = LeCAM()
    assert lecam(torch.tensor(3.0), torch.tensor(-2.0)).item() == pytest.approx(9 + 4)
    assert lecam(torch.tensor(-3.0), torch.tensor(2.0)).item() == 0


def test_lecam_measures_each_side_from_the_other_s_average() -> None:
    lecam = LeCAM(decay=0.5)
    moved(lecam, 4.0, -2.0)
    moved(lecam, 4.0, -2.0)
    assert (lecam.real.item(), lecam.fake.item()) == (3.0, -1.5)
    real, fake = torch.tensor(1.0, requires_grad=True), torch.tensor(2.5, requires_grad=True)
    penalty = lecam(real, fake)
    assert penalty.item() == pytest.approx((1 + 1.5) ** 2 + (3 - 2.5) ** 2)
    penalty.backward()
    assert (real.grad.item(), fake.grad.item()) == (5.0, -1.0)


def test_lecam_s_averages_keep_999_thousandths() -> None:
    lecam = LeCAM()
    moved(lecam, 1.0, -1.0)
    assert lecam.real.item() == pytest.approx(0.001, rel=1e-4) and lecam.fake == -lecam.real


def test_lecam_goes_on_from_a_checkpoint_exactly() -> None:
    lecam, resumed = LeCAM(), LeCAM()
    for step in range(5):
        moved(lecam, 0.3 * step, -0.7 * step)
    resumed.load_state_dict(lecam.state_dict())
    for one in (lecam, resumed):
        moved(one, 0.1, 0.2)
    assert torch.equal(lecam.real, resumed.real) and torch.equal(lecam.fake, resumed.fake)
    assert lecam.real != 0


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_lecam_refuses_a_share_that_never_moves_or_is_none(decay: float) -> None:
    with pytest.raises(ConfigError, match="decay"):
        LeCAM(decay)
