"""Validation: a model's scores on a few held-out items, the same ones each time, without any chance."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from magvit2.data.batches import BatchSpec, Skipped
from magvit2.data.frames import Frames, count_frames, read_item, to_clip, to_frames
from magvit2.data.items import MediaItem, find_items, first_of_each_group
from magvit2.errors import InputError, MediaError
from magvit2.metrics import CodeUsage, psnr
from magvit2.tokenizer import Tokenizer

Clips = Sequence[UInt8[np.ndarray, "_T _H _W 3"]]
"""Clips of several lengths and sizes."""


class HeldOut(NamedTuple):
    """Clips to validate on, as they are read, and the items that could not be read."""

    clips: Clips
    skipped: list[Skipped]


def read_held_out(source: Path, trained: Sequence[MediaItem], specs: Sequence[BatchSpec], count: int) -> HeldOut:
    """Return `count` clips of the `val` items of a source at most, from as many of its groups as there are.

    An item is taken as the largest batch does that takes its like, in the middle of its time and of its frames: `size`
    pixels a side at its own scale, or less where it is smaller, and `num_frames`, or one of an image. Nothing that is
    among the `trained` items is taken. Raises InputError where nothing is held out.
    """
    seen = set(trained)
    pairs = _matched([item for item in find_items(source, "val", hold_out=True) if item not in seen], specs)
    if not pairs:
        raise InputError(f"{source}: expected items of split val that are like those of the batches, found none")
    by_item = dict(pairs)
    clips: list[Frames] = []
    skipped: list[Skipped] = []
    for item in _spread(list(by_item), count):
        try:
            clips.append(_centre(item, by_item[item]))
        except (MediaError, InputError) as error:
            skipped.append(Skipped(item.name, str(error).removeprefix(f"{item.name}: ")))
    return HeldOut(clips, skipped)


def validate(model: Tokenizer, clips: Clips) -> dict[str, float]:
    """Return scores of a model, in its own precision, on clips: one or more.

    `val_psnr`: in dB, of 8-bit RGB, mean over a clip's frames, then over clips. `val_entropy` and `val_least_entropy`:
    mean and least entropy of a digit (bit) of the ids, as a share of the most it can be. `val_usage`: share of the
    vocabulary that is met.
    """
    usage, scores = CodeUsage(model.space), []
    for frames in clips:
        ids = model.encode(to_clip(frames).to(model.device))
        usage.add(ids)
        count, height, width, _ = frames.shape
        decoded = to_frames(model.decode(ids, (count, height, width))[0])
        scores.append(fmean(psnr(*pair) for pair in zip(frames, decoded, strict=True)))
    entropies = usage.digit_entropies
    return {
        "val_psnr": fmean(scores),
        "val_entropy": entropies.mean().item(),
        "val_least_entropy": entropies.min().item(),
        "val_usage": usage.usage,
    }


def _matched(items: Sequence[MediaItem], specs: Sequence[BatchSpec]) -> list[tuple[MediaItem, BatchSpec]]:
    """Return items with the largest batch that takes their like; clips as images where batches take nothing else."""
    pairs = [(item, _largest([spec for spec in specs if _takes(spec, item)])) for item in items]
    found = [(item, spec) for item, spec in pairs if spec is not None]
    if found:
        return found
    stills = [(item, _largest([s for s in specs if s.kind == "image" and _is_in(item, s)])) for item in items]
    return [(item, spec) for item, spec in stills if spec is not None]


def _takes(spec: BatchSpec, item: MediaItem) -> bool:
    return _is_in(item, spec) and item.is_clip == (spec.kind == "video")


def _is_in(item: MediaItem, spec: BatchSpec) -> bool:
    return not spec.groups or item.group in spec.groups


def _largest(specs: Sequence[BatchSpec]) -> BatchSpec | None:
    return max(specs, key=lambda spec: (spec.size, spec.num_frames), default=None)


def _spread(items: list[MediaItem], count: int) -> list[MediaItem]:
    """Return `count` items at most, in turn the first of each group, the second of each, and so on."""
    chosen: list[MediaItem] = []
    for depth in range(1, count + 1):
        chosen += [item for item in first_of_each_group(items, depth) if item not in chosen]
        if len(chosen) >= count:
            break
    return chosen[:count]


def _centre(item: MediaItem, spec: BatchSpec) -> Frames:
    """Return the middle of an item. Raises MediaError where it cannot be read, or is shorter than it says."""
    num_frames = spec.num_frames if spec.kind == "video" else 1
    start = max(0, (count_frames(item) - num_frames) // 2)
    frames = read_item(item, start, num_frames)
    if not len(frames):
        raise MediaError(f"{item.name}: has no frame {start}; correct the number of frames in its list")
    top, left = (max(0, (side - spec.size) // 2) for side in frames.shape[1:3])
    return frames[:, top : top + spec.size, left : left + spec.size]
