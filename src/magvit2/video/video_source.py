"""A video file as a stream of RGB frames in display orientation; one frame is held at a time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import MediaError
from magvit2.video.colour import ColourSpec, RgbConverter, colour_spec
from magvit2.video.decoding import OpenVideo, timed_frames, timed_frames_from
from magvit2.video.doors import VideoFrame, errors_as_media
from magvit2.video.info import MediaInfo
from magvit2.video.orientation import Orientation, of_frame
from magvit2.video.stretch import Medium

_Timed = tuple[Fraction, VideoFrame]


class VideoSource:
    """An open video from frame `start` on; `info` is known at once, `frames()` yields (time in seconds, RGB frame)."""

    def __init__(self, path: Medium, start: int = 0) -> None:
        """Open a video. Raises MediaError when it is no video, is broken at once, or has no frame number `start`."""
        self._path = path
        self._video = OpenVideo(path)
        try:
            self._first, self._rest = self._first_and_rest(start)
            spec, self._orientation = colour_spec(self._first[1]), of_frame(self._first[1])
            self._convert = RgbConverter(spec)
            self.info = _info(self._video, self._first[1], spec, self._orientation)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._video.close()

    def _first_and_rest(self, start: int) -> tuple[_Timed, Iterator[_Timed]]:
        """Return frame `start` and an iterator over those after it, by seeking where exact, else by decoding all."""
        seek_from = self._video.timing.first_seek_target
        if seek_from is not None and start >= seek_from:
            rest = timed_frames_from(self._video, start)
            first = next(rest, None)
            if first is not None:
                return first, rest
            self._video.reopen()
        rest = timed_frames(self._video)
        num_frames = 0
        for first in rest:
            if num_frames == start:
                return first, rest
            num_frames += 1
        raise MediaError(f"{self._path}: frame {start} was asked for; the last one is frame {num_frames - 1}")

    def frames(self) -> Iterator[tuple[Fraction, UInt8[np.ndarray, "H W 3"]]]:
        """Yield (time in seconds from the file's start, RGB frame) to the end; MediaError where cut or damaged."""
        size = self._first[1].width, self._first[1].height
        yield self._first[0], self._rgb(self._first[1])
        for time_s, frame in self._rest:
            if (frame.width, frame.height) != size:
                raise MediaError(
                    f"{self._path}: the picture size changes from {size[0]}x{size[1]} to {frame.width}x{frame.height}; "
                    "expected one size, re-encode it first"
                )
            yield time_s, self._rgb(frame)

    def _rgb(self, frame: VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
        with errors_as_media(self._path, f"frames in {frame.format.name} cannot be converted to RGB"):
            return self._orientation.apply(self._convert(frame))


def _info(video: OpenVideo, first: VideoFrame, spec: ColourSpec, orientation: Orientation) -> MediaInfo:
    size = first.width, first.height
    width, height = size[::-1] if orientation.swap else size
    return MediaInfo(
        path=Path(str(video.path)),
        kind="video",
        width=width,
        height=height,
        num_frames=video.timing.num_frames,
        fps=video.timing.fps,
        codec=video.stream.codec.canonical_name,
        pixel_format=spec.pixel_format,
        bit_depth=spec.bit_depth,
        rotation=orientation.rotation,
        has_alpha=spec.has_alpha,
        colour_matrix=spec.matrix,
        colour_range=spec.range,
        is_variable_rate=video.timing.is_variable_rate,
    )
