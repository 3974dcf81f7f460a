"""Encoders: RGB frames into an H.264 or FFV1 file, or into a folder of PNG files; `VideoWriter` guards them."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.video.doors import VideoFrame, VideoStream, load_av
from magvit2.video.images import write_image

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # name's ending -> FFmpeg's muxer
_VARIABLE_RATE_CLOCK = 90_000  # ticks per second, the clock of MPEG systems
_BT709, _LIMITED, _FULL = 1, 1, 2  # the same number for the matrix, the primaries and the curve; ranges


@dataclass(frozen=True)
class Encoding:
    """What an encoder is told: its name, the pixel format it gets, and its options."""

    codec: str
    pixel_format: str
    options: tuple[tuple[str, str], ...]

    @property
    def is_yuv(self) -> bool:
        """Whether frames are converted (to BT.709, limited range) rather than stored as RGB."""
        return self.pixel_format.startswith("yuv")


def choose_encoding(suffix: str, *, lossless: bool, crf: int, width: int, height: int) -> Encoding:
    """Return RGB bit for bit, or H.264 in the 4:2:0 that plays anywhere, or in 4:4:4 where a side is odd."""
    if lossless and suffix == ".mkv":
        return Encoding("ffv1", "bgr0", (("level", "3"), ("slicecrc", "1")))
    if lossless:
        return Encoding("libx264rgb", "rgb24", (("qp", "0"),))
    pixel_format = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    return Encoding("libx264", pixel_format, (("crf", str(crf)),))


class VideoSink:
    """Writes frames of one size to a video file; frame n is shown at n / fps, or at the times given."""

    def __init__(
        self, path: Path, muxer: str, encoding: Encoding, fps: Fraction, size: tuple[int, int], variable_rate: bool
    ) -> None:
        av = load_av()
        options = {"movflags": "+faststart"} if muxer != "matroska" else {}
        self._container = av.open(str(path.absolute()), mode="w", format=muxer, options=options)
        self._encoding = encoding
        self._tick_s = Fraction(1, _VARIABLE_RATE_CLOCK) if variable_rate else 1 / fps
        self._stream = self._container.add_stream(encoding.codec, rate=fps, options=dict(encoding.options))
        self._describe(self._stream, size)
        self._scaler = av.video.reformatter.VideoReformatter()
        flags = av.video.reformatter.Interpolation
        self._flags = flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INP | flags.BITEXACT

    def _describe(self, stream: VideoStream, size: tuple[int, int]) -> None:
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = self._encoding.pixel_format
        context.time_base = self._tick_s
        if self._encoding.is_yuv:
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED

    def write(self, frame_u8: UInt8[np.ndarray, "H W 3"], time_s: Fraction) -> None:
        """Encode the next frame, to be shown at `time_s`."""
        frame = self._converted(load_av().VideoFrame.from_ndarray(np.ascontiguousarray(frame_u8), format="rgb24"))
        frame.pts, frame.time_base = round(time_s / self._tick_s), self._tick_s
        self._container.mux(self._stream.encode(frame))

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        ranges = {"src_color_range": _FULL, "dst_color_range": _LIMITED if self._encoding.is_yuv else _FULL}
        converted: VideoFrame = self._scaler.reformat(
            frame,
            format=self._encoding.pixel_format,
            dst_colorspace=_BT709 if self._encoding.is_yuv else None,
            interpolation=self._flags,
            threads=1,
            **ranges,
        )
        return converted

    def finish(self) -> None:
        """Encode what waits in the encoder and close the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close the file, if it is open still; what is in it does not matter any more."""
        with suppress(Exception):  # whatever went wrong is being reported already
            self._container.close()


class FolderSink:
    """Writes frames as 000000.png, 000001.png, ... into a new folder; times are not kept."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._num_frames = 0

    def write(self, frame_u8: UInt8[np.ndarray, "H W 3"], time_s: Fraction) -> None:
        """Write the next frame."""
        write_image(self._path / f"{self._num_frames:06d}.png", frame_u8)
        self._num_frames += 1

    def finish(self) -> None:
        """Every frame is on disk already."""

    def abandon(self) -> None:
        """Nothing is open."""
