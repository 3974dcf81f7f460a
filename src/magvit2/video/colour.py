"""Colour: from a decoded frame in any pixel format to RGB uint8, with the file's own matrix and range.

Files that do not say follow the players' rule: bt709 from 720 lines up, bt601 below; limited range for YUV, full for
grey and RGB. Transfer curves and primaries are left alone (HDR is not tone-mapped). Alpha is composited over black.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from magvit2.video.doors import VideoFrame, load_av

# AVColorSpace (ITU-T H.273 table 4) -> our name; 2 and 3 are "unspecified" and "reserved".
_MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020",
}
# Our name -> SWS_CS_*, the numbers that PyAV's VideoReformatter calls colorspaces (they are not AVColorSpace).
_SWS_COLORSPACES = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
_LIMITED, _FULL = 1, 2  # AVColorRange
_BT709_MIN_HEIGHT = 720


@dataclass(frozen=True)
class ColourSpec:
    """How a stream's pixels are to be read: pixel format, bits, alpha, matrix and range (as in `MediaInfo`)."""

    pixel_format: str
    bit_depth: int
    has_alpha: bool
    matrix: str
    range: str


def colour_spec(frame: VideoFrame) -> ColourSpec:
    """Return how to read the pixels of a stream, from its first decoded frame."""
    components = frame.format.components
    name = frame.format.name
    return ColourSpec(
        pixel_format=name,
        bit_depth=8 if frame.format.has_palette else max(part.bits for part in components),
        has_alpha=frame.format.has_palette or any(part.is_alpha for part in components),
        matrix=_matrix(frame),
        range=_range(frame),
    )


def _matrix(frame: VideoFrame) -> str:
    if frame.format.is_rgb or frame.format.has_palette:
        return "rgb"
    named = _MATRICES.get(int(frame.colorspace))
    if named is None or named == "rgb":  # a YUV format cannot be RGB: a wrong tag counts as none
        return "bt709" if frame.height >= _BT709_MIN_HEIGHT else "bt601"
    return named


def _range(frame: VideoFrame) -> str:
    if frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL:
        return "full"
    if int(frame.color_range) == _LIMITED and not frame.format.is_rgb:
        return "limited"
    colourless = frame.format.is_rgb or frame.format.has_palette or frame.format.name.startswith(("gray", "ya", "mono"))
    return "full" if colourless else "limited"


class RgbConverter:
    """Converts decoded frames of one stream to RGB arrays; holds the scaler's tables between frames."""

    def __init__(self, spec: ColourSpec) -> None:
        reformatter = load_av().video.reformatter
        self._spec = spec
        self._scaler = reformatter.VideoReformatter()
        flags = reformatter.Interpolation
        # Without these flags swscale takes shortcuts: chroma is not interpolated and rounding depends on the CPU.
        self._flags = flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT | flags.BITEXACT

    def __call__(self, frame: VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
        """Return a decoded frame as RGB, in stored orientation."""
        converted = self._scaler.reformat(
            frame,
            format="rgba" if self._spec.has_alpha else "rgb24",
            src_colorspace=_SWS_COLORSPACES.get(self._spec.matrix),
            src_color_range=_FULL if self._spec.range == "full" else _LIMITED,
            dst_color_range=_FULL,
            interpolation=self._flags,
            threads=1,
        )
        pixels: np.ndarray = converted.to_ndarray()
        return over_black(pixels) if self._spec.has_alpha else pixels


def over_black(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return straight-alpha RGBA composited over black: colour x alpha / 255, rounded."""
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    scaled = rgba[..., :3].astype(np.uint16) * alpha
    composited: np.ndarray = ((scaled + 127) // 255).astype(np.uint8)
    return composited
