"""Writing video: H.264 that plays anywhere, lossless RGB, or a folder of PNG frames; whole or not at all."""

import math
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError, MediaError
from magvit2.video.atomic import discard, partial_path, publish
from magvit2.video.doors import errors_in_writing
from magvit2.video.encoding import FORMATS, FolderSink, VideoSink, choose_encoding
from magvit2.video.images import check_frame

_MAX_RATE_DENOMINATOR = 1_000_000  # encoders keep rates in 32 bits


class VideoWriter:
    """A context manager that writes RGB uint8 frames to a video file or, where the path has no suffix, to a folder.

    .mp4, .mov and .mkv: H.264, BT.709, limited range, the index in front; 4:2:0, or 4:4:4 where a side is odd, so that
    every size comes back. `lossless=True`: the same pixels come back (H.264 RGB in .mp4 and .mov, FFV1 in .mkv). A
    folder: PNG, without times.
    The file appears under its name when the block ends well; on any exception nothing is left. Raises OutputError where
    the disk is full or read-only.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, fps: Fraction | int, lossless: bool = False, crf: int = 18
    ) -> None:
        """Check the settings; no file is made yet. `crf` 0 (best) to 51. Raises MediaError, InputError."""
        self._path = Path(path)
        self._fps = Fraction(fps).limit_denominator(_MAX_RATE_DENOMINATOR)
        self._lossless, self._crf = lossless, crf
        if self._fps <= 0 or not 0 <= crf <= 51:
            raise InputError(f"got fps={fps}, crf={crf}; expected fps above 0 and crf from 0 to 51")
        self._is_folder = not self._path.suffix
        _check_target(self._path)
        self._partial = partial_path(self._path)
        self._sink: VideoSink | FolderSink | None = None
        self._shape: tuple[int, ...] = ()
        self._num_frames = 0
        self._is_open = False
        self._last_s: Fraction | None = None  # time of the last frame; None where frames come at a constant rate
        self._first_s = Fraction(0)

    def write(self, frame_u8: UInt8[np.ndarray, "H W 3"], time_s: Fraction | float | None = None) -> None:
        """Add a frame. Give `time_s` (seconds, rising) for all frames or for none: then frame n is shown at n / fps.

        Times count from the first frame. Raises InputError for a wrong array, size or time, MediaError when writing
        fails.
        """
        if not self._is_open:
            raise InputError(
                "got a frame outside the `with` block; expected `with VideoWriter(...) as writer: writer.write(frame)`"
            )
        check_frame(frame_u8)
        shown_s = self._next_time_s(time_s)
        if self._sink is None:
            self._shape = frame_u8.shape
            self._sink = self._open(variable_rate=time_s is not None)
        if frame_u8.shape != self._shape:
            raise InputError(
                f"got a frame {frame_u8.shape[:2]} after frames {self._shape[:2]}; expected one size (H, W)"
            )
        with errors_in_writing(self._path):
            self._sink.write(frame_u8, shown_s)
        self._num_frames += 1

    def _next_time_s(self, time_s: Fraction | float | None) -> Fraction:
        if self._num_frames and (time_s is None) != (self._last_s is None):
            raise InputError("got a time for some frames only; expected time_s for every frame or for none")
        if time_s is None:
            return self._num_frames / self._fps
        if not math.isfinite(time_s):
            raise InputError(f"got time_s={time_s}; expected a number of seconds")
        time_s = Fraction(time_s)
        if self._last_s is None:
            self._first_s = time_s
        elif time_s <= self._last_s:
            raise InputError(f"got time_s={float(time_s)} after {float(self._last_s)}; expected rising times")
        self._last_s = time_s
        return time_s - self._first_s

    def _open(self, variable_rate: bool) -> VideoSink | FolderSink:
        with errors_in_writing(self._path):
            if self._is_folder:
                return FolderSink(self._partial)
            height, width = self._shape[:2]
            suffix = self._path.suffix.lower()
            encoding = choose_encoding(suffix, lossless=self._lossless, crf=self._crf, width=width, height=height)
            return VideoSink(self._partial, FORMATS[suffix], encoding, self._fps, (width, height), variable_rate)

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        try:
            if error is None:
                self._finish()
        finally:
            if self._sink is not None:
                self._sink.abandon()
            discard(self._partial)

    def _finish(self) -> None:
        if self._sink is None:
            raise MediaError(f"{self._path}: no frames were written; expected at least one, so no file was made")
        with errors_in_writing(self._path):
            self._sink.finish()
        publish(self._partial, self._path)


def _check_target(path: Path) -> None:
    """Raise MediaError where a name's ending cannot be written, or a folder is in the way."""
    suffix = path.suffix.lower()
    if suffix and suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise MediaError(
            f"{path}: cannot write '{suffix}' videos; expected {known}, or a name without ending for PNG frames"
        )
    if suffix and path.is_dir():
        raise MediaError(f"{path}: is a folder; expected the name of a file")
    if not suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MediaError(f"{path}: exists already; expected a new name or an empty folder for PNG frames")
