"""Both sides' objectives: sums of known terms, gradients at the same parameters, none that leak to the other side."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from magvit2.adversarial import (
    AdversarialWeights,
    Adversary,
    DiscriminatorTerms,
    GanKind,
    adversarial_weight,
    discriminator_loss,
    generator_loss,
    r1_penalty,
)
from magvit2.errors import ConfigError
from magvit2.schema import from_dict, to_dict
from tests.adversarial.tiny import Linear, random_clips, tiny_discriminator

PAPER = AdversarialWeights()


def tiny_adversary(**changes: object) -> Adversary:
    return Adversary(tiny_discriminator(), AdversarialWeights(**changes))


def test_the_paper_s_weights_are_the_default() -> None:
    published = AdversarialWeights(
        kind="non-saturating",
        weight=0.1,
        start_step=0,
        ramp_steps=0,
        r1=10.0,
        r1_every=1,
        lecam=0.001,
        lecam_decay=0.999,
    )
    assert published == PAPER


def test_the_weights_travel_as_json() -> None:
    weights = AdversarialWeights(kind="hinge", ramp_steps=10)
    assert from_dict(AdversarialWeights, to_dict(weights)) == weights


@pytest.mark.parametrize("changes", [{"r1_every": 0}, {"weight": -0.1}, {"start_step": -1}, {"r1": -1.0}], ids=str)
def test_impossible_weights_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        AdversarialWeights(**changes)


@pytest.mark.parametrize(("step", "weight"), [(0, 0), (99, 0), (100, 0), (150, 0.05), (200, 0.1), (10**6, 0.1)])
def test_the_generator_s_weight_waits_and_then_rises(step: int, weight: float) -> None:
    weights = AdversarialWeights(start_step=100, ramp_steps=100)
    assert adversarial_weight(weights, step) == pytest.approx(weight)


def test_without_a_ramp_the_generator_s_weight_is_there_at_once() -> None:
    assert adversarial_weight(PAPER, 0) == 0.1
    late = AdversarialWeights(start_step=5)
    assert [adversarial_weight(late, step) for step in (4, 5, 6)] == [0, 0.1, 0.1]


def one_pixel(*values: float) -> Tensor:
    """Clips of one grey pixel; a linear discriminator of slope 1 a channel gives three times its value."""
    return torch.tensor(values)[:, None, None, None, None].expand(-1, 3, 1, 1, 1)


def test_the_total_is_the_weighted_sum() -> None:
    adversary = Adversary(Linear(torch.ones(3, 1, 1, 1)), PAPER)
    real_mean, fake_mean = 3 * (0.2 + 0.4) / 2, 3 * -0.5
    terms = adversary.discriminator_terms(one_pixel(0.2, 0.4), one_pixel(-0.5), 0)
    loss = (math.log1p(math.exp(-0.6)) + math.log1p(math.exp(-1.2))) / 2 + math.log1p(math.exp(-1.5))
    assert terms.loss.item() == pytest.approx(loss)
    assert terms.r1.item() == pytest.approx(4 * 3)  # slope 1 in 3 channels, twice as steep on the [0, 1] scale
    assert terms.lecam.item() == pytest.approx(real_mean**2 + fake_mean**2)
    assert (terms.real_mean.item(), terms.fake_mean.item()) == pytest.approx((real_mean, fake_mean))
    assert terms.total.item() == pytest.approx(loss + 10 * 12 + 0.001 * (0.9**2 + 1.5**2))


def test_the_same_pixels_on_the_unit_scale_have_the_r1_of_the_paper(generator: torch.Generator) -> None:
    class UnitScale(nn.Module):
        """Takes pixels in [0, 1] for the same discriminator."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, clips: Tensor) -> Tensor:
            return self.inner(clips * 2 - 1)

    adversary, clips = tiny_adversary(), random_clips(generator)
    terms = adversary.discriminator_terms(clips, clips, 0)
    torch.testing.assert_close(terms.r1, r1_penalty(UnitScale(adversary.discriminator), (clips + 1) / 2).penalty)


def test_lazy_r1_is_rare_and_so_many_times_heavier(generator: torch.Generator) -> None:
    adversary = tiny_adversary(r1_every=4)
    real, fake = random_clips(generator), random_clips(generator)
    steps = [adversary.discriminator_terms(real, fake, step) for step in range(5)]
    assert [terms.r1 is not None for terms in steps] == [True, False, False, False, True]
    torch.testing.assert_close(steps[0].total - steps[1].total, 4 * 10 * steps[0].r1)
    torch.testing.assert_close(steps[0].loss, steps[1].loss)


def test_a_weight_of_zero_takes_no_r1(generator: torch.Generator) -> None:
    clips = random_clips(generator)
    assert tiny_adversary(r1=0.0).discriminator_terms(clips, clips, 0).r1 is None


@pytest.mark.parametrize("kind", ["non-saturating", "hinge"])
def test_the_kind_reaches_both_losses(kind: GanKind, generator: torch.Generator) -> None:
    adversary = tiny_adversary(kind=kind)
    real, fake = random_clips(generator), random_clips(generator)
    judged = adversary.discriminator(real), adversary.discriminator(fake)
    assert torch.equal(adversary.generator_loss(fake), generator_loss(judged[1], kind))
    torch.testing.assert_close(adversary.discriminator_terms(real, fake, 0).loss, discriminator_loss(*judged, kind))


