"""What is known about a media file before its frames are read."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class MediaInfo:
    """Facts of a video, an image or a folder of frames; sizes in pixels as displayed (after rotation).

    The sample aspect ratio is left alone: anamorphic pixels stay as they are stored.
    """

    path: Path
    kind: Literal["video", "image", "frames"]
    width: int
    height: int
    num_frames: int | None  # None when only decoding can tell
    fps: Fraction | None  # average rate; None for an image
    codec: str
    pixel_format: str
    bit_depth: int
    rotation: int  # 0, 90, 180 or 270 degrees clockwise, already applied to the frames
    has_alpha: bool  # composited over black in the frames
    colour_matrix: (
        str  # rgb, bt601, bt709, bt2020, smpte240m, fcc or ycgco; where the file says nothing, the rule's choice
    )
    colour_range: str  # limited or full
    is_variable_rate: bool
