"""The adversary of the tokenizer's training: its network, the GAN losses, and what keeps them stable."""

from magvit2.adversarial.adversary import AdversarialWeights, Adversary, DiscriminatorTerms, adversarial_weight
from magvit2.adversarial.config import DiscriminatorConfig
from magvit2.adversarial.discriminator import Discriminator
from magvit2.adversarial.losses import GanKind, discriminator_loss, generator_loss
from magvit2.adversarial.regularizers import LeCAM, RealGradient, r1_penalty

__all__ = [
    "AdversarialWeights",
    "Adversary",
    "Discriminator",
    "DiscriminatorConfig",
    "DiscriminatorTerms",
    "GanKind",
    "LeCAM",
    "RealGradient",
    "adversarial_weight",
    "discriminator_loss",
    "generator_loss",
    "r1_penalty",
]
