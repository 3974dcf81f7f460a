"""The closed configuration of a tokenizer; it travels in the model's `config.json`."""

from dataclasses import dataclass
from typing import Literal

from magvit2.errors import ConfigError
from magvit2.geometry import Size
from magvit2.layers.norm import NormKind
from magvit2.layers.patches import StemKind
from magvit2.quantizers.bits import check_num_bits
from magvit2.tokens import TokenSpace

QuantizerKind = Literal["lfq", "bsq", "fsq", "vq"]


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of a tokenizer; the defaults are the paper's video model (figure 7).

    `temporal_downsample` has one entry for each of the `len(channel_multipliers) - 1` downsamplings, all of which
    halve space. `patch_size` puts a space-to-depth stem in front and its inverse behind (1: none). An image-only model
    (`is_image`) has no extent in time: it treats every frame as an image, with strides (1, s, s). The `stem`
    "haar" has a patch's pixels in the Haar wavelet basis, coarse to fine, instead of one after another.

    `quantizer` rounds latents: lfq and bsq to `num_bits` bits, fsq to `levels` values a channel, vq to the nearest of
    `codebook_size` vectors of `codebook_dim`. The rest is what older models differ in: a model with a `window` is not
    causal and works through a clip in independent windows of so many frames; `resampling` by pooling and repetition
    instead of strided convolution and depth-to-space; no `adaptive_norm` in the decoder; `norm` over the whole "clip".

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
    quantizer: QuantizerKind = "lfq"
    levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)
    codebook_size: int = 1024
    codebook_dim: int = 256
    window: int | None = None
    resampling: Literal["learned", "plain"] = "learned"
    adaptive_norm: bool = True
    stem: StemKind = "patch"

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
        check_num_bits(self.num_bits)
        if self.downsample_kernel < 2:
            raise ConfigError(f"downsample_kernel = {self.downsample_kernel}: expected 2 or more, to see every pixel")
        self._check_window()
        if self.stem == "haar" and self.patch_size not in (2, 4, 8):
            raise ConfigError(f"stem 'haar' with patch_size = {self.patch_size}: expected a patch size of 2, 4 or 8")

    def _check_window(self) -> None:
        if self.window is None and (self.norm == "clip" or self.resampling == "plain"):
            raise ConfigError("norm 'clip' and plain resampling look ahead in time: give the model a window of frames")
        if self.window is not None and (self.is_image or self.window < 1 or self.window % self.strides[0]):
            raise ConfigError(f"window = {self.window}: expected a multiple of {self.strides[0]}, in a video model")

    @property
    def is_causal(self) -> bool:
        """Whether no frame's ids depend on later frames; else the model works in windows."""
        return self.window is None

    @property
    def num_channels(self) -> int:
        """Channels of latents and codes."""
        return {"lfq": self.num_bits, "bsq": self.num_bits, "fsq": len(self.levels), "vq": self.codebook_dim}[
            self.quantizer
        ]

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
        binary = (2,) * self.num_bits
        radices = {"lfq": binary, "bsq": binary, "fsq": self.levels, "vq": (self.codebook_size,)}[self.quantizer]
        return TokenSpace(radices, self.strides, self.is_causal)

    def kernel(self, size: int) -> Size:
        """Return the (t, h, w) kernel of a convolution of `size`; an image model has no extent in time."""
        return (1 if self.is_image else size, size, size)
