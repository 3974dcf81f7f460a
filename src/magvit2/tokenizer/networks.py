"""Encoder and decoder (figure 7): the whole of the tokenizer that has parameters."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from magvit2.geometry import Size
from magvit2.layers.conv import conv_class
from magvit2.layers.memory import Memory
from magvit2.layers.norm import AdaptiveNorm, make_norm
from magvit2.layers.patches import Patches
from magvit2.layers.resample import AveragePool, RepeatUpsample, Upsample
from magvit2.layers.residual import ResBlock
from magvit2.tokenizer.config import TokenizerConfig

_POINT = (1, 1, 1)

Run = Callable[..., Tensor]
"""How a layer is run: the layer, and what it takes, to what it gives."""


def run_once(layer: Callable[..., Tensor], *inputs: Tensor | Memory | None) -> Tensor:
    """Run a layer; what its backward pass needs is kept."""
    return layer(*inputs)


def run_again(layer: Callable[..., Tensor], *inputs: Tensor | Memory | None) -> Tensor:
    """Run a layer and keep what it takes alone: its backward pass runs it once more first (arXiv 1604.06174)."""
    output: Tensor = checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)  # no layer has chance
    return output


def recompute_activations(network: nn.Module) -> None:
    """Have encoders and decoders in `network` run their layers by `run_again` where whole clips pass through them."""
    for module in network.modules():
        if isinstance(module, Encoder | DecoderLevel | Decoder):
            module.run = run_again


class Encoder(nn.Module):
    """Clips [b, 3, T, H, W] to latents [b, k, t, h, w]; T, H and W must fill whole latent positions."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.patches = Patches(config.patch_size, config.stem)
        kernel, widths, conv = config.kernel(config.kernel_size), config.widths, conv_class(config.is_causal)
        self.stem = conv(3 * config.patch_size**2, widths[0], kernel, bias=False)
        layers: list[nn.Module] = []
        width = widths[0]
        for level, next_width in enumerate(widths):
            layers += _blocks(config, width, next_width, config.num_encoder_blocks)
            width = next_width
            if level < len(config.factors):
                layers.append(_downsample(config, width, config.factors[level]))
        self.layers = nn.ModuleList(layers + _blocks(config, width, width, config.num_mid_blocks))
        self.norm = make_norm(width, config.norm)
        self.head = conv(width, config.num_channels, _POINT)
        self.run: Run = run_once

    def forward(self, clips: Float[Tensor, "b 3 T H W"], memory: Memory | None = None) -> Float[Tensor, "b k t h w"]:
        """Encode clips, or with `memory` their next chunk."""
        x = self.stem(self.patches.cut(clips), memory)
        run = self.run if memory is None else run_once
        for layer in self.layers:
            x = run(layer, x, memory)
        latents: Tensor = self.head(functional.silu(self.norm(x)), memory)
        return latents


class DecoderLevel(nn.Module):
    """One resolution of the decoder, `scale` finer than the codes, which enter through the adaptive norm, if any."""

    def __init__(self, config: TokenizerConfig, scale: Size, in_channels: int, out_channels: int) -> None:
        super().__init__()
        adaptive = AdaptiveNorm(in_channels, config.num_channels, config.norm, scale) if config.adaptive_norm else None
        self.adaptive = adaptive
        self.blocks = nn.ModuleList(_blocks(config, in_channels, out_channels, config.num_decoder_blocks))
        self.run: Run = run_once

    def forward(
        self, x: Float[Tensor, "b c t h w"], codes: Float[Tensor, "b k u y x"], memory: Memory | None = None
    ) -> Float[Tensor, "b d t h w"]:
        """Transform features under the codes of the same clip or chunk."""
        run = self.run if memory is None else run_once
        if self.adaptive is not None:
            x = run(self.adaptive, x, codes)
        for block in self.blocks:
            x = run(block, x, memory)
        return x


class Decoder(nn.Module):
    """Codes [b, k, t, h, w] to clips [b, 3, T, H, W], unclamped; the last layer is linear."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.patches = Patches(config.patch_size, config.stem)
        kernel, widths, conv = config.kernel(config.kernel_size), config.widths[::-1], conv_class(config.is_causal)
        self.stem = conv(config.num_channels, widths[0], kernel)
        self.mid = nn.ModuleList(_blocks(config, widths[0], widths[0], config.num_mid_blocks))
        levels = zip(config.scales, (widths[0], *widths[:-1]), widths, strict=True)
        self.levels = nn.ModuleList(DecoderLevel(config, scale, a, b) for scale, a, b in levels)
        pairs = zip(widths[:-1], config.factors[::-1], strict=True)
        self.upsamples = nn.ModuleList(_upsample(config, width, factors) for width, factors in pairs)
        self.norm = make_norm(widths[-1], config.norm)
        self.head = conv(widths[-1], 3 * config.patch_size**2, kernel)
        self.run: Run = run_once

    def forward(self, codes: Float[Tensor, "b k t h w"], memory: Memory | None = None) -> Float[Tensor, "b 3 T H W"]:
        """Decode codes, or with `memory` the codes of the next chunk."""
        x = self.stem(codes, memory)
        run = self.run if memory is None else run_once
        for block in self.mid:
            x = run(block, x, memory)
        for level, features in enumerate(self.levels):
            if level:
                x = run(self.upsamples[level - 1], x, memory)
            x = features(x, codes, memory)
        return self.patches.join(run(self._pixels, x, memory))

    def _pixels(self, x: Tensor, memory: Memory | None) -> Tensor:
        return self.head(functional.silu(self.norm(x)), memory)


def _blocks(config: TokenizerConfig, in_channels: int, out_channels: int, count: int) -> list[nn.Module]:
    """Return `count` residual blocks of which the first changes the width."""
    kernel = config.kernel(config.kernel_size)
    inputs = [in_channels] + [out_channels] * (count - 1)
    return [
        ResBlock(channels, out_channels, kernel, config.norm, is_causal=config.is_causal) for channels in inputs[:count]
    ]


def _downsample(config: TokenizerConfig, width: int, factors: Size) -> nn.Module:
    if config.resampling == "plain":
        return AveragePool(factors)
    return conv_class(config.is_causal)(width, width, config.kernel(config.downsample_kernel), factors)


def _upsample(config: TokenizerConfig, width: int, factors: Size) -> nn.Module:
    kernel = config.kernel(config.upsample_kernel)
    if config.resampling == "plain":
        return RepeatUpsample(width, factors, kernel)
    return Upsample(width, factors, kernel, is_causal=config.is_causal)
