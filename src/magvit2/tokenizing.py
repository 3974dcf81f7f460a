"""A data set to token shards: items are cut into clips, clips become ids, ids become rows.

Rows come in the order of the items, and of an item by their first frame. Every clip is encoded by itself and a clip's
ids depend on nothing else, so a run that was killed is continued by the same call, and ends with the same rows.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.data.batches import Skipped
from magvit2.data.frames import centre_square, count_frames, read_item
from magvit2.data.items import MediaItem, root_of
from magvit2.data.shards import TokenShardWriter, rate
from magvit2.errors import InputError, MediaError
from magvit2.pipelines import Frame, Progress, encode_frames, silent
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import Tokens
from magvit2.video import open_media

FLIPPED = "@flip"
"""Ends the key of a clip that is mirrored."""


@dataclass(frozen=True)
class Cut:
    """How items are cut into clips: windows of `num_frames` frames, a new one every `stride` frames, or items whole.

    `stride` is `num_frames` where it is None. With `size` the short side of frames is scaled to so many pixels
    (bilinear, antialiased) and the middle square is kept. With `flip` every clip is there a second time, mirrored.
    Raises InputError for numbers below 1, and for a stride without windows.
    """

    num_frames: int | None = None
    stride: int | None = None
    size: int | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        for name, value in (("frames", self.num_frames), ("stride", self.stride), ("size", self.size)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: expected 1 or more")
        if self.stride is not None and self.num_frames is None:
            raise InputError(f"stride {self.stride}: is the step between windows; give their number of frames too")

    def __str__(self) -> str:
        frames = "whole clips"
        if self.num_frames is not None:
            frames = f"{self.num_frames} frames every {self.stride or self.num_frames}"
        size = "own size" if self.size is None else f"{self.size} x {self.size}"
        return f"{frames}, {size}{', also mirrored' if self.flip else ''}"

    def starts(self, num_frames: int) -> range:
        """Return the first frames of the windows that a clip of so many frames has."""
        if self.num_frames is None:
            return range(1)
        return range(0, num_frames - self.num_frames + 1, self.stride or self.num_frames)

    def has_rest(self, num_frames: int) -> bool:
        """Whether a window that would begin in a clip of so many frames is too short, and holds frames of its own."""
        if self.num_frames is None:
            return False
        starts = self.starts(num_frames)
        covered = starts[-1] + self.num_frames if starts else 0
        return max(covered, len(starts) * (self.stride or self.num_frames)) < num_frames

    def frame(self, frame: Frame) -> UInt8[np.ndarray, "Y X 3"]:
        """Return a frame at its size."""
        return frame if self.size is None else centre_square(frame[None], self.size)[0]


@dataclass(frozen=True)
class Tokenized:
    """What a folder of shards holds in all, `num_new` rows of it new; the rest says what this run left out.

    `num_short` counts the ends of clips, clips and images that are shorter than a window; `skipped` names the files
    that are damaged: of such a clip, the windows before the damage are kept.
    """

    num_rows: int
    num_new: int
    num_tokens: int
    num_shards: int
    bits_per_pixel: float
    num_short: int
    skipped: tuple[Skipped, ...]


def tokenize_items(
    tokenizer: Tokenizer,
    items: Sequence[MediaItem],
    source: Path,
    folder: Path,
    cut: Cut = Cut(),
    *,
    rows_per_shard: int = 1024,
    progress: Progress = silent,
) -> Tokenized:
    """Write the ids of all items of a source to token shards in `folder`; a folder that has some of them is continued.

    `progress` is called with the number of items done. Raises InputError where an item is there twice or no row comes
    of all of them, FormatError where the folder has shards of another tokenizer, cut or precision, OutputError where it
    cannot be written.
    """
    named = _named(items, source)
    made_with = f"{cut}, {str(tokenizer.dtype).removeprefix('torch.')}"
    with TokenShardWriter(
        folder, tokenizer.space, tokenizer.fingerprint, rows_per_shard=rows_per_shard, made_with=made_with
    ) as writer:
        job = _Job(tokenizer, cut, writer.done_keys)
        for count, (name, item) in enumerate(named.items(), 1):
            for key, tokens in job.clips(name, item):
                writer.write(key, _plain(item.label), tokens)
            progress(count)
        if not writer.num_rows:
            raise InputError(f"{source}: {_why_nothing(job, len(named))}")
    bits_per_pixel = rate(writer.space, writer.num_tokens, writer.num_pixels)
    num_new = writer.num_rows - len(writer.done_keys)
    return Tokenized(
        writer.num_rows, num_new, writer.num_tokens, writer.num_shards, bits_per_pixel, job.num_short,
        tuple(job.skipped),
    )  # fmt: skip


def key_of(item: MediaItem, source: Path) -> str:
    """Return an item's name relative to its source: what the keys of its rows begin with."""
    path = Path(os.path.relpath(item.path, root_of(source))).as_posix()
    return _plain(path + item.name.removeprefix(str(item.path)))


