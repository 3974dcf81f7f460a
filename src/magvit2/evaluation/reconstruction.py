"""How well tokenizers and codecs reconstruct a source: every item under every contender, metric by metric.

Protocol: 8-bit RGB; clips are cut to `max_frames` frames from their beginning; frames keep their own size, or, with
`size`, are scaled until their short side has it (bilinear, antialiased) and cut to the square in the middle, or, with
`fit`, are scaled down (area) to lie within height x width. What is measured on an item is averaged over the items of a
group; distributions (Fréchet distances, ids) are of all items of a group. Items are taken one after another in a fixed
order, features item by item, so the batch size changes no figure on a CPU.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from torch import Tensor

from magvit2.data.frames import Frames, centre_square, read_item, shrink_to_fit
from magvit2.data.items import MediaItem
from magvit2.errors import InputError, Magvit2Error
from magvit2.evaluation.contenders import Clip, Contender, FloorContender, Outcome, TokenizerContender
from magvit2.evaluation.parts import Progress
from magvit2.evaluation.results import Result, results
from magvit2.evaluation.scores import Panel, open_panel
from magvit2.evaluation.tally import ORIGINAL, Record, Tally
from magvit2.tokenizer import Tokenizer
from magvit2.video import probe

DEFAULT_FPS = Fraction(25)
MODEL = "model"
"""What `evaluate_reconstruction` calls its tokenizer."""

Numbered = tuple[int, MediaItem]


@dataclass(frozen=True)
class Bench:
    """What is compared, by what, on how much of each item: whole frames, or squares of `size`, or frames that `fit`."""

    contenders: tuple[Contender, ...]
    panel: Panel
    max_frames: int = 17
    size: int | None = None
    batch_size: int = 1
    fit: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, value in (("max_frames", self.max_frames), ("size", self.size), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: expected 1 or more")
        if self.fit is not None and min(self.fit) < 2:
            raise InputError(f"fit {self.fit}: expected height and width of 2 or more")
        if self.fit is not None and self.size is not None:
            raise InputError(f"size {self.size} and fit {self.fit}: expected one of them")

    @property
    def frames_protocol(self) -> str:
        """Which frames are scored."""
        crop = crop_protocol(self.size)
        if self.fit is not None:
            crop = f"larger ones scaled down to lie within {self.fit[1]} x {self.fit[0]} (area, even sides), no crop"
        return f"8-bit RGB, first {self.max_frames} frames at stride 1, {crop}"

    def read(self, item: MediaItem) -> Frames:
        """Return the frames of an item that are scored. Raises MediaError, InputError where there are none."""
        frames = read_item(item, 0, self.max_frames)
        if not len(frames):
            raise InputError(f"{item.path}: holds no frames")
        if self.fit is not None:
            return shrink_to_fit(frames, *self.fit)
        return frames if self.size is None else centre_square(frames, self.size)

    def measure(self, items: Sequence[Numbered], tally: Tally) -> Iterator[int]:
        """Measure items into `tally`; see the function of this name."""
        return measure(self, items, tally)


def evaluate_reconstruction(
    tokenizer: Tokenizer, items: Sequence[MediaItem], max_frames: int = 17, progress: Progress | None = None
) -> Iterator[Result]:
    """Yield (name, value) of a tokenizer called `model` and of the bicubic floor, by what needs no networks.

    Names read `group/clips/model/psnr_db`, `all/clips/bicubic/ssim`; see `results`.
    """
    contenders = (TokenizerContender(MODEL, tokenizer), FloorContender(tokenizer.space))
    bench = Bench(contenders, open_panel(("psnr", "ssim", "ms_ssim")), max_frames)
    tally = Tally()
    for count, _ in enumerate(measure(bench, list(enumerate(items)), tally), 1):
        if progress is not None:
            progress(count)
    yield from results(tally, bench.panel, [contender.name for contender in contenders])


def measure(bench: Bench, items: Sequence[Numbered], tally: Tally) -> Iterator[int]:
    """Measure items one after another into `tally`; yield an item's index as soon as it is counted.

    Raises what reading or coding an item raises, with the item's name.
    """
    for start in range(0, len(items), bench.batch_size):
        batch = items[start : start + bench.batch_size]
        clips = [bench.read(item) for _, item in batch]
        fps = [rate_of(item) for _, item in batch]
        outcomes = [_code_timed(contender, clips, fps, batch[0][1]) for contender in bench.contenders]
        for place, (index, item) in enumerate(batch):
            _Scored(bench, index, item, clips[place], [each[place] for each in outcomes]).count_into(tally)
            yield index


def _code_timed(
    contender: Contender, clips: Sequence[Clip], fps: Sequence[Fraction], first: MediaItem
) -> list[tuple[Outcome, float]]:
    """Return the outcomes of clips with the seconds that each took, by its share of the pixels."""
    start = time.perf_counter()
    outcomes = code_checked(contender, clips, fps, first)
    per_value = (time.perf_counter() - start) / sum(clip.size for clip in clips)
    return [(outcome, per_value * clip.size) for outcome, clip in zip(outcomes, clips, strict=True)]


def code_checked(
    contender: Contender, clips: Sequence[Clip], fps: Sequence[Fraction], first: MediaItem
) -> list[Outcome]:
    """Return the outcomes of clips, each of its clip's shape. Raises InputError, naming item and contender."""
    try:
        outcomes = contender.code(clips, fps)
    except Magvit2Error as error:
        raise type(error)(f"{first.path}: {contender.name}: {error}") from error
    for clip, outcome in zip(clips, outcomes, strict=True):
        if outcome.frames.shape != clip.shape:
            shapes = f"{list(outcome.frames.shape)}, expected {list(clip.shape)}"
            raise InputError(f"{first.path}: {contender.name} gave frames of shape {shapes}")
    return outcomes


