"""The two sides of a comparison, samples and reference, looked at before anything is measured.

Sides must hold the same kind of items (clips, images, or both, each compared with its like), two of a kind at least, in
frames of the same sizes. Other things than these are left out and said, or refused in one line.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from magvit2.data.frames import read_item
from magvit2.data.items import MediaItem
from magvit2.errors import InputError
from magvit2.evaluation.parts import Progress
from magvit2.metrics.fvd import Windows
from magvit2.video import probe

Kind = Literal["clips", "images"]
SideName = Literal["samples", "reference"]

KINDS: Final[tuple[Kind, ...]] = ("clips", "images")
SIDES: Final[tuple[SideName, ...]] = ("samples", "reference")
MIN_ITEMS: Final = 2
"""What a covariance needs."""

_MAX_SIZES_NAMED = 3


@dataclass(frozen=True)
class Side:
    """A folder and what is taken of it; `scope` says so in words."""

    name: SideName
    folder: Path
    items: tuple[MediaItem, ...]
    scope: str

    def of_kind(self, kind: Kind) -> list[MediaItem]:
        """Return its clips or its images, in their order."""
        return [item for item in self.items if item.is_clip == (kind == "clips")]


@dataclass(frozen=True)
class Entry:
    """An item of a side, with its number among the side's items of its kind."""

    item: MediaItem
    side: SideName
    number: int

    @property
    def kind(self) -> Kind:
        """What it is compared with."""
        return "clips" if self.item.is_clip else "images"


@dataclass(frozen=True)
class Match:
    """What can be compared: entries, those of the samples first, their frames' sizes, and what is left out."""

    entries: tuple[Entry, ...]
    sizes: dict[SideName, str]
    notes: tuple[str, ...] = ()


def first_of_each_kind(items: Sequence[MediaItem], count: int) -> list[MediaItem]:
    """Return the first `count` clips and the first `count` images, in their order."""
    clips = [item for item in items if item.is_clip][:count]
    images = [item for item in items if not item.is_clip][:count]
    chosen = {id(item) for item in (*clips, *images)}
    return [item for item in items if id(item) in chosen]


def match_sides(
    samples: Side, reference: Side, windows: Windows, size: int | None = None, progress: Progress = lambda count: None
) -> Match:
    """Return what can be compared of two sides, every item's header being read once.

    Raises InputError where there is nothing: no kind that both have, or fewer than two items of it that are long
    enough; and, without a common `size`, where frames on one side are of other sizes than on the other.
    """
    sides = (samples, reference)
    kinds = [kind for kind in KINDS if all(side.of_kind(kind) for side in sides)]
    if not kinds:
        held = [f"{side.folder} holds {' and '.join(_held(side))}" for side in sides]
        raise InputError(f"{held[0]}, {held[1]}; expected clips on both sides, or images on both")
    looks = _look_at_all(sides, kinds, progress)
    problems = {kind: _find_problem(looks, sides, kind, windows) for kind in kinds}
    kinds = [kind for kind in kinds if not problems[kind]]
    if not kinds:
        raise InputError(next(problem for problem in problems.values() if problem))
    sizes = {side.name: _sizes_of(looks, side, kinds) for side in sides}
    if size is None:
        for kind in kinds:
            _check_sizes(looks, sides, kind)
    alone = [f"{side.folder}: its {kind} are left out, the other side has none" for side, kind in _alone(sides)]
    entries = [
        Entry(item, side.name, number)
        for side in sides
        for kind in kinds
        for number, item in enumerate(side.of_kind(kind))
    ]
    return Match(tuple(entries), sizes, (*alone, *(problem for problem in problems.values() if problem)))


@dataclass(frozen=True)
class _Look:
    """What an item's header says; `num_frames` None: only decoding can tell."""

    width: int
    height: int
    num_frames: int | None


_Looks = dict[tuple[SideName, Kind], list[_Look]]


def _look_at_all(sides: Sequence[Side], kinds: Sequence[Kind], progress: Progress) -> _Looks:
    looks: _Looks = {}
    count = 0
    for side in sides:
        for kind in kinds:
            looks[side.name, kind] = []
            for item in side.of_kind(kind):
                looks[side.name, kind].append(_look_at(item))
                count += 1
                progress(count)
    return looks


def _look_at(item: MediaItem) -> _Look:
    """Return what is known of an item from its row and its header. Raises MediaError where it cannot be read."""
    if item.member is not None and item.kind != "video":
        height, width = read_item(item, 0, 1).shape[1:3]
        return _Look(width, height, len(item.frame_bytes) or 1)
    info = probe(item.medium)
    if item.kind == "strip":
        return _Look(info.height, info.height, info.width // info.height)
    return _Look(info.width, info.height, info.num_frames if item.num_frames is None else item.num_frames)


def _find_problem(looks: _Looks, sides: Sequence[Side], kind: Kind, windows: Windows) -> str:
    """Return why a kind that both sides have cannot be compared, "" where it can."""
    least = windows.span if kind == "clips" else 1
    for side in sides:
        items = side.of_kind(kind)
        all_long = (1 for item, look in zip(items, looks[side.name, kind], strict=True) if _is_long(item, look, least))
        num_long = sum(itertools.islice(all_long, MIN_ITEMS))
        if num_long < MIN_ITEMS:
            short = f", {num_long} of them of {least} frames or more" if num_long < len(items) else ""
            return (
                f"{side.folder}: holds {_counted(len(items), kind)}{short}; "
                f"a Fréchet distance expects {MIN_ITEMS} or more on each side"
            )
    return ""


def _is_long(item: MediaItem, look: _Look, least: int) -> bool:
    """Return whether an item has so many frames; where its header does not say, they are decoded."""
    return (len(read_item(item, 0, least)) if look.num_frames is None else look.num_frames) >= least


def _check_sizes(looks: _Looks, sides: Sequence[Side], kind: Kind) -> None:
    first, second = ({(look.width, look.height) for look in looks[side.name, kind]} for side in sides)
    if first != second:
        found = [f"{_sizes_of(looks, side, [kind])} in {side.folder}" for side in sides]
        raise InputError(f"frames of {kind} are {found[0]} and {found[1]}; give --size N to bring all to one size")


def _sizes_of(looks: _Looks, side: Side, kinds: Sequence[Kind]) -> str:
    """Return the sizes of a side's frames, the most frequent first."""
    counts = Counter((look.width, look.height) for kind in kinds for look in looks[side.name, kind])
    names = [f"{width} x {height}" for (width, height), _ in counts.most_common(_MAX_SIZES_NAMED)]
    more = f" and {len(counts) - len(names)} other sizes" if len(counts) > len(names) else ""
    return ", ".join(names) + more


def _alone(sides: Sequence[Side]) -> list[tuple[Side, Kind]]:
    """Return the kinds that only one side has."""
    return [
        (one, kind)
        for one, other in zip(sides, sides[::-1], strict=True)
        for kind in KINDS
        if one.of_kind(kind) and not other.of_kind(kind)
    ]


def _held(side: Side) -> list[str]:
    return [_counted(len(side.of_kind(kind)), kind) for kind in KINDS if side.of_kind(kind)]


def _counted(count: int, kind: Kind) -> str:
    return f"{count} {kind if count != 1 else kind[:-1]}"
