"""How close generated clips and images come to a reference: features of both sides, streamed into Gaussians.

Protocol: 8-bit RGB; a clip counts with windows of 16 frames, by default the first; networks of clips see a window,
networks of frames (and the Inception score) every frame of it; an image counts as it is. Clips and images are kept
apart. Sample clip i of the fixed order belongs to fold i mod `num_folds`, and every fold is held against the whole
reference, as MAGVIT reports FVD; frames are counted all together. Sample i belongs to split i mod 10 of the Inception
score. On a CPU networks see one window at a time, so neither the batch size nor the number of processes changes a
figure.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.data.frames import centre_square, read_item
from magvit2.data.items import MediaItem
from magvit2.errors import InputError
from magvit2.evaluation.parts import Settings
from magvit2.evaluation.reconstruction import crop_protocol
from magvit2.evaluation.running import hash_of_list
from magvit2.evaluation.scores import divisor, open_metrics
from magvit2.evaluation.sides import Entry, Side
from magvit2.evaluation.tally import Record, Tally
from magvit2.features import (
    Embedding,
    InceptionNetwork,
    load_inception,
    load_mobilenet_embedding,
    load_ported_i3d,
    load_scripted_i3d,
)
from magvit2.metrics.fvd import NUM_FOLDS, Windows
from magvit2.metrics.inception import NUM_SPLITS
from magvit2.metrics.motion import load_motion_embedding
from magvit2.video import open_media

SCORE: Final = "is"

Window = UInt8[np.ndarray, "_ _ _ 3"]
"""One of several windows: frames [t, H, W, 3], of a shape of its own; an image is one of a single frame."""


@dataclass(frozen=True)
class ClassMetric:
    """The Inception score's network."""

    network: InceptionNetwork

    @property
    def protocol(self) -> str:
        """Network, digest, preprocessing, splits."""
        return (
            f"{SCORE}: {self.network.probabilities_protocol}; every frame of the samples alone, "
            f"sample i in split i mod {NUM_SPLITS}"
        )


@dataclass(frozen=True)
class GenerationPanel:
    """The metrics of a comparison, and why others that were asked for are not among them."""

    distances: tuple[Embedding, ...]
    classes: ClassMetric | None = None
    not_measured: dict[str, str] = field(default_factory=dict)

    @property
    def protocols(self) -> dict[str, str]:
        """The protocol of each metric."""
        found = {
            embed.name: f"{embed.protocol}; {'every frame' if embed.num_frames == 1 else 'windows'}; {divisor(embed)}"
            for embed in self.distances
        }
        return found | ({SCORE: self.classes.protocol} if self.classes else {})


def open_generation_panel(
    names: Sequence[str] = (), nets: Path | None = None, device: str | torch.device = "cpu"
) -> GenerationPanel:
    """Return the panel of the metrics called `names` (all that are known by default).

    Raises InputError for a name that is not known, FormatError for a network's file that is not what it should be.
    """
    found, not_measured = open_metrics(_makers(), names, nets, device)
    classes = next((metric for metric in found if isinstance(metric, ClassMetric)), None)
    distances = tuple(metric for metric in found if not isinstance(metric, ClassMetric))
    return GenerationPanel(distances, classes, not_measured)


def _makers() -> dict[str, Callable[[Path, torch.device], Embedding | ClassMetric]]:
    inception = functools.cache(load_inception)  # one network for both that need it

    def classes(nets: Path, device: torch.device) -> ClassMetric:
        return ClassMetric(inception(nets, device))

    return {
        "fd-mbv2-t": load_motion_embedding,
        "fvd-styleganv": load_scripted_i3d,
        "fvd-videogpt": load_ported_i3d,
        "fd-mbv2": load_mobilenet_embedding,
        "fid": inception,
        SCORE: classes,
    }


