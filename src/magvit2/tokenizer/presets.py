"""Named shapes: the paper's, audited by parameter and FLOP counts, and small ones for CPUs."""

from types import MappingProxyType

from magvit2.errors import ConfigError
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
        "small": _SMALL,
        "tiny": _TINY,
    }
)
"""Every preset by its name."""


def tokenizer_preset(name: str) -> TokenizerConfig:
    """Return the configuration called `name`. Raises ConfigError, naming the known ones."""
    if name not in TOKENIZER_PRESETS:
        raise ConfigError(f"tokenizer preset {name!r}: expected one of {', '.join(TOKENIZER_PRESETS)}")
    return TOKENIZER_PRESETS[name]