def test_the_mean_over_ranks_reaches_lecam_and_no_other_term(generator: torch.Generator) -> None:
    adversary, real, fake = tiny_adversary(), random_clips(generator), random_clips(generator)
    alone = adversary.discriminator_terms(real, fake, 0)
    together = adversary.discriminator_terms(real, fake, 0, mean_over_ranks=lambda mean: mean + 1)
    torch.testing.assert_close(together.real_mean, alone.real_mean + 1)
    torch.testing.assert_close(together.fake_mean, alone.fake_mean + 1)
    torch.testing.assert_close(together.lecam, adversary.lecam(alone.real_mean + 1, alone.fake_mean + 1))
    assert torch.equal(together.loss, alone.loss) and torch.equal(together.r1, alone.r1)


def test_the_generator_s_loss_reaches_the_clips_and_leaves_the_discriminator_alone(generator: torch.Generator) -> None:
    adversary = tiny_adversary()
    adversary.discriminator.stem.bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in adversary.parameters()]
    fake = random_clips(generator).requires_grad_()
    adversary.generator_loss(fake).backward()
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert [parameter.requires_grad for parameter in adversary.parameters()] == before
    assert before.count(False) == 1


def test_the_discriminator_s_terms_leave_the_generator_and_lecam_alone(generator: torch.Generator) -> None:
    adversary = tiny_adversary()
    fake = random_clips(generator).requires_grad_()
    adversary.discriminator_terms(random_clips(generator), fake, 0).total.backward()
    assert fake.grad is None
    assert all(parameter.grad is not None for parameter in adversary.parameters())
    assert adversary.lecam.real == adversary.lecam.fake == 0


def test_both_gradients_are_those_of_one_simultaneous_pass(generator: torch.Generator) -> None:
    """One forward pass whose logits serve both objectives gives what the two passes of a step give."""
    adversary, decoder = tiny_adversary(), nn.Conv3d(2, 3, 3, padding=1).double()
    codes = torch.randn(3, 2, 5, 6, 7, generator=generator, dtype=torch.float64)
    real = random_clips(generator)

    decoded = decoder(codes)
    adversary.generator_loss(decoded).backward()
    adversary.discriminator_terms(real, decoded, 0).total.backward()

    penalty, real_logits = r1_penalty(adversary.discriminator, real)
    fake_logits = adversary.discriminator(decoder(codes))
    theirs = discriminator_loss(real_logits, fake_logits, "non-saturating") + 10 * 4 * penalty
    theirs = theirs + 0.001 * adversary.lecam(real_logits.mean(), fake_logits.mean())
    ours = generator_loss(fake_logits, "non-saturating")
    weights, judges = list(decoder.parameters()), list(adversary.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(ours, weights, retain_graph=True), strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    for judge, gradient in zip(judges, torch.autograd.grad(theirs, judges), strict=True):
        torch.testing.assert_close(judge.grad, gradient)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_discriminator_that_is_compiled_in_place_gives_the_same_gradients(generator: torch.Generator) -> None:
    real, fake = random_clips(generator), random_clips(generator).requires_grad_()
    adversary = tiny_adversary()

    def gradients() -> list[Tensor]:
        loss = adversary.generator_loss(fake) + adversary.discriminator_terms(real, fake, 0).total
        return list(torch.autograd.grad(loss, [fake, *adversary.parameters()]))

    expected = gradients()
    adversary.discriminator.compile(backend="aot_eager")  # which refuses a second derivative, as all compiled code does
    for found, gradient in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(found, gradient)


def train_a_step(adversary: Adversary, optimizer: torch.optim.Optimizer, clips: Tensor) -> DiscriminatorTerms:
    terms = adversary.discriminator_terms(clips, clips.flip(2) / 2, 0)
    optimizer.zero_grad()
    terms.total.backward()
    optimizer.step()
    adversary.update(terms.real_mean, terms.fake_mean)
    return terms


def test_it_goes_on_from_its_state_exactly(generator: torch.Generator) -> None:
    adversary = tiny_adversary(lecam=1.0)
    sgd = torch.optim.SGD(adversary.parameters(), lr=1e-3)
    for _ in range(3):
        terms = train_a_step(adversary, sgd, random_clips(generator))
    assert adversary.lecam.real != 0 and terms.lecam > 0
    resumed = tiny_adversary(lecam=1.0)
    resumed.load_state_dict(copy.deepcopy(adversary.state_dict()))
    clips = random_clips(generator)
    again = train_a_step(resumed, torch.optim.SGD(resumed.parameters(), lr=1e-3), clips)
    assert torch.equal(again.total, train_a_step(adversary, sgd, clips).total)
    theirs = resumed.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in adversary.state_dict().items())


def test_under_autocast_losses_are_float32_and_close(generator: torch.Generator) -> None:
    adversary = tiny_adversary()
    adversary.discriminator.float()
    real, fake = random_clips(generator).float(), random_clips(generator).float()
    exact = adversary.discriminator_terms(real, fake, 0)
    with torch.autocast("cpu", torch.bfloat16):
        terms = adversary.discriminator_terms(real, fake.bfloat16(), 0)
        loss = adversary.generator_loss(fake.bfloat16())
    assert {term.dtype for term in terms} == {loss.dtype} == {torch.float32}
    assert torch.equal(terms.r1, exact.r1)
    torch.testing.assert_close(terms.total, exact.total, rtol=1e-2, atol=0)