def rate_of(item: MediaItem) -> Fraction:
    """Return frames per second of an item, 25 where it does not say."""
    fps = probe(item.medium).fps if item.kind == "video" else None
    return fps or DEFAULT_FPS


def cell_of(item: MediaItem) -> str:
    """Return the group and kind that an item counts in: `arid6_160/clips`."""
    return f"{item.group or 'source'}/{'clips' if item.is_clip else 'images'}"


def crop_protocol(size: int | None) -> str:
    """Return what `centre_square` does to frames, in words; `size` None: nothing is done."""
    if size is None:
        return "native size, no crop"
    return f"short side to {size} (bilinear, antialiased), centre crop {size} x {size}"


class _Scored:
    """One item under all contenders, measured in full before anything of it is counted."""

    def __init__(
        self, bench: Bench, index: int, item: MediaItem, frames: Frames, timed: Sequence[tuple[Outcome, float]]
    ) -> None:
        self._bench = bench
        self._outcomes = [outcome for outcome, _ in timed]
        self._features = {ORIGINAL: _features(bench.panel, frames)}
        self._num_pixels = frames.size // 3
        self._records = []
        for contender, (outcome, coding_s) in zip(bench.contenders, timed, strict=True):
            self._features[contender.name] = _features(bench.panel, outcome.frames)
            values: dict[str, float] = {}
            for metric in bench.panel.pairs:
                values |= metric.measure(frames, outcome.frames)
            if not np.isfinite(list(values.values())).all():
                raise InputError(f"{item.name}: {contender.name} has values that are not finite: {values}")
            self._records.append(
                Record(
                    index,
                    item.name,
                    cell_of(item),
                    contender.name,
                    len(frames),
                    self._num_pixels,
                    outcome.num_bits,
                    outcome.setting,
                    values,
                    coding_s,
                )
            )

    def count_into(self, tally: Tally) -> None:
        """Count the item."""
        cell = self._records[0].cell
        for contender, by_metric in self._features.items():
            for metric, features in by_metric.items():
                tally.add_features(cell, contender, metric, features)
        for entrant, outcome in zip(self._bench.contenders, self._outcomes, strict=True):
            if outcome.ids is not None and entrant.space is not None:
                tally.add_ids(cell, entrant.name, entrant.space, outcome.ids, self._num_pixels)
        tally.records += self._records


def _features(panel: Panel, frames: Frames) -> dict[str, Tensor]:
    found = {metric.name: metric.embed(frames) for metric in panel.sets}
    return {name: features for name, features in found.items() if features is not None}