@dataclass(frozen=True)
class GenerationBench:
    """What is measured of each item; `num_together` windows of equal shape go through a network at once."""

    panel: GenerationPanel
    windows: Windows = field(default_factory=Windows)
    size: int | None = None
    num_folds: int = NUM_FOLDS
    num_together: int = 1

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("folds", self.num_folds), ("batch_size", self.num_together)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: expected 1 or more")

    def measure(self, items: Sequence[tuple[int, Entry]], tally: Tally) -> Iterator[int]:
        """Measure entries one after another into `tally`; yield an entry's index as soon as it is counted.

        Raises MediaError, and InputError where features are not finite, with the item's name.
        """
        for start in range(0, len(items), self.num_together):
            batch = items[start : start + self.num_together]
            for (index, entry), seen in zip(batch, self._look_at([entry for _, entry in batch]), strict=True):
                self._count(index, entry, seen, tally)
                yield index

    def read(self, entry: Entry) -> Iterator[Window]:
        """Yield the windows of an entry one by one, none of a clip that is too short. Raises MediaError."""
        if entry.kind == "images":
            windows: Iterable[Window] = [read_item(entry.item, 0, 1)]
        else:
            windows = self.windows.stream(_frames_of(entry.item, self.windows.reach))
        for window in windows:
            yield window if self.size is None else centre_square(window, self.size)

    def _look_at(self, entries: Sequence[Entry]) -> "list[_Seen]":
        """Return what is measured of entries, in full before anything is counted."""
        all_seen = [_Seen() for _ in entries]
        windows = ((seen, entry, w) for seen, entry in zip(all_seen, entries, strict=True) for w in self.read(entry))
        for group in _groups(windows, self.num_together):
            stack = np.stack([window for _, _, window in group])
            for name, features in self._features(stack, is_sample=group[0][1].side == "samples").items():
                for (seen, _, _), own in zip(group, features, strict=True):
                    seen.features.setdefault(name, []).append(own)
            for seen, _, window in group:
                seen.shapes.append(window.shape)
        return all_seen

    def _features(self, stack: UInt8[np.ndarray, "n t H W 3"], is_sample: bool) -> dict[str, Float[Tensor, "n m d"]]:
        """Return by metric what each window gives: one vector for each frame, or one in all."""
        found = {}
        frames = stack.reshape(-1, *stack.shape[2:])
        per_window = (len(stack), stack.shape[1])
        for embed in self.panel.distances:
            if embed.num_frames == 1:
                found[embed.name] = embed(frames).unflatten(0, per_window)
            elif embed.num_frames == stack.shape[1]:
                found[embed.name] = embed(stack)[:, None]
        if self.panel.classes is not None and is_sample:
            found[SCORE] = self.panel.classes.network.probabilities(frames).unflatten(0, per_window)
        return found

    def _count(self, index: int, entry: Entry, seen: "_Seen", tally: Tally) -> None:
        name = entry.item.name
        try:
            for embed in self.panel.distances:
                for features in seen.features.get(embed.name, []):
                    tally.add_features(entry.kind, part_of(entry, embed, self.num_folds), embed.name, features)
            for probabilities in seen.features.get(SCORE, []):
                tally.add_probabilities(entry.kind, split_name(entry.number % NUM_SPLITS), SCORE, probabilities)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        num_frames, num_pixels = (sum(int(np.prod(shape[:n])) for shape in seen.shapes) for n in (1, 3))
        windows = {"windows": float(len(seen.shapes))}
        tally.records.append(Record(index, name, entry.kind, entry.side, num_frames, num_pixels, 0.0, "", windows))


@dataclass
class _Seen:
    """What was measured of one entry: features [m, d] of each window by metric, and the windows' shapes."""

    features: dict[str, list[Tensor]] = field(default_factory=dict)
    shapes: list[tuple[int, ...]] = field(default_factory=list)


def part_of(entry: Entry, embed: Embedding, num_folds: int) -> str:
    """Return under which name features of an entry are counted: its fold, where the embedding is one of clips."""
    if entry.side == "reference" or embed.num_frames == 1:
        return entry.side
    return fold_name(entry.number % num_folds)


def fold_name(number: int) -> str:
    """Return what a fold is called in a tally."""
    return f"fold {number}"


def split_name(number: int) -> str:
    """Return what a split of the Inception score is called in a tally."""
    return f"split {number}"


def _frames_of(item: MediaItem, num_frames: int | None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Yield the first frames of a clip; those of a video one by one."""
    if item.kind == "video":
        with open_media(item.medium, num_frames=num_frames) as reader:
            yield from reader
    else:
        yield from read_item(item, 0, num_frames)


_Placed = tuple[_Seen, Entry, Window]


def _groups(windows: Iterable[_Placed], most: int) -> Iterator[list[_Placed]]:
    """Yield runs of windows of one side and shape, `most` at a time."""
    for _, run in itertools.groupby(windows, lambda placed: (placed[1].side, placed[2].shape)):
        while group := list(itertools.islice(run, most)):
            yield group


@dataclass(frozen=True)
class GenerationSetup:
    """Which metrics, on which frames; `num_windows` None: all that a clip has."""

    metrics: tuple[str, ...] = ()
    nets: Path | None = None
    stride: int = 1
    num_windows: int | None = 1
    num_folds: int = NUM_FOLDS
    size: int | None = None
    batch_size: int = 1
    device: str = "cpu"
    threads: int | None = None

    @property
    def windows(self) -> Windows:
        """Which frames of a clip are scored."""
        return Windows(stride=self.stride, limit=self.num_windows)

    def open(self) -> GenerationBench:
        """Load networks. Raises InputError for unknown names, FormatError for damaged files."""
        panel = open_generation_panel(self.metrics, self.nets, self.device)
        is_cpu = torch.device(self.device).type == "cpu"
        num_together = 1 if is_cpu else self.batch_size
        return GenerationBench(panel, self.windows, self.size, self.num_folds, num_together)


def describe_generation(setup: GenerationSetup, bench: GenerationBench, samples: Side, reference: Side) -> Settings:
    """Return what the figures depend on; a comparison is resumed only where all of it is the same."""
    return {
        "samples": hash_of_list(samples.items, samples.folder),
        "reference": hash_of_list(reference.items, reference.folder),
        "frames": f"8-bit RGB, {setup.windows.protocol}, shorter clips left out, {crop_protocol(setup.size)}",
        "folds": folds_protocol(setup.num_folds),
        "metrics": bench.panel.protocols,
        "arithmetic": f"fp32 on {setup.device}",
    }


def folds_protocol(num_folds: int) -> str:
    """Return which samples make a fold, and what is said of the folds."""
    together = "plain names: all samples together"
    if num_folds == 1:
        return f"one; {together}"
    return (
        f"{num_folds} of the sample clips, clip i in fold i mod {num_folds}, each against the whole reference: "
        f"_fold_mean and _fold_std (over {num_folds}) as MAGVIT reports FVD with 4; {together}"
    )
