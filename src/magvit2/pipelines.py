"""The path of a pixel, top to bottom: a file becomes frames, frames become ids, ids frames again, frames a file.

Everything here works one latent frame at a time, so memory does not grow with a video's length. `tile`, wherever it is
an argument, is the side in pixels of the squares in which frames are computed (`tokenizer.tiling`), so that it does not
grow with their size either; None: whole frames.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.data.frames import to_clip, to_frames
from magvit2.errors import FormatError, InputError, MediaError
from magvit2.geometry import Size
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import Tokens
from magvit2.video import VideoWriter, open_media, write_image
from magvit2.video.encoding import FORMATS

Frame = UInt8[np.ndarray, "H W 3"]
Progress = Callable[[int], None]
"""Called with the number of frames that are done."""

DEFAULT_FPS = Fraction(25)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def silent(_: int) -> None:
    """Ignore progress."""


@runtime_checkable
class Streams(Protocol):
    """What turns frames into ids and ids into frames as they come in: a `Tokenizer`, or one of its kind."""

    def encode_stream(self, frames: Iterable[Tensor], *, tile: int | None = None) -> Iterator[Tensor]:
        """Yield ids [t, h, w] of frames [3, H, W]."""

    def decode_stream(
        self,
        chunks: Iterable[Tensor],
        size: Size | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Iterator[Tensor]:
        """Yield frames [3, H, W] of ids [t, h, w]."""


class AtOnce:
    """The streams of a tokenizer for an image: they wait for all there is, and remember nothing for what may follow.

    What a stream remembers of a frame, the last activations of every convolution, is larger than all else.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode_stream(self, frames: Iterable[Tensor], *, tile: int | None = None) -> Iterator[Tensor]:
        """Yield the ids of all frames together."""
        clip = list(frames)
        if not clip:
            raise InputError("no frames: expected at least one frame [3, H, W]")
        yield self.tokenizer.encode(torch.stack(clip, dim=1)[None], tile=tile)[0]

    def decode_stream(
        self,
        chunks: Iterable[Tensor],
        size: Size | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Iterator[Tensor]:
        """Yield the frames of all ids together."""
        ids = torch.cat(list(chunks))[None]
        yield from self.tokenizer.decode(ids, size, num_bits=num_bits, tile=tile)[0].unbind(dim=1)


def streams_of(tokenizer: Tokenizer, is_image: bool) -> Streams:
    """Return a tokenizer's streams for an image, or for a clip."""
    return AtOnce(tokenizer) if is_image else tokenizer


def encode_file(tokenizer: Tokenizer, source: Path, progress: Progress = silent, *, tile: int | None = None) -> Tokens:
    """Return the ids of a video, an image or a folder of frames, with its true size and rate.

    Raises MediaError where the source cannot be read.
    """
    with open_media(source) as reader:
        return encode_frames(tokenizer, reader, reader.info.fps, progress, tile=tile)


def encode_frames(
    tokenizer: Tokenizer,
    frames: Iterable[Frame],
    fps: Fraction | None,
    progress: Progress = silent,
    *,
    tile: int | None = None,
) -> Tokens:
    """Return the ids of uint8 frames of one size; `fps` is None for an image, which is encoded at once."""
    counter = _Counter(frames, progress)
    streams = streams_of(tokenizer, is_image=fps is None)
    ids = torch.cat(list(streams.encode_stream((frame_to_float(frame) for frame in counter), tile=tile)))
    return Tokens(
        ids.cpu(), tokenizer.space, (counter.count, counter.height, counter.width), fps, tokenizer.fingerprint
    )


def decode_tokens(
    tokenizer: Tokenizer, tokens: Tokens, num_bits: int | None = None, *, tile: int | None = None
) -> Iterator[Frame]:
    """Yield the uint8 frames of tokens, of their true size and number.

    Raises FormatError where another tokenizer made them, or where their size is not that of their grid.
    """
    check_made_by(tokenizer, tokens)
    check_size(tokens)
    streams = streams_of(tokenizer, is_image=tokens.size[0] == 1)
    for frame in streams.decode_stream([tokens.ids], size=tokens.size, num_bits=num_bits, tile=tile):
        yield frame_to_u8(frame)


def check_made_by(tokenizer: Tokenizer, tokens: Tokens) -> None:
    """Raise FormatError where `tokens` were not made by `tokenizer`."""
    if tokens.fingerprint != tokenizer.fingerprint:
        raise FormatError(
            f"these tokens were made by the tokenizer {tokens.fingerprint}, not by {tokenizer.fingerprint}: "
            "name the model that made them"
        )


def check_size(tokens: Tokens) -> None:
    """Raise FormatError where the grid of `tokens` is not the one that covers their size."""
    grid, expected = tuple(tokens.ids.shape), tokens.space.grid_for(tokens.size)
    if grid != expected:
        raise FormatError(f"tokens of grid {grid} cannot have the size {tokens.size}: that takes a grid of {expected}")


def write_frames(
    path: Path, frames: Iterable[Frame], fps: Fraction | None, *, lossless: bool = False, progress: Progress = silent
) -> int:
    """Write frames to an image (one frame), a video or a folder of PNGs, by the name of `path`; return their number.

    Raises MediaError for a name that says neither, InputError for more than one frame in an image.
    """
    count = 0
    with open_sink(path, fps, lossless=lossless) as sink:
        for count, frame in enumerate(frames, 1):
            sink.write(frame)
            progress(count)
    return count


class FrameSink(Protocol):
    """What frames are written to."""

    def write(self, frame: Frame, /) -> None:
        """Take the next frame."""


def open_sink(path: Path, fps: Fraction | None, *, lossless: bool = False) -> AbstractContextManager[FrameSink]:
    """Return the writer, a context manager, for what the name of `path` says: an image, a video or a folder of PNGs."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return ImageSink(path)
    if suffix and suffix not in FORMATS:
        known = ", ".join([*FORMATS, *IMAGE_SUFFIXES])
        raise MediaError(f"{path}: cannot write '{suffix}'; expected {known}, or a name without ending for PNG frames")
    return VideoWriter(path, fps=fps or DEFAULT_FPS, lossless=lossless)


class ImageSink:
    """Takes one frame and writes it as an image; a second one is an InputError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frame: Frame | None = None

    def write(self, frame: Frame) -> None:
        """Take the frame; it is written when the context ends well."""
        if self._frame is not None:
            raise InputError(f"{self.path} is an image, but there are several frames: name a video, or a folder")
        self._frame = frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._frame is not None:
            write_image(self.path, self._frame)


@dataclass(frozen=True)
class FramePair:
    """An original frame and its reconstruction, uint8 [H, W, 3] each."""

    original: Frame
    decoded: Frame


def reconstruct_file(
    tokenizer: Tokenizer,
    source: Path,
    progress: Progress = silent,
    num_bits: int | None = None,
    *,
    tile: int | None = None,
) -> Iterator[FramePair]:
    """Yield every frame of a medium with what remains of it after the tokenizer, in step, in constant memory."""
    with open_media(source) as reader:
        streams = streams_of(tokenizer, is_image=reader.info.num_frames == 1)
        yield from reconstruct_frames(streams, reader, progress, num_bits, tile=tile)


def reconstruct_frames(
    tokenizer: Streams,
    frames: Iterable[Frame],
    progress: Progress = silent,
    num_bits: int | None = None,
    on_ids: Callable[[Tensor], None] | None = None,
    *,
    tile: int | None = None,
) -> Iterator[FramePair]:
    """Yield uint8 frames of one size with their reconstructions; `on_ids` sees the ids [1, h, w] of every chunk."""
    waiting: list[Frame] = []
    counter = _Counter(frames, progress, keep=waiting)
    ids = tokenizer.encode_stream((frame_to_float(frame) for frame in counter), tile=tile)
    decoded = tokenizer.decode_stream(_watched(ids, on_ids), num_bits=num_bits, tile=tile)
    for frame in decoded:
        if not waiting:  # the last group was filled up with copies of the last frame
            break
        original = waiting.pop(0)
        yield FramePair(original, frame_to_u8(frame[:, : original.shape[0], : original.shape[1]]))


def side_by_side_frames(pairs: Iterable[FramePair]) -> Iterator[Frame]:
    """Yield each original with its reconstruction to the right of it, a dark gap of 4 pixels between them."""
    for pair in pairs:
        gap = np.full((pair.original.shape[0], 4, 3), 32, dtype=np.uint8)
        yield np.concatenate([pair.original, gap, pair.decoded], axis=1)


def frame_to_float(frame: Frame) -> Float[Tensor, "3 H W"]:
    """Return a uint8 frame as float32 in [-1, 1]."""
    return to_clip(frame[None])[0, :, 0]


def frame_to_u8(frame: Float[Tensor, "3 H W"]) -> Frame:
    """Return a frame in [-1, 1] as uint8, rounded."""
    return to_frames(frame[:, None])[0]


class _Counter:
    """Passes frames on, counts them, remembers their size and, in `keep`, those that were not fetched yet."""

    def __init__(self, frames: Iterable[Frame], progress: Progress, keep: list[Frame] | None = None) -> None:
        self.frames = frames
        self.progress = progress
        self.keep = keep
        self.count = self.height = self.width = 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames:
            self.count += 1
            self.height, self.width = frame.shape[:2]
            if self.keep is not None:
                self.keep.append(frame)
            yield frame
            self.progress(self.count)


def _watched(ids: Iterator[Tensor], on_ids: Callable[[Tensor], None] | None) -> Iterator[Tensor]:
    for chunk in ids:
        if on_ids is not None:
            on_ids(chunk)
        yield chunk
