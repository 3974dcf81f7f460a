"""Recipes for language models. Each says what it takes, how long, and what to expect.

magvit2 tokenize DATA --split train --frames 17 --size 64 --out TOKENS/train     (and val, to TOKENS/val)
magvit2 train lm NAME --data TOKENS --out runs/NAME
"""

import dataclasses
from pathlib import Path
from types import MappingProxyType

from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import LM_PRESETS, CausalLMConfig, MaskedLMConfig
from magvit2.schema import did_you_mean, read_json
from magvit2.training import LanguageTraining, OptimizerConfig, TaskShare

_SMALL = TransformerConfig(width=192, num_layers=6, num_heads=6, mlp_width=512, dropout=0.1)
_FAST = OptimizerConfig(
    kind="muon", lr=6e-3, final_lr=1e-5, beta1=0.9, beta2=0.96, weight_decay=0.045, warmup_steps=100, max_grad_norm=1.0
)
_TASKS = (
    TaskShare("class", 2.0),
    TaskShare("predict", 2.0),
    TaskShare("interpolate", 0.5),
    TaskShare("inpaint", 0.5),
    TaskShare("outpaint", 0.5),
)

# Seconds on one CPU core, of tokens of clips or images: to see that all works.
_TINY = LanguageTraining(
    transformer=TransformerConfig(width=64, num_layers=2, num_heads=2, mlp_width=128),
    num_steps=200,
    batch_size=8,
    optimizer=dataclasses.replace(_FAST, warmup_steps=20),
    log_every=10,
    sample_every=100,
    validate_every=100,
    checkpoint_every=100,
)

# 2.9M parameters, one CPU core, 45 minutes: clips by class, and frame prediction, interpolation, in- and outpainting.
# Expect 8.4 bits a token on held-out clips of 17 x 64 x 64 (people, street scenes, sprites): the weights lm-clips-a1.
_CPU_VIDEO = LanguageTraining(
    transformer=_SMALL, num_steps=1600, batch_size=16, tasks=_TASKS, optimizer=_FAST, sample_every=400,
    validate_every=400, validate_items=128, checkpoint_every=100,
)  # fmt: skip
# The same size for images by class, 33 minutes. Expect 15.8 bits a token on photographs of 64 x 64: lm-images-a1.
_CPU_IMAGES = dataclasses.replace(
    _CPU_VIDEO, num_steps=1500, tasks=(TaskShare(),), batch_size=64, sample_every=500, validate_every=500,
    validate_items=512,
)  # fmt: skip

# The other models on the same tokens and steps: causal over flattened factors, and bits without a table. Not yet run.
_CPU_CAUSAL = dataclasses.replace(_CPU_VIDEO, kind="causal", tasks=(TaskShare(),), is_tied=True)
_CPU_BITS = dataclasses.replace(_CPU_VIDEO, tokens="bits", num_factors=18, unit="factor")

# From a folder of videos as it is, with COMMIT's conditions beside clean ones: pixels are turned into ids as they come.
_CPU_PIXELS = dataclasses.replace(
    _CPU_VIDEO,
    batches=(BatchSpec("video", batch_size=16, num_frames=17, size=64, least_area=0.8),),
    tasks=(*_TASKS, TaskShare("predict", 1.0, commit=True), TaskShare("inpaint", 0.5, commit=True)),
)

# One H200, three commands of nine minutes in bf16, 6.8M parameters: `--export` writes files of 16 MiB at most.
#     python -m magvit2.recipes.run lm-h200 --data TOKENS --out runs/lm-h200 --device cuda --time-limit 540 --export OUT
# Not yet run.
_H200 = LanguageTraining(
    transformer=TransformerConfig(width=256, num_layers=8, num_heads=8, mlp_width=688, dropout=0.1),
    num_steps=20000,
    batch_size=128,
    tasks=_TASKS,
    optimizer=dataclasses.replace(_FAST, warmup_steps=500),
)


def _paper(preset: str, batch_size: int, num_steps: int, label_smoothing: float = 1e-4) -> LanguageTraining:
    """Return the published settings (appendix A.2; MAGVIT's for what it is silent on) of a preset. Not yet run."""
    model = LM_PRESETS[preset]
    tokens = model.tokens if isinstance(model, MaskedLMConfig) else "factors"
    return LanguageTraining(
        kind="causal" if isinstance(model, CausalLMConfig) else "masked",
        transformer=model.transformer,
        num_factors=model.num_factors,
        tokens=tokens,
        num_steps=num_steps,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
    )


LANGUAGE_RECIPES = MappingProxyType(
    {
        "lm-tiny": _TINY,
        "lm-video": _CPU_VIDEO,
        "lm-images": _CPU_IMAGES,
        "lm-causal": _CPU_CAUSAL,
        "lm-bits": _CPU_BITS,
        "lm-pixels": _CPU_PIXELS,
        "lm-h200": _H200,
        "paper-mlm-imagenet": _paper("mlm-2x9", 1024, 1351350),  # 1,080 epochs of 1,281,167 images
        "paper-mlm-ucf101": _paper("mlm-video", 256, 74508),  # MAGVIT's 2,000 epochs of 9,537 clips
        "paper-mlm-k600": _paper("mlm-video", 256, 540000),  # 360 epochs of 384,000 clips
        "paper-ar-ucf101": _paper("ar-18", 256, 74508),
    }
)
"""Every recipe by its name."""


def language_recipe(name: str) -> LanguageTraining:
    """Return the training called `name`, or the one in a JSON file such as a run's `training.json`.

    Raises ConfigError, naming the known ones, or for a file that is not a training.
    """
    if name.endswith(".json"):
        return read_json(LanguageTraining, Path(name))
    if name not in LANGUAGE_RECIPES:
        known = ", ".join(LANGUAGE_RECIPES)
        raise ConfigError(
            f"language model recipe {name!r}: expected one of {known}, or a JSON file"
            f"{did_you_mean(name, LANGUAGE_RECIPES)}"
        )
    return LANGUAGE_RECIPES[name]
