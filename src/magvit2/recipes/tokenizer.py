"""Tokenizer trainings by name. Each says the machine, the time it takes and the number to expect.

magvit2 train tokenizer RECIPE --data FOLDER --out runs/NAME [--set path=value ...]
"""

import dataclasses
from functools import partial
from pathlib import Path
from types import MappingProxyType

from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.recipes.ablations import ABLATION_RECIPES
from magvit2.recipes.paper import PAPER_RECIPES
from magvit2.recipes.rivals import RIVAL_RECIPES
from magvit2.schema import did_you_mean, read_json
from magvit2.tokenizer import TokenizerConfig, tokenizer_preset
from magvit2.training import BitDropping, ImagePretraining, OptimizerConfig, TokenizerTraining

_UNIT_LATENTS = LossWeights(
    entropy=0.005, entropy_boost=3.0, entropy_boost_steps=1000, temperature=1.0, commitment=0.05
)
_ADAMW = OptimizerConfig(lr=1e-3, final_lr=1e-5, beta1=0.9, beta2=0.99, warmup_steps=200, max_grad_norm=1.0)
_MUON = dataclasses.replace(_ADAMW, kind="muon", warmup_steps=100)
_PHOTOS = ("imagenet_sample256",)

# 2 CPU cores, 84 minutes with other work beside it. Expect 1.4 dB over bicubic on held-out clips.
_CLIP_A1 = TokenizerTraining(
    model=tokenizer_preset("small"),
    batches=(
        BatchSpec("video", batch_size=4, num_frames=9, size=64, weight=2),
        BatchSpec("video", batch_size=2, num_frames=17, size=64, weight=1),
        BatchSpec("video", batch_size=1, num_frames=9, size=128, weight=1, groups=("arid6_160", "cctv_144")),
        BatchSpec("motion", batch_size=4, num_frames=9, size=64, weight=2, groups=_PHOTOS),
        BatchSpec("image", batch_size=12, num_frames=1, size=64, weight=2),
        BatchSpec("image", batch_size=3, num_frames=1, size=128, weight=1, groups=_PHOTOS),
    ),
    num_steps=8500,
    loss=_UNIT_LATENTS,
    optimizer=_ADAMW,
)

# The second stage starts from the first one's model and all but drops the entropy term: reconstruction comes first.
# 2 CPU cores, 23 minutes with other work beside it. Expect 2.1 dB over bicubic on held-out clips.
_CLIP_A1_FINISH = dataclasses.replace(
    _CLIP_A1,
    initial="runs/clip-a1/model",
    num_steps=2500,
    loss=LossWeights(entropy=0.0005, entropy_boost=1.0, temperature=1.0, commitment=0.01),
    optimizer=dataclasses.replace(_ADAMW, lr=6e-4, warmup_steps=100),
    seed=1,
)

# From clip-a1's weights on: Muon, a perceptual term on two frames of each clip, magnified and brightened photographs.
# One CPU core, 95 minutes with other work beside it. Expect 2.8 dB over bicubic on held-out clips.
_wide = partial(BatchSpec, zoom=2.0, exposure=0.7)
_CLIP_B1 = dataclasses.replace(
    _CLIP_A1,
    initial="runs/clip-a1-finish/model",
    batches=(
        BatchSpec("video", batch_size=4, num_frames=9, size=64, weight=2),
        BatchSpec("video", batch_size=2, num_frames=17, size=64, weight=1),
        BatchSpec("video", batch_size=1, num_frames=9, size=128, weight=1, groups=("arid6_160", "cctv_144")),
        _wide("motion", batch_size=4, num_frames=9, size=64, weight=2, groups=_PHOTOS),
        _wide("motion", batch_size=1, num_frames=9, size=128, weight=1, groups=_PHOTOS),
        _wide("image", batch_size=12, num_frames=1, size=64, weight=2),
        _wide("image", batch_size=3, num_frames=1, size=128, weight=1, groups=_PHOTOS),
    ),
    num_steps=6000,
    loss=LossWeights(entropy=0.001, entropy_boost=3.0, entropy_boost_steps=4000, temperature=1.0, commitment=0.01),
    perceptual=PerceptualWeights("resnet50v2", weight=0.05, num_frames=2),
    optimizer=_MUON,
    seed=2,
    checkpoint_every=250,
)

# Then dropped bits, so that any number of them decodes. And the same steps without, to know what
# that costs. One CPU core each, 15 minutes. Expect 0.04 dB less than without on held-out clips, 0.11 dB on images.
_CLIP_B1_BITS = dataclasses.replace(
    _CLIP_B1,
    initial="runs/clip-b1/model",
    num_steps=1000,
    loss=dataclasses.replace(_CLIP_B1.loss, entropy_boost=1.0),
    optimizer=dataclasses.replace(_MUON, lr=5e-4),
    bit_dropping=BitDropping(probability=0.25, least=6),
    seed=3,
)
_CLIP_B1_CONTROL = dataclasses.replace(_CLIP_B1_BITS, bit_dropping=BitDropping())

# Once more at the high rate, from clip-b1's model: clips of 128 pixels twice as often, more weight on even codes, bits
# dropped in the last third: the weights clip-b2. One CPU core, 85 minutes with other work beside it. Expect 3.2 dB over
# bicubic on all held-out clips, 2.2 on all images.
_CLIP_B2 = dataclasses.replace(
    _CLIP_B1,
    initial="runs/clip-b1/model",
    batches=tuple(
        dataclasses.replace(batch, weight=2) if (batch.kind, batch.size) == ("video", 128) else batch
        for batch in _CLIP_B1.batches
    ),
    num_steps=7000,
    loss=dataclasses.replace(_CLIP_B1.loss, entropy_boost=1.0, diversity=1.5),
    bit_dropping=BitDropping(probability=0.25, least=6, start_step=4700),
    seed=4,
    validate_every=1000,
)


