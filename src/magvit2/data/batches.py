"""Training batches as a pure function of (seed, step): any worker, any restart, the same batch.

A file that cannot be read is left out: the next item is drawn with the same generator, so this holds of damaged sources
too, and the batch says which files it left out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from magvit2.data.frames import Frames, random_clip, read_item
from magvit2.data.items import MediaItem
from magvit2.data.synthetic import Photo, moving_camera
from magvit2.errors import ConfigError, InputError, MediaError

CUT_PROBABILITY = 0.3
"""Share of moving-camera clips that cut to another photograph; a tokenizer that never saw a cut smears over it."""

MAX_UNREADABLE = 100
"""Files in a row that a draw leaves out before it gives up: a source of which half is damaged never comes to it."""


@dataclass(frozen=True)
class BatchSpec:
    """One kind of batch in a training mixture, drawn with probability proportional to `weight`.

    `image` takes images (and single frames where a source has no images), `video` takes clips, `motion` turns images
    into clips by a moving camera. `num_frames` and `size` (height and width) must fill whole latent positions.
    `groups` restricts it to these top folders of the source; by default it draws from all of them.

    `zoom` above 1 magnifies: squares are also cut up to so many times smaller, and scaled up, which makes smooth, large
    surfaces of small pictures. With a `least_area` above 0 squares of images and clips have at least that share of the
    largest square's area, and no other scale is tried. `exposure` lightens and darkens: values v in [0, 1] become
    v ** 2 ** e, with an e of each clip uniform in +-exposure. Without `mirror` no clip is mirrored, as where left and
    right are classes; else half of them are.
    """

    kind: Literal["image", "video", "motion"]
    batch_size: int
    num_frames: int
    size: int
    weight: float = 1.0
    groups: tuple[str, ...] = ()
    zoom: float = 1.0
    exposure: float = 0.0
    least_area: float = 0.0
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.zoom < 1 or self.exposure < 0 or not 0 <= self.least_area <= 1:
            raise ConfigError(f"{self}: expected a zoom of 1 or more, an exposure of 0 or more, a least_area of 0 to 1")
        if min(self.batch_size, self.num_frames, self.size) < 1 or self.weight <= 0:
            raise ConfigError(f"{self}: expected sizes of 1 or more and a weight above 0")
        if self.kind == "image" and self.num_frames != 1:
            raise ConfigError(f"{self}: a batch of images has num_frames = 1")


class Skipped(NamedTuple):
    """A file that was left out, and why it could not be read."""

    path: str
    reason: str


class Batch(NamedTuple):
    """Clips uint8 [b, 3, T, H, W] in 0..255, the kind of batch, the files that were left out of it, and labels.

    A label is that of a clip's item, "" where it has none.
    """

    clips_u8: UInt8[Tensor, "b 3 T H W"]
    kind: str
    skipped: Sequence[Skipped] = ()
    labels: tuple[str, ...] = ()


class TrainingBatches(Dataset[Batch]):
    """The batches of a run: item `step` is the batch of that step.

    Groups of the source (its top folders) are equally likely, then items within a group. Raises InputError where a spec
    has no items to draw from. A batch raises MediaError where 100 files that were drawn in a row cannot be read.
    """

    def __init__(self, items: list[MediaItem], specs: tuple[BatchSpec, ...], num_steps: int, seed: int) -> None:
        self.specs = specs
        self.num_steps = num_steps
        self.seed = seed
        self._groups = [_groups(items, spec) for spec in specs]
        weights = np.array([spec.weight for spec in specs])
        self._probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.num_steps:
            raise IndexError(f"step {step}: this run has steps 0 to {self.num_steps - 1}")
        rng = np.random.default_rng((self.seed, step))
        index = int(rng.choice(len(self.specs), p=self._probabilities))
        spec, groups = self.specs[index], self._groups[index]
        skipped: list[Skipped] = []
        drawn = [_draw(groups, spec, rng, skipped) for _ in range(spec.batch_size)]
        clips = torch.from_numpy(np.stack([clip for clip, _ in drawn])).permute(0, 4, 1, 2, 3)
        return Batch(clips, spec.kind, tuple(skipped), tuple(label for _, label in drawn))


class _UnreadableError(Exception):
    """An item of a draw cannot be read."""

    def __init__(self, skipped: Skipped) -> None:
        super().__init__(skipped)
        self.skipped = skipped


@contextmanager
def _reading(item: MediaItem) -> Iterator[None]:
    """Tell whose failure it is when a draw fails in the block."""
    try:
        yield
    except (MediaError, InputError) as error:
        reason = str(error).removeprefix(f"{item.name}: ")
        raise _UnreadableError(Skipped(item.name, reason)) from error


def _draw(
    groups: list[list[MediaItem]], spec: BatchSpec, rng: np.random.Generator, skipped: list[Skipped]
) -> tuple[Frames, str]:
    """Return a clip of the next item that can be read, and its label; those before it are added to `skipped`."""
    failed: list[Skipped] = []
    while len(failed) < MAX_UNREADABLE:
        try:
            clip, label = _draw_once(groups, spec, rng)
            clip = _exposed(clip, spec.exposure, rng)
        except _UnreadableError as error:
            failed.append(error.skipped)
        else:
            skipped += failed
            return clip, label
    (path, reason), count = failed[-1], f"{len({path for path, _ in failed})} different"
    raise MediaError(f"{MAX_UNREADABLE} files drawn in a row could not be read ({count}), the last: {path}: {reason}")


def _draw_once(groups: list[list[MediaItem]], spec: BatchSpec, rng: np.random.Generator) -> tuple[Frames, str]:
    group = groups[int(rng.integers(len(groups)))]
    item = group[int(rng.integers(len(group)))]
    if spec.kind == "motion":
        return _moving(item, group[int(rng.integers(len(group)))], spec, rng), item.label
    with _reading(item):
        return random_clip(
            item, spec.num_frames, spec.size, rng, spec.zoom, spec.least_area, mirror=spec.mirror
        ), item.label


def _exposed(clip: Frames, exposure: float, rng: np.random.Generator) -> Frames:
    """Lighten or darken a clip by a random power, at most 2 ** +-exposure."""
    if exposure == 0:
        return clip
    levels = np.linspace(0, 1, 256) ** 2.0 ** rng.uniform(-exposure, exposure)
    return (255 * levels).round().astype(np.uint8)[clip]


def _moving(item: MediaItem, other: MediaItem, spec: BatchSpec, rng: np.random.Generator) -> Frames:
    """Move a camera over a photograph and, now and then, cut to another one."""
    size = (spec.num_frames, spec.size, spec.size)
    clip = moving_camera(_photo(item), *size, rng, spec.zoom)
    if rng.random() < CUT_PROBABILITY:
        cut = int(rng.integers(spec.num_frames))
        clip[cut:] = moving_camera(_photo(other), *size, rng, spec.zoom)[cut:]
    return clip


def _photo(item: MediaItem) -> Photo:
    with _reading(item):
        return read_item(item)[0]


def _groups(items: list[MediaItem], spec: BatchSpec) -> list[list[MediaItem]]:
    """Return the items that a kind of batch draws from, by group: clips for `video`, images first for the others."""
    inside = [item for item in items if not spec.groups or item.group in spec.groups]
    chosen = [item for item in inside if item.is_clip == (spec.kind == "video")]
    if not chosen and spec.kind == "image":
        chosen = inside
    if not chosen:
        wanted = "videos" if spec.kind == "video" else "images"
        where = f" in {', '.join(spec.groups)}" if spec.groups else ""
        raise InputError(f"the source holds no {wanted}{where}, which a batch of kind {spec.kind!r} needs")
    names = sorted({item.group for item in chosen})
    return [[item for item in chosen if item.group == name] for name in names]
