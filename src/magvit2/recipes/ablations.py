"""What each choice brings: one small training, and the same one with one thing changed.

    python -m magvit2.recipes.ablate --data DATA --nets DATA/nets --out runs/ablations

400 steps each at 64 x 64, five to nine minutes on one CPU core. docs/notebook.md has what they taught. The perceptual
network is not the one that `psq` looks through. Losses in the manner of other projects are those of their
reconstruction, codes and features, on this network and data and with this optimizer; their adversaries are left out.
"""

import dataclasses
from types import MappingProxyType

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.data.batches import BatchSpec
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.recipes.rivals import RIVAL_RECIPES
from magvit2.training import BitDropping, ImagePretraining, OptimizerConfig, TokenizerTraining

_NUM_STEPS = 400
_MUON = OptimizerConfig(kind="muon", lr=1e-3, final_lr=1e-5, beta1=0.9, beta2=0.99, warmup_steps=50, max_grad_norm=1.0)
_BASE = dataclasses.replace(
    RIVAL_RECIPES["rival-lfq"],
    num_steps=_NUM_STEPS,
    loss=LossWeights(entropy=0.005, entropy_boost=3.0, entropy_boost_steps=200, temperature=1.0, commitment=0.05),
    perceptual=PerceptualWeights("resnet50v2", weight=0.1, num_frames=2),
    optimizer=_MUON,
)
_SMALL = _BASE.model


def _with(**changes: object) -> TokenizerTraining:
    return dataclasses.replace(_BASE, **changes)  # type: ignore[arg-type]


def _shaped(**changes: object) -> TokenizerTraining:
    return _with(model=dataclasses.replace(_SMALL, **changes))  # type: ignore[arg-type]


def _weighted(**changes: object) -> TokenizerTraining:
    return _with(loss=dataclasses.replace(_BASE.loss, **changes))  # type: ignore[arg-type]


# A discriminator that costs about a third of the tokenizer's step.
_ADVERSARIAL = _with(
    adversarial=AdversarialWeights(weight=0.1, start_step=100, ramp_steps=100, r1_every=16),
    discriminator=DiscriminatorConfig(base_channels=8, channel_multipliers=(2, 4, 8, 8), head="pool"),
    discriminator_optimizer=OptimizerConfig(lr=5e-4, final_lr=1e-5, beta1=0.0, beta2=0.99, warmup_steps=50),
)

_UNSCALED = dataclasses.replace(_SMALL, normalize_latents=False)

ABLATION_RECIPES = MappingProxyType(
    {
        "ablation-base": _BASE,
        "ablation-base-again": _with(seed=1),
        "ablation-adamw": _with(optimizer=dataclasses.replace(_MUON, kind="adamw")),
        "ablation-no-perceptual": _with(perceptual=PerceptualWeights()),
        "ablation-more-perceptual": _with(perceptual=dataclasses.replace(_BASE.perceptual, weight=0.3)),
        "ablation-adversarial": _ADVERSARIAL,
        "ablation-low-entropy": _weighted(entropy=0.001, entropy_boost=1.0, commitment=0.02),
        "ablation-unscaled": _shaped(normalize_latents=False),
        "ablation-haar": _shaped(stem="haar"),
        "ablation-deep": _shaped(base_channels=24, num_encoder_blocks=2, num_decoder_blocks=2),
        "ablation-wide": _shaped(base_channels=40, channel_multipliers=(1, 2, 3)),
        "ablation-16x16": _shaped(channel_multipliers=(1, 2, 2, 4), temporal_downsample=(False, True, True)),
        "ablation-absolute": _weighted(reconstruction=0.0, absolute=1.0),
        "ablation-bits": _with(bit_dropping=BitDropping(probability=0.25, least=6, start_step=_NUM_STEPS * 2 // 3)),
        "ablation-images-first": _with(
            num_steps=_NUM_STEPS // 2,
            pretraining=ImagePretraining((BatchSpec("image", batch_size=36, num_frames=1, size=64),), _NUM_STEPS // 2),
        ),
        "ablation-vq": _with(
            model=dataclasses.replace(_UNSCALED, quantizer="vq", codebook_dim=64),
            loss=LossWeights(entropy=0.0, commitment=0.25),
        ),
        "ablation-fsq": _with(
            model=dataclasses.replace(_UNSCALED, quantizer="fsq", levels=(8,) * 6),
            loss=LossWeights(entropy=0.0, commitment=0.0),
        ),
        # magvit2-pytorch 0.5.1: squared error of weight 1, entropy 0.1 with 2.5 times the batch term, commitment 1.
        "ablation-magvit2-pytorch": _with(
            model=_UNSCALED,
            loss=LossWeights(reconstruction=1.0, entropy=0.1, entropy_boost=1.0, diversity=2.5, commitment=1.0),
        ),
        # Open-MAGVIT2: absolute error on [-1, 1], features of weight 1, entropy 0.1 without annealing, commitment 0.25.
        "ablation-open-magvit2": _with(
            model=_UNSCALED,
            loss=LossWeights(reconstruction=0.0, absolute=2.0, entropy=0.1, entropy_boost=1.0, commitment=0.25),
            perceptual=dataclasses.replace(_BASE.perceptual, weight=1.0),
        ),
    }
)
"""Every one by its name."""
