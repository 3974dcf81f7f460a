"""Named shapes: the paper's, audited by parameter and FLOP counts, and small ones for CPUs."""

import dataclasses
from types import MappingProxyType

from magvit2.errors import ConfigError
from magvit2.schema import did_you_mean
from magvit2.tokenizer.config import TokenizerConfig

_VIDEO = TokenizerConfig()
_IMAGE_128 = TokenizerConfig(temporal_downsample=(False,) * 3, is_image=True)
_SMALL = TokenizerConfig(
    base_channels=32,
    channel_multipliers=(1, 2, 4),
    temporal_downsample=(True, True),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=1,
    patch_size=2,
    upsample_kernel=1,
    norm="position",
    normalize_latents=True,
)
_MAGVIT1 = TokenizerConfig(
    temporal_downsample=(True, True, False),
    num_encoder_blocks=2,
    num_decoder_blocks=2,
    num_mid_blocks=2,
    norm="clip",
    quantizer="vq",
    window=16,
    resampling="plain",
    adaptive_norm=False,
)
_TINY = TokenizerConfig(
    base_channels=16,
    channel_multipliers=(1, 2, 2),
    temporal_downsample=(True, True),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=0,
    patch_size=2,
    upsample_kernel=1,
    norm="position",
    normalize_latents=True,
)

TOKENIZER_PRESETS = MappingProxyType(
    {
        # 4x8x8, 17x128x128 -> 5x16x16: figure 7 with 4x4x4 strided kernels, 376M parameters.
        "video-128": _VIDEO,
        # 58M, two blocks a stage: the paper's ablation of the causal 3-D CNN (table 5a).
        "video-128-base": TokenizerConfig(
            base_channels=64, num_encoder_blocks=2, num_decoder_blocks=2, num_mid_blocks=2
        ),
        # 4x16x16, 0.0147 to 0.0176 bits per pixel: inferred from the published complexity, 6.1 / 8.0 MFLOP per pixel.
        "video-low-rate": TokenizerConfig(
            channel_multipliers=(1, 1, 2, 2, 4),
            temporal_downsample=(False, False, True, True),
            num_encoder_blocks=2,
            num_decoder_blocks=2,
            num_mid_blocks=2,
        ),
        # 8x, 16x16 tokens at 128 pixels; the video model is inflated from it.
        "image-128": _IMAGE_128,
        # 16x, 16x16 tokens at 256 pixels: 116M parameters.
        "image-256": TokenizerConfig(
            channel_multipliers=(1, 1, 2, 2, 4), temporal_downsample=(False,) * 4, is_image=True
        ),
        # 32x, 16x16 tokens at 512 pixels; the paper does not print its multipliers, these continue image-256's.
        "image-512": TokenizerConfig(
            channel_multipliers=(1, 1, 2, 2, 4, 4), temporal_downsample=(False,) * 5, is_image=True
        ),
        # MAGVIT, the first: not causal, 4x8x8, 16 frames a window, 1,024 codes of 256 channels; 157.5M parameters.
        "magvit1": _MAGVIT1,
        # Its base size with 18 bits, 38.6M: "MAGVIT" of the paper's table 5a, and the non-causal LFQ of its rebuttal.
        "magvit1-base": dataclasses.replace(_MAGVIT1, base_channels=64, quantizer="lfq"),
        # A plain 3-D VQ-VAE in the manner of VideoGPT (one width, strided convolutions, residual blocks), without its
        # axial attention: the weakest baseline of the paper's table 4.
        "vq-vae-3d": dataclasses.replace(
            _MAGVIT1,
            base_channels=240,
            channel_multipliers=(1, 1, 1, 1),
            num_encoder_blocks=1,
            num_decoder_blocks=1,
            num_mid_blocks=4,
            resampling="learned",
        ),
        "small": _SMALL,
        "tiny": _TINY,
    }
)
"""Every preset by its name."""


def tokenizer_preset(name: str) -> TokenizerConfig:
    """Return the configuration called `name`. Raises ConfigError, naming the known ones."""
    if name not in TOKENIZER_PRESETS:
        known = f"{', '.join(TOKENIZER_PRESETS)}{did_you_mean(name, TOKENIZER_PRESETS)}"
        raise ConfigError(f"tokenizer preset {name!r}: expected one of {known}")
    return TOKENIZER_PRESETS[name]