class _Job:
    """Makes clips of items, those whose rows are not there yet, and keeps account of what is left out."""

    def __init__(self, tokenizer: Tokenizer, cut: Cut, done_keys: Sequence[str]) -> None:
        self.skipped: list[Skipped] = []
        self.num_short = 0
        self._tokenizer, self._cut, self._done = tokenizer, cut, set(done_keys)
        self._last = done_keys[-1].rpartition("#")[0] if done_keys else None

    def clips(self, name: str, item: MediaItem) -> Iterator[tuple[str, Tokens]]:
        """Yield the keys and ids of an item's clips up to its end or its damage."""
        clips = self._windows if self._cut.num_frames is not None else self._whole
        try:
            yield from clips(name, item)
        except (MediaError, InputError) as error:
            self.skipped.append(Skipped(item.name, str(error).removeprefix(f"{item.name}: ")))

    def _whole(self, name: str, item: MediaItem) -> Iterator[tuple[str, Tokens]]:
        for key, side in self._sides(name, 0):
            with _open(item) as (frames, fps):
                yield key, encode_frames(self._tokenizer, (side(self._cut.frame(frame)) for frame in frames), fps)

    def _windows(self, name: str, item: MediaItem) -> Iterator[tuple[str, Tokens]]:
        if self._is_done(name, item):
            self.num_short += self._cut.has_rest(count_frames(item))
            return
        num_frames = 0
        with _open(item) as (frames, fps):
            held: deque[Frame] = deque(maxlen=self._cut.num_frames)
            for num_frames, frame in enumerate(frames, 1):
                held.append(self._cut.frame(frame))
                start = num_frames - len(held)
                if start not in self._cut.starts(num_frames):
                    continue
                for key, side in self._sides(name, start):
                    yield key, encode_frames(self._tokenizer, map(side, held), fps)
        self.num_short += self._cut.has_rest(num_frames)

    def _sides(self, name: str, start: int) -> Iterator[tuple[str, Callable[[Frame], Frame]]]:
        """Yield the keys of a clip and its mirror image that are not there yet, each with what is done to frames."""
        key = f"{name}#{start}"
        sides = [(key, _as_it_is), (key + FLIPPED, _mirrored)] if self._cut.flip else [(key, _as_it_is)]
        yield from ((key, side) for key, side in sides if key not in self._done)

    def _is_done(self, name: str, item: MediaItem) -> bool:
        """Whether all windows of an item are there.

        The number of frames is what its list or container says, which may be too low: a kill may have come just then,
        so the item that was written last is always read again.
        """
        if name == self._last or f"{name}#0" not in self._done:
            return False
        return all(not list(self._sides(name, start)) for start in self._cut.starts(count_frames(item)))


@contextmanager
def _open(item: MediaItem) -> Iterator[tuple[Iterable[Frame], Fraction | None]]:
    """Yield the frames of an item, those of a video one by one, and its rate, None where nothing tells."""
    if item.kind == "video":
        with open_media(item.medium) as reader:
            yield reader, reader.info.fps
    else:
        yield read_item(item), None


def _as_it_is(frame: Frame) -> Frame:
    return frame


def _mirrored(frame: Frame) -> Frame:
    return np.ascontiguousarray(frame[:, ::-1])


def _named(items: Sequence[MediaItem], source: Path) -> dict[str, MediaItem]:
    named: dict[str, MediaItem] = {}
    for item in items:
        name = key_of(item, source)
        if name in named:
            raise InputError(f"{source}: has {name} twice; every row of a shard needs a name of its own")
        named[name] = item
    return named


def _plain(text: str) -> str:
    """Return a name as UTF-8 can hold it: bytes of a file's name that are no text are spelled out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _why_nothing(job: _Job, num_items: int) -> str:
    if not job.skipped:
        return f"not one of its {num_items} items is as long as a window; allow fewer frames"
    path, reason = job.skipped[0]
    left = f", and {job.num_short} are shorter than a window" if job.num_short else ""
    return f"{len(job.skipped)} of its {num_items} items cannot be read{left}; the first: {path}: {reason}"