# Baselines to compare with: codebooks of 2^10 in windows that are not causal, on the same data.
def _in_windows(model: TokenizerConfig) -> TokenizerTraining:
    clips = [batch for batch in _CLIP_B1.batches if batch.kind != "image"]
    return dataclasses.replace(
        _CLIP_B1,
        model=model,
        initial=None,
        batches=tuple(dataclasses.replace(batch, num_frames=batch.num_frames - 1) for batch in clips),
        num_steps=3000,
        loss=LossWeights(entropy=0.0, commitment=0.25),
    )


# For a folder of one's own: images (frames, where there are none), then clips and images mixed. Overnight on 2 CPU
# cores. Not yet run to the end.
_CPU = TokenizerTraining(
    model=tokenizer_preset("small"),
    batches=(
        BatchSpec("video", batch_size=4, num_frames=9, size=64, weight=3),
        BatchSpec("video", batch_size=2, num_frames=17, size=64, weight=1),
        BatchSpec("video", batch_size=1, num_frames=9, size=128, weight=1),
        BatchSpec("image", batch_size=12, num_frames=1, size=64, weight=1),
    ),
    num_steps=30000,
    pretraining=ImagePretraining((BatchSpec("image", batch_size=36, num_frames=1, size=64),), num_steps=6000),
    loss=LossWeights(entropy=0.002, entropy_boost=3.0, entropy_boost_steps=3000, temperature=1.0, commitment=0.02),
    optimizer=_MUON,
    checkpoint_every=100,
)
_IMAGES = dataclasses.replace(
    _CPU, batches=(BatchSpec("image", batch_size=36, num_frames=1, size=64),), num_steps=6000, pretraining=None
)

# To see that all works: a minute on one CPU core. Expect blurs in the right colours.
_TINY = TokenizerTraining(
    model=tokenizer_preset("tiny"),
    batches=(
        BatchSpec("video", batch_size=4, num_frames=9, size=32, weight=2),
        BatchSpec("image", batch_size=16, num_frames=1, size=32, weight=1),
    ),
    num_steps=600,
    loss=LossWeights(entropy=0.005, entropy_boost=3.0, entropy_boost_steps=200, temperature=1.0, commitment=0.05),
    optimizer=dataclasses.replace(_MUON, warmup_steps=20),
    sample_every=200,
    validate_every=200,
    checkpoint_every=100,
)

# Not yet run. One H200 with 16 CPU cores, three times 9 minutes, data packed by `magvit2 pack`; the number to expect is
# not known. 7.8M parameters (14.9 MiB in bf16) and four times the work of `small` a pixel, about 23 TFLOP a step.
#     python -m magvit2.recipes.run h200 --data PACK --out runs/h200 --device cuda --time-limit 540 --export OUT
_CLIPS = ("arid6_160", "cctv_144")
_H200 = TokenizerTraining(
    model=dataclasses.replace(
        tokenizer_preset("small"),
        base_channels=64,
        channel_multipliers=(1, 1, 2),
        num_encoder_blocks=2,
        num_decoder_blocks=2,
    ),
    batches=(
        BatchSpec("video", batch_size=64, num_frames=17, size=128, weight=3, groups=_CLIPS),
        BatchSpec("video", batch_size=128, num_frames=17, size=64, weight=2),
        BatchSpec("motion", batch_size=64, num_frames=17, size=128, weight=2, groups=_PHOTOS),
        BatchSpec("motion", batch_size=128, num_frames=17, size=64, weight=1, groups=_PHOTOS),
        BatchSpec("image", batch_size=512, num_frames=1, size=128, weight=1, groups=_PHOTOS),
        BatchSpec("image", batch_size=1536, num_frames=1, size=64, weight=1),
    ),
    num_steps=4000,
    loss=LossWeights(entropy=0.001, entropy_boost=5.0, entropy_boost_steps=1500, temperature=1.0, commitment=0.02),
    optimizer=dataclasses.replace(_MUON, lr=2e-3, final_lr=2e-5, warmup_steps=300),
    num_workers=15,
    checkpoint_every=250,
)

TOKENIZER_RECIPES = MappingProxyType(
    {
        "clip-a1": _CLIP_A1,
        "clip-a1-finish": _CLIP_A1_FINISH,
        "clip-b1": _CLIP_B1,
        "clip-b1-bits": _CLIP_B1_BITS,
        "clip-b1-control": _CLIP_B1_CONTROL,
        "clip-b2": _CLIP_B2,
        "magvit-small": _in_windows(RIVAL_RECIPES["rival-magvit1"].model),
        "vqvae3d-small": _in_windows(RIVAL_RECIPES["rival-vq-vae-3d"].model),
        "tiny": _TINY,
        "cpu": _CPU,
        "images": _IMAGES,
        "h200": _H200,
        **PAPER_RECIPES,
        **RIVAL_RECIPES,
        **ABLATION_RECIPES,
    }
)
"""Every recipe by its name."""


def tokenizer_recipe(name: str) -> TokenizerTraining:
    """Return the training called `name`, or the one in a JSON file such as a run's `training.json`.

    Raises ConfigError, naming the known ones, or for a file that is not a training.
    """
    if name.endswith(".json"):
        return read_json(TokenizerTraining, Path(name))
    if name not in TOKENIZER_RECIPES:
        known = ", ".join(TOKENIZER_RECIPES)
        meant = did_you_mean(name, TOKENIZER_RECIPES)
        raise ConfigError(f"tokenizer recipe {name!r}: expected one of {known}, or a JSON file{meant}")
    return TOKENIZER_RECIPES[name]
