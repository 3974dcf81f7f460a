"""How well a tokenizer reconstructs a source: per-frame PSNR and SSIM, code usage, rate, and the bicubic floor.

Protocol: 8-bit RGB at the items' own size; PSNR and SSIM are means over the frames of an item, then over the items of a
group; clips are cut to `max_frames` frames from their beginning; ids are counted over all items of a group.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from magvit2.data.frames import Frames, read_item
from magvit2.data.items import MediaItem
from magvit2.evaluation.floor import bicubic_floor
from magvit2.metrics import CodeUsage, FrameQuality
from magvit2.pipelines import reconstruct_frames
from magvit2.tokenizer import Tokenizer

Result = tuple[str, float]


def evaluate_reconstruction(
    tokenizer: Tokenizer,
    items: Sequence[MediaItem],
    max_frames: int = 17,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """Yield (name, value) for every group of items, then over all clips and all images where there are several groups.

    Names read `group/clips/psnr_db` and `all/clips/psnr_db`. `progress` is called with the number of items done. Values
    are nan where a metric does not apply.
    """
    groups: dict[str, _Group] = {}
    totals: dict[str, _Group] = {}
    for count, item in enumerate(items, 1):
        kind = "clips" if item.is_clip else "images"
        group = groups.setdefault(f"{item.group or 'source'}/{kind}", _Group(CodeUsage(tokenizer.space)))
        total = totals.setdefault(kind, _Group(CodeUsage(tokenizer.space)))
        _score(tokenizer, read_item(item, 0, max_frames), (group, total))
        if progress is not None:
            progress(count)
    for name, group in [*groups.items(), *_worth_adding(totals, groups)]:
        for metric, value in group.results():
            yield f"{name}/{metric}", value


def _worth_adding(totals: "dict[str, _Group]", groups: "dict[str, _Group]") -> "list[tuple[str, _Group]]":
    """Return the totals, by name, of the kinds that several groups have."""
    kinds = [name.rsplit("/", 1)[1] for name in groups]
    return [(f"all/{kind}", total) for kind, total in totals.items() if kinds.count(kind) > 1]


@dataclass
class _Group:
    """What is collected over the items of one group."""

    usage: CodeUsage
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    floor_psnr: list[float] = field(default_factory=list)
    floor_ssim: list[float] = field(default_factory=list)
    num_pixels: int = 0

    def results(self) -> Iterator[Result]:
        space, digits = self.usage.space, self.usage.digit_entropies
        digit = "bit" if set(space.radices) == {2} else "digit"
        yield "items", len(self.psnr)
        yield "psnr_db", _mean(self.psnr)
        yield "bicubic_psnr_db", _mean(self.floor_psnr)
        yield "psnr_gain_db", _mean(self.psnr) - _mean(self.floor_psnr)
        yield "ssim", _mean(self.ssim)
        yield "bicubic_ssim", _mean(self.floor_ssim)
        yield "tokens", self.usage.num_tokens
        yield "distinct_ids", self.usage.num_distinct
        yield "code_usage", self.usage.usage
        yield "id_entropy_bits", self.usage.entropy_bits
        yield f"{digit}_entropy_mean", float(digits.mean())
        yield f"{digit}_entropy_least", float(digits.min())
        yield "bits_per_pixel", self.usage.num_tokens * math.log2(space.vocab_size) / self.num_pixels


def _score(tokenizer: Tokenizer, frames: Frames, groups: Sequence[_Group]) -> None:
    quality, floor = FrameQuality(), FrameQuality()
    ids: list[Tensor] = []
    pairs = reconstruct_frames(tokenizer, iter(frames), on_ids=ids.append)
    for pair, low in zip(pairs, bicubic_floor(frames, tokenizer.space), strict=True):
        quality.add(pair.original, pair.decoded)
        floor.add(pair.original, low)
    for group in groups:
        group.usage.add(torch.cat(ids))
        group.psnr.append(quality.psnr)
        group.ssim.append(quality.ssim)
        group.floor_psnr.append(floor.psnr)
        group.floor_ssim.append(floor.ssim)
        group.num_pixels += math.prod(frames.shape[:3])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
