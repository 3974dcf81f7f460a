"""RGB clips as codecs take them, 8-bit YUV 4:2:0, and back.

The matrix follows the players' rule (BT.709 from 720 lines up, BT.601 below), the range is limited, chroma is scaled by
swscale's bicubic filter without shortcuts. Odd sides are padded to even ones with their last row or column.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError, MediaError
from magvit2.video.colour import ColourSpec, RgbConverter
from magvit2.video.doors import VideoFrame, load_av

Matrix = Literal["bt601", "bt709"]
Frames = UInt8[np.ndarray, "T H W 3"]

YUV_PROTOCOL = "8-bit yuv420p, limited range, BT.709 from 720 lines up and BT.601 below, odd sides padded"
H273_MATRIX: dict[Matrix, int] = {"bt601": 6, "bt709": 1}  # ITU-T H.273 table 4, as streams are tagged
LIMITED_RANGE = 1
_SWS_COLORSPACE: dict[Matrix, int] = {"bt601": 5, "bt709": 1}  # SWS_CS_*, as swscale numbers them
_FULL_RANGE = 2
_BT709_MIN_HEIGHT = 720


@dataclass(frozen=True)
class YuvClip:
    """A clip in 8-bit 4:2:0: its frames, the matrix they were made with, and the size (T, H, W) before padding."""

    frames: tuple[VideoFrame, ...]
    matrix: Matrix
    size: tuple[int, int, int]

    @property
    def coded_size(self) -> tuple[int, int]:
        """Even height and width of the planes."""
        return self.frames[0].height, self.frames[0].width

    def planes(self) -> bytes:
        """Return the raw planes, frame by frame Y, U, V (FFmpeg's rawvideo in yuv420p)."""
        return b"".join(frame.to_ndarray().tobytes() for frame in self.frames)


def to_yuv420(frames: Frames) -> YuvClip:
    """Return RGB frames as 8-bit 4:2:0. Raises InputError for what is no clip of at least one pixel."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise InputError(f"got {frames.dtype} of shape {list(frames.shape)}; expected a uint8 RGB clip [T, H, W, 3]")
    num_frames, height, width = frames.shape[:3]
    matrix: Matrix = "bt709" if height >= _BT709_MIN_HEIGHT else "bt601"
    padded = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    reformatter = load_av().video.reformatter
    scaler, flags = reformatter.VideoReformatter(), reformatter.Interpolation
    converted = tuple(
        scaler.reformat(
            load_av().VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format="yuv420p",
            src_color_range=_FULL_RANGE,
            dst_colorspace=_SWS_COLORSPACE[matrix],
            dst_color_range=LIMITED_RANGE,
            interpolation=flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INP | flags.BITEXACT,
            threads=1,
        )
        for frame in padded
    )
    return YuvClip(converted, matrix, (num_frames, height, width))


def to_rgb(decoded: Iterable[VideoFrame], like: YuvClip) -> Frames:
    """Return decoded 4:2:0 frames (of 8 or 10 bits) as RGB, cropped to the size of the clip that was coded.

    The clip's own matrix is used, whatever the stream says. Raises MediaError where the number of frames is another.
    """
    converters: dict[str, RgbConverter] = {}
    num_frames, height, width = like.size
    out = []
    for frame in decoded:
        name, bits = frame.format.name, frame.format.components[0].bits
        converter = converters.setdefault(name, RgbConverter(ColourSpec(name, bits, False, like.matrix, "limited")))
        out.append(converter(frame)[:height, :width])
    if len(out) != num_frames:
        raise MediaError(f"{num_frames} frames were coded and {len(out)} came back from the decoder")
    return np.stack(out)
