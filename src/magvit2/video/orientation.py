"""Display orientation: an MP4 display matrix or an EXIF tag as one of the eight ways to turn and mirror a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from magvit2.video.doors import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """Turn a stored picture into the displayed one: first swap rows and columns, then mirror left-right and up-down."""

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """The turn in degrees clockwise (0, 90, 180, 270); a mirror image is mirrored left-right first, then turned."""
        if self.swap:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def apply(self, frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Return the frame as displayed, contiguous."""
        if self == Orientation():
            return frame
        if self.swap:
            frame = frame.transpose(1, 0, 2)
        frame = frame[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        return np.ascontiguousarray(frame)


def from_display_matrix(matrix: Sequence[int]) -> Orientation:
    """Return the orientation nearest to a display matrix of nine integers (ISO 14496-12 6.2.2).

    The matrix [a b u, c d v, x y w] puts a stored pixel (x, y) at (ax + cy, bx + dy).
    """
    a, b, c, d = int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(swap=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(swap=False, mirror_x=a < 0, mirror_y=d < 0)


def of_frame(frame: VideoFrame) -> Orientation:
    """Return the orientation that a video's first frame asks for."""
    side_data: Any = frame.side_data  # PyAV's stubs describe it as another type than it is
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            return from_display_matrix(np.frombuffer(bytes(data), dtype=np.int32).tolist())
    return Orientation()
