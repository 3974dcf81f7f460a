"""Fréchet distances of clips: FVD in both of the field's conventions, and any other embedding of clips.

FVD (arXiv 1812.01717) is of I3D's 400 Kinetics logits on 16 frames. MAGVIT-v2 reports the mean and the standard
deviation over 4 folds of samples, each against the same real clips. `fvd-styleganv` and `fvd-videogpt` (see
`features.embeddings`) differ in the archive, its resizing and the covariance's divisor; their numbers do not compare.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError
from magvit2.features import Embedding
from magvit2.metrics.frechet import FrechetDistance

NUM_FRAMES = 16
NUM_FOLDS = 4


@dataclass(frozen=True)
class Windows:
    """Which frames of a clip are scored: windows of `num_frames`, every `stride`-th frame, side by side from the start.

    At most `limit` windows of a clip; frames left at its end are not scored (the 17th of 17, say).
    """

    num_frames: int = NUM_FRAMES
    stride: int = 1
    limit: int | None = 1

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.stride < 1 or (self.limit is not None and self.limit < 1):
            raise InputError(f"{self}: expected numbers of 1 or more")

    def cut(self, frames: UInt8[np.ndarray, "T H W 3"]) -> UInt8[np.ndarray, "n t H W 3"]:
        """Return the windows of a clip, one at least. Raises InputError where it is too short."""
        span = self.span
        if len(frames) < span:
            raise InputError(
                f"a clip of {len(frames)} frames: {self.num_frames} at stride {self.stride} expect {span} or more"
            )
        starts = range(0, len(frames) - span + 1, self.num_frames * self.stride)[: self.limit]
        return np.stack([frames[start : start + span : self.stride] for start in starts])

    def stream(self, frames: Iterable[UInt8[np.ndarray, "H W 3"]]) -> Iterator[UInt8[np.ndarray, "t H W 3"]]:
        """Yield the windows of a clip one by one, none where it is too short; no more than one is in memory."""
        rest = iter(frames)
        for _ in itertools.count() if self.limit is None else range(self.limit):
            period = enumerate(itertools.islice(rest, self.num_frames * self.stride))
            window = [frame for number, frame in period if number % self.stride == 0]
            if len(window) < self.num_frames:
                return
            yield np.stack(window)

    @property
    def span(self) -> int:
        """Frames of the shortest clip that has a window."""
        return (self.num_frames - 1) * self.stride + 1

    @property
    def reach(self) -> int | None:
        """How many frames from the start of a clip are looked at; None: all."""
        return None if self.limit is None else (self.limit - 1) * self.num_frames * self.stride + self.span

    @property
    def protocol(self) -> str:
        """Frames, stride, windows."""
        count = "all windows" if self.limit is None else f"first {self.limit} window(s)"
        return f"{self.num_frames} frames at stride {self.stride}, {count} of a clip"


class ClipDistance:
    """Fréchet distance of clips [T, H, W, 3] under an embedding of windows of them; see FrechetDistance for folds."""

    def __init__(self, embed: Embedding, windows: Windows | None = None, num_folds: int = NUM_FOLDS) -> None:
        self._windows = windows or Windows()
        if embed.num_frames not in (0, self._windows.num_frames):
            raise InputError(
                f"windows of {self._windows.num_frames} frames: {embed.name} expects {embed.num_frames} frames"
            )
        self._distance = FrechetDistance(embed, num_folds)

    def add_real(self, frames: UInt8[np.ndarray, "T H W 3"]) -> None:
        """Count the windows of a real clip. Raises InputError where it is too short."""
        self._distance.add_real(self._windows.cut(frames))

    def add(self, frames: UInt8[np.ndarray, "T H W 3"], fold: int = 0) -> None:
        """Count the windows of a generated or reconstructed clip of one fold. Raises InputError where too short."""
        self._distance.add(self._windows.cut(frames), fold)

    def merge(self, other: "ClipDistance") -> None:
        """Count what another process has counted. Raises InputError where the protocols differ."""
        if other._windows != self._windows:
            raise InputError(f"merging {other.protocol!r} into {self.protocol!r}: expected one protocol")
        self._distance.merge(other._distance)

    @property
    def folds(self) -> list[float]:
        """The distance of every fold. Raises InputError where a side has fewer than 2 clips."""
        return self._distance.folds

    @property
    def value(self) -> float:
        """Mean distance over folds. Raises as `folds`."""
        return self._distance.value

    @property
    def spread(self) -> float:
        """Standard deviation over folds. Raises as `folds`."""
        return self._distance.spread

    @property
    def name(self) -> str:
        """The metric's name, the embedding's."""
        return self._distance.name

    @property
    def protocol(self) -> str:
        """Windows, network, digest, preprocessing, samples, folds."""
        return f"{self._distance.protocol}; {self._windows.protocol}"
