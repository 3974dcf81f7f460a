"""What each part of the objective brings: one small training, and the same one with one thing changed.

    magvit2 train tokenizer ablation-perceptual --data DATA --out runs/ablation-perceptual --threads 1

1,200 steps each at 64 x 64, 12 to 25 minutes on one CPU core. docs/notebook.md has what they taught. The perceptual
network (`--nets`) is not the one that `psq` looks through.
"""

import dataclasses
from types import MappingProxyType

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.recipes.rivals import RIVAL_RECIPES
from magvit2.training import BitDropping, OptimizerConfig

_NUM_STEPS = 1200
_BASE = dataclasses.replace(
    RIVAL_RECIPES["rival-lfq"],
    num_steps=_NUM_STEPS,
    loss=LossWeights(entropy=0.005, entropy_boost=3.0, entropy_boost_steps=400, temperature=1.0, commitment=0.05),
)
_PERCEPTUAL = dataclasses.replace(_BASE, perceptual=PerceptualWeights("resnet50v2", weight=0.1, num_frames=2))
# A discriminator that costs about a third of the tokenizer's step.
_ADVERSARIAL = dataclasses.replace(
    _PERCEPTUAL,
    adversarial=AdversarialWeights(weight=0.1, start_step=300, ramp_steps=300, r1_every=16),
    discriminator=DiscriminatorConfig(base_channels=8, channel_multipliers=(2, 4, 8, 8), head="pool"),
    discriminator_optimizer=OptimizerConfig(lr=5e-4, final_lr=1e-5, beta1=0.0, beta2=0.99, warmup_steps=100),
)

ABLATION_RECIPES = MappingProxyType(
    {
        "ablation-base": _BASE,
        "ablation-low-entropy": dataclasses.replace(
            _BASE, loss=LossWeights(entropy=0.001, entropy_boost=1.0, temperature=1.0, commitment=0.02)
        ),
        "ablation-perceptual": _PERCEPTUAL,
        "ablation-adversarial": _ADVERSARIAL,
        "ablation-bits": dataclasses.replace(
            _BASE, bit_dropping=BitDropping(probability=0.25, least=6, start_step=_NUM_STEPS * 2 // 3)
        ),
        "ablation-absolute": dataclasses.replace(
            _BASE, loss=dataclasses.replace(_BASE.loss, reconstruction=0.0, absolute=1.0)
        ),
    }
)
"""Every one by its name."""
