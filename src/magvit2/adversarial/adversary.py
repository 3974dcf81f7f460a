"""What a trainer holds of the adversary: one module with all state, and the objectives of both sides.

A step takes both gradients at the same parameters, as the authors do: first `generator_loss` of the decoded clips and
`discriminator_terms` of them, both backward passes, and only then both optimizers, and `update`. The generator's pass
leaves no gradient in the discriminator, and the discriminator's leaves none in the generator.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from magvit2.adversarial.losses import GanKind, discriminator_loss, generator_loss
from magvit2.adversarial.regularizers import LeCAM, r1_penalty
from magvit2.errors import ConfigError

MeanOverRanks = Callable[[Tensor], Tensor]
"""Averages a tensor over the processes of a run, differentiably."""

_SLOPES_TO_UNIT_RANGE = 4  # clips are in [-1, 1]: a slope, squared, is 4 times as large on the [0, 1] scale


@dataclass(frozen=True)
class AdversarialWeights:
    """How the adversary takes part; the defaults are the paper's.

    `weight` is that of the generator's loss: 0 before `start_step`, then rising linearly over `ramp_steps`; the
    discriminator's own loss has weight 1. `r1` is for slopes on the [0, 1] scale of pixels, and is taken at every
    `r1_every`-th step only, so many times heavier (0: never). Raises ConfigError for an impossible value.
    """

    kind: GanKind = "non-saturating"
    weight: float = 0.1
    start_step: int = 0
    ramp_steps: int = 0
    r1: float = 10.0
    r1_every: int = 1
    lecam: float = 0.001
    lecam_decay: float = 0.999

    def __post_init__(self) -> None:
        if min(self.weight, self.start_step, self.ramp_steps, self.r1, self.lecam) < 0 or self.r1_every < 1:
            raise ConfigError(f"{self}: expected weights and steps of 0 or more, and r1_every of 1 or more")

    def has_r1(self, step: int) -> bool:
        """Whether a step takes the gradient penalty."""
        return self.r1 > 0 and step % self.r1_every == 0


def adversarial_weight(weights: AdversarialWeights, step: int) -> float:
    """Return the weight of the generator's loss at a step: `weight` from `start_step + ramp_steps` on."""
    if step < weights.start_step:
        return 0.0
    if step >= weights.start_step + weights.ramp_steps:
        return weights.weight
    return weights.weight * (step - weights.start_step) / weights.ramp_steps


class DiscriminatorTerms(NamedTuple):
    """The discriminator's total and its unweighted parts, and the mean logits over all processes: scalars.

    `r1`, on the [0, 1] scale of pixels, is None at a step that does not take it.
    """

    total: Float[Tensor, ""]
    loss: Float[Tensor, ""]
    r1: Float[Tensor, ""] | None
    lecam: Float[Tensor, ""]
    real_mean: Float[Tensor, ""]
    fake_mean: Float[Tensor, ""]


class Adversary(nn.Module):
    """A discriminator and the state of its regularizers; the parameters are the discriminator's.

    Autocast is the caller's, around both methods, as for any network; the penalties keep out of it. To compile, compile
    in place: `adversary.discriminator.compile()`.
    """

    def __init__(self, discriminator: nn.Module, weights: AdversarialWeights) -> None:
        super().__init__()
        self.weights = weights
        self.discriminator = discriminator
        self.lecam = LeCAM(weights.lecam_decay)

    def generator_loss(self, fake: Float[Tensor, "b 3 T H W"]) -> Float[Tensor, ""]:
        """Return the generator's unweighted loss; its gradient reaches `fake` and not the discriminator."""
        with _frozen(self.discriminator):
            logits = self.discriminator(fake)
        return generator_loss(logits, self.weights.kind)

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 T H W"],
        fake: Float[Tensor, "f 3 T H W"],
        step: int,
        *,
        mean_over_ranks: MeanOverRanks | None = None,
    ) -> DiscriminatorTerms:
        """Return the discriminator's objective on clips in [-1, 1]; no gradient reaches `fake`, nothing is updated.

        `mean_over_ranks` averages the mean logits over processes before LeCAM sees them.
        """
        r1, real_logits = self._judge_real(real, step)
        fake_logits = self.discriminator(fake.detach())
        loss = discriminator_loss(real_logits, fake_logits, self.weights.kind)
        real_mean, fake_mean = real_logits.to(loss.dtype).mean(), fake_logits.to(loss.dtype).mean()
        if mean_over_ranks is not None:
            real_mean, fake_mean = mean_over_ranks(real_mean), mean_over_ranks(fake_mean)
        lecam = self.lecam(real_mean, fake_mean)
        total = loss + self.weights.lecam * lecam
        if r1 is not None:
            total = total + self.weights.r1 * self.weights.r1_every * r1
        return DiscriminatorTerms(total, loss, r1, lecam, real_mean.detach(), fake_mean.detach())

    def _judge_real(self, real: Tensor, step: int) -> tuple[Tensor | None, Tensor]:
        """Return R1, if the step takes it, and the logits of real clips: of one forward pass."""
        if not self.weights.has_r1(step):
            return None, self.discriminator(real)
        penalty, logits = r1_penalty(self.discriminator, real)
        return _SLOPES_TO_UNIT_RANGE * penalty, logits

    def update(self, real_mean: Float[Tensor, ""], fake_mean: Float[Tensor, ""]) -> None:
        """Let LeCAM's averages follow the mean logits of a step; call it once a step, after the backward passes."""
        self.lecam.update(real_mean, fake_mean)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Let what is computed in here give no gradients to the network's parameters, whenever it goes backward."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
