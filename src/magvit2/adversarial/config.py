"""The closed configuration of a discriminator."""

from dataclasses import dataclass
from typing import Literal

from magvit2.errors import ConfigError
from magvit2.geometry import Size


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of a discriminator; the defaults are the paper's for 17 frames of 128x128 pixels (figure 7), 61M in size.

    Every entry of `channel_multipliers` is a residual block that halves the grid and has so many times `base_channels`.
    With one frame it is the two-dimensional twin (`is_image`): the same widths, no extent in time.

    The `head` "flatten" is the paper's: it sees every position of the last map, and so takes clips of `num_frames`,
    `height` and `width` and no others. "pool" is ours and not the paper's: it sees the mean over the positions, so that
    one discriminator takes clips of all sizes and lengths, and `height` and `width` mean nothing.

    Raises ConfigError for a value that no model can have.
    """

    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (2, 4, 4, 4, 4)
    num_frames: int = 17
    height: int = 128
    width: int = 128
    head: Literal["flatten", "pool"] = "flatten"

    def __post_init__(self) -> None:
        if not self.channel_multipliers:
            raise ConfigError("channel_multipliers is empty: expected one entry for each halving of the grid")
        if min(self.base_channels, *self.channel_multipliers, *self.size) < 1:
            raise ConfigError(f"{self}: expected channels, frames, height and width of 1 or more")

    @property
    def is_image(self) -> bool:
        """Whether frames are judged one by one."""
        return self.num_frames == 1

    @property
    def size(self) -> Size:
        """The clips' (T, H, W)."""
        return self.num_frames, self.height, self.width

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the first convolution and behind every block."""
        return tuple(self.base_channels * multiplier for multiplier in (1, *self.channel_multipliers))

    @property
    def grid(self) -> Size:
        """The last map's (t, h, w): every block halves, rounding up."""
        scale = 2 ** len(self.channel_multipliers)
        t, h, w = (-(-side // scale) for side in self.size)
        return t, h, w
