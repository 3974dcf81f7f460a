"""The closed configuration of a tokenizer; it travels in the model's `config.json`."""

from dataclasses import dataclass

from magvit2.errors import ConfigError
from magvit2.geometry import Size
from magvit2.layers.norm import NormKind
from magvit2.quantizers.lfq import MAX_BITS
from magvit2.tokens import TokenSpace


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of a tokenizer; the defaults are the paper's video model (figure 7).

    `temporal_downsample` has one entry for each of the `len(channel_multipliers) - 1` downsamplings, all of which
    halve space. `patch_size` puts a space-to-depth stem in front and its inverse behind (1: none). An image-only model
    (`is_image`) has no extent in time: it treats every frame as an image, with strides (1, s, s).

    Raises ConfigError for a value that no model can have.
    """

    num_bits: int = 18
    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4)
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    num_encoder_blocks: int = 4
    num_decoder_blocks: int = 4
    num_mid_blocks: int = 4
    patch_size: int = 1
    kernel_size: int = 3
    downsample_kernel: int = 4
    upsample_kernel: int = 3
    norm: NormKind = "frame"
    normalize_latents: bool = False
    is_image: bool = False

    def __post_init__(self) -> None:
        positive = (
            self.base_channels,
            self.patch_size,
            self.kernel_size,
            self.upsample_kernel,
            self.num_encoder_blocks,
        )
        if min(*positive, self.num_decoder_blocks, *self.channel_multipliers, 1) < 1 or self.num_mid_blocks < 0:
            raise ConfigError(f"{self}: expected channels, kernels, patch size and block counts of 1 or more")
        if len(self.temporal_downsample) != len(self.channel_multipliers) - 1:
            levels = len(self.channel_multipliers)
            raise ConfigError(
                f"temporal_downsample has {len(self.temporal_downsample)} entries: expected {levels - 1}, one for each "
                f"downsampling between the {levels} levels of channel_multipliers"
            )
        if self.is_image and any(self.temporal_downsample):
            raise ConfigError("an image model cannot downsample time: set temporal_downsample to all false")
        if not 1 <= self.num_bits <= MAX_BITS:
            raise ConfigError(f"num_bits = {self.num_bits}: expected 1 to {MAX_BITS}")
        if self.downsample_kernel < 2:
            raise ConfigError(f"downsample_kernel = {self.downsample_kernel}: expected 2 or more, to see every pixel")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every level, finest first."""
        return tuple(self.base_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def factors(self) -> tuple[Size, ...]:
        """(t, h, w) factors of every downsampling, finest first."""
        return tuple((2 if temporal else 1, 2, 2) for temporal in self.temporal_downsample)

    @property
    def scales(self) -> tuple[Size, ...]:
        """How much finer than the latents every level is, as (t, h, w), coarsest first."""
        scales: list[Size] = [(1, 1, 1)]
        for time, rows, columns in reversed(self.factors):
            scales.append((scales[-1][0] * time, scales[-1][1] * rows, scales[-1][2] * columns))
        return tuple(scales)

    @property
    def strides(self) -> Size:
        """Frames, rows and columns of one latent position."""
        time, rows, columns = self.scales[-1]
        return time, rows * self.patch_size, columns * self.patch_size

    @property
    def space(self) -> TokenSpace:
        """The space of the ids."""
        return TokenSpace(radices=(2,) * self.num_bits, strides=self.strides)

    def kernel(self, size: int) -> Size:
        """Return the (t, h, w) kernel of a convolution of `size`; an image model has no extent in time."""
        return (1 if self.is_image else size, size, size)
