"""Reading media: one reader for videos, GIF, animated WebP, images and folders of images, frame by frame."""

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError
from magvit2.video.image_source import FolderSource, ImageSource
from magvit2.video.info import MediaInfo
from magvit2.video.paths import check_readable, is_image
from magvit2.video.stretch import Stretch
from magvit2.video.video_source import VideoSource

DEFAULT_FRAMES_FPS = Fraction(25)


class FrameReader:
    """Iterates once over the RGB uint8 frames of an open medium; a context manager that closes it.

    Only the frame in hand is kept in memory. Raises MediaError where the file turns out to be cut or damaged, after the
    last whole frame.
    """

    def __init__(self, source: VideoSource | ImageSource | FolderSource, num_frames: int | None) -> None:
        self._source = source
        self._pairs: Iterator[tuple[Fraction, UInt8[np.ndarray, "H W 3"]]] = islice(source.frames(), num_frames)
        self._times_s: list[Fraction] = []

    @property
    def info(self) -> MediaInfo:
        """What is known about the whole file (not only about the frames that were asked for)."""
        return self._source.info

    @property
    def times_s(self) -> tuple[Fraction, ...]:
        """Presentation times, in seconds from the file's first frame, of the frames yielded so far."""
        return tuple(self._times_s)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        return self

    def __next__(self) -> UInt8[np.ndarray, "H W 3"]:
        time_s, frame = next(self._pairs)
        self._times_s.append(time_s)
        return frame

    def close(self) -> None:
        """Close the file; frames already yielded stay valid."""
        self._pairs = iter(())
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_media(
    path: str | os.PathLike[str] | Stretch,
    *,
    start: int = 0,
    num_frames: int | None = None,
    frames_fps: Fraction | int = DEFAULT_FRAMES_FPS,
) -> FrameReader:
    """Open a video, GIF, animated WebP, image (one frame) or folder of images (naturally sorted, at `frames_fps`).

    Frames `start` to `start + num_frames - 1` are read, fewer where a whole file ends before. Raises MediaError for
    whatever is wrong with the file, also when it has no frame `start`; InputError for a negative number.
    Raw streams and MPEG-TS do not state their length: where one is cut between two frames, nothing can tell.
    """
    medium = path if isinstance(path, Stretch) else Path(path)
    if start < 0 or (num_frames is not None and num_frames < 0):
        raise InputError(f"got start={start}, num_frames={num_frames}; expected 0 or more")
    check_readable(medium)
    if isinstance(medium, Path) and medium.is_dir():
        return FrameReader(FolderSource(medium, Fraction(frames_fps), start), num_frames)
    is_still = is_image(str(medium))
    return FrameReader(ImageSource(medium, start) if is_still else VideoSource(medium, start), num_frames)


def read_clip(
    path: str | os.PathLike[str] | Stretch, *, start: int = 0, num_frames: int | None = None
) -> tuple[UInt8[np.ndarray, "T H W 3"], MediaInfo]:
    """Return frames `start` to `start + num_frames - 1` of a medium as one array, and what is known about the file.

    Seeks where the file's index makes that exact: always the frames that decoding from the beginning gives. T is
    smaller than `num_frames` where the file ends before. Raises as `open_media`.
    """
    with open_media(path, start=start, num_frames=num_frames) as reader:
        frames = list(reader)
        if not frames:
            return np.empty((0, reader.info.height, reader.info.width, 3), dtype=np.uint8), reader.info
        return np.stack(frames), reader.info
