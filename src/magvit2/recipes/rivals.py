"""Rival quantizers and older networks at equal settings: the same data, steps and optimizer, and one skeleton.

    magvit2 train tokenizer rival-bsq --data DATA --out runs/rival-bsq --threads 1

Ten minutes each on one CPU core. docs/results.md has the table. Each keeps the loss weights that its own paper has or
that served it best in short runs; 8 frames for models that are not causal stand beside 9 for those that are.
"""

import dataclasses
from types import MappingProxyType

from magvit2.data.batches import BatchSpec
from magvit2.losses import LossWeights
from magvit2.tokenizer import TokenizerConfig, tokenizer_preset
from magvit2.training import OptimizerConfig, TokenizerTraining

_NUM_STEPS = 900
_SKELETON = dataclasses.replace(tokenizer_preset("small"), normalize_latents=False)
# The first MAGVIT's ways at the size of `small`: windows, pooling and repetition, no adaptive norm, one norm a window.
_MAGVIT1 = dataclasses.replace(
    _SKELETON,
    quantizer="vq",
    codebook_dim=64,
    norm="clip",
    window=16,
    resampling="plain",
    upsample_kernel=3,
    adaptive_norm=False,
)
_VQ_VAE = dataclasses.replace(
    _MAGVIT1, base_channels=64, channel_multipliers=(1, 1, 1), resampling="learned", upsample_kernel=1
)

# As in the embedded weights' second stage: codes of unit scale, and just enough entropy to keep every bit alive.
_LFQ = LossWeights(entropy=0.002, entropy_boost=1.0, temperature=1.0, commitment=0.02)
# The temperature gives bits the same confidence as LFQ's; the batch term is over bits, as in BSQ's paper.
_BSQ = dataclasses.replace(_LFQ, temperature=1 / 18, joint_entropy=False)
_FSQ = LossWeights(entropy=0.0, commitment=0.0)
_VQ = LossWeights(entropy=0.0, commitment=0.25)


def _rival(model: TokenizerConfig, loss: LossWeights) -> TokenizerTraining:
    num_frames = 9 if model.is_causal else 8
    return TokenizerTraining(
        model=model,
        batches=(
            BatchSpec("video", batch_size=4, num_frames=num_frames, size=64, weight=2),
            BatchSpec("motion", batch_size=4, num_frames=num_frames, size=64, groups=("imagenet_sample256",)),
        ),
        num_steps=_NUM_STEPS,
        loss=loss,
        optimizer=OptimizerConfig(lr=1e-3, final_lr=1e-5, beta1=0.9, beta2=0.99, warmup_steps=100, max_grad_norm=1.0),
        ema_decay=0.99,
        checkpoint_every=100,
    )


RIVAL_RECIPES = MappingProxyType(
    {
        "rival-lfq": _rival(tokenizer_preset("small"), _LFQ),
        "rival-bsq": _rival(dataclasses.replace(_SKELETON, quantizer="bsq"), _BSQ),
        "rival-fsq": _rival(dataclasses.replace(_SKELETON, quantizer="fsq", levels=(8,) * 6), _FSQ),
        "rival-vq": _rival(dataclasses.replace(_SKELETON, quantizer="vq", codebook_dim=64), _VQ),
        "rival-magvit1": _rival(_MAGVIT1, _VQ),
        "rival-vq-vae-3d": _rival(_VQ_VAE, _VQ),
    }
)
"""Every one by its name."""
