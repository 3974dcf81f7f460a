"""Tokenizers small enough to run everywhere, with every parameter random: none starts at 0 or 1 and hides a mistake."""

import dataclasses

import torch
from torch import Tensor, nn

from magvit2.tokenizer import Tokenizer, TokenizerConfig

PAPER_LIKE = TokenizerConfig(
    num_bits=6,
    base_channels=4,
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=1,
)
"""Figure 7 with few channels: per-frame norms, (1, 2, 2, 4), time halved twice, strides (4, 8, 8)."""

OURS = TokenizerConfig(
    num_bits=6,
    base_channels=4,
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
"""As our own presets: per-position norms, 2x2 patches, strides (4, 8, 8)."""

IMAGES = TokenizerConfig(
    num_bits=6,
    base_channels=4,
    channel_multipliers=(1, 2, 2),
    temporal_downsample=(False, False),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=1,
    is_image=True,
)
"""A 2-D model: every frame is an image, strides (1, 4, 4)."""

MAGVIT1_LIKE = TokenizerConfig(
    base_channels=4,
    channel_multipliers=(1, 2, 2),
    temporal_downsample=(True, True),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=0,
    patch_size=2,
    norm="clip",
    quantizer="vq",
    codebook_size=32,
    codebook_dim=8,
    window=8,
    resampling="plain",
    adaptive_norm=False,
)
"""As the first MAGVIT: windows of 8 frames, pooling and repetition, one norm a window, a codebook."""

VQ_VAE_LIKE = dataclasses.replace(MAGVIT1_LIKE, channel_multipliers=(2, 2, 2), resampling="learned", upsample_kernel=1)
"""One width, strided convolutions and depth-to-space, in windows."""

WINDOW_CONFIGS = {"magvit1-like": MAGVIT1_LIKE, "vq-vae-like": VQ_VAE_LIKE}
VIDEO_CONFIGS = {"paper-like": PAPER_LIKE, "ours": OURS}
ALL_CONFIGS = VIDEO_CONFIGS | {"images": IMAGES}


def random_tokenizer(config: TokenizerConfig, dtype: torch.dtype = torch.float32) -> Tokenizer:
    """A tokenizer in evaluation mode with random weights, those of the adaptive norms too."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(config).to(dtype)
    for name, parameter in tokenizer.named_parameters():
        if "norm" in name or "bias" in name:
            nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.3)
        elif "affine" in name:
            nn.init.normal_(parameter, std=0.5)
    return tokenizer.eval()


def random_clips(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Clips [b, 3, T, H, W] of noise in [-1, 1] for `shape` = (b, T, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    b, frames, rows, columns = shape
    return (torch.rand(b, 3, frames, rows, columns, generator=generator) * 2 - 1).to(dtype)


def random_ids(tokenizer: Tokenizer, *shape: int, seed: int = 0) -> Tensor:
    """Ids [b, t, h, w], every one of the space equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(tokenizer.space.vocab_size, shape, generator=generator)
