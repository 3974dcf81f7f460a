"""Where a language model's tokens come from: shards, or videos and images through a tokenizer that stays as it is.

Both give the same thing: batches as a pure function of (seed, step), classes by number, and held-out clips.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from magvit2.data.batches import Batch, BatchSpec, Skipped, TrainingBatches
from magvit2.data.holdout import Named, sides_of
from magvit2.data.items import MediaItem, find
from magvit2.data.shards import TokenShards, read_token_shards, shards_of
from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import TokenSpace
from magvit2.training.objective import to_range

_VALIDATION_SEED = 1


class Vocabulary(NamedTuple):
    """What a source's tokens are: their space, the largest grid, their classes and the tokenizer that made them."""

    space: TokenSpace
    grid: Size
    class_names: tuple[str, ...]
    fingerprint: str


class TokenBatch(NamedTuple):
    """Clips of one grid: ids, classes (their number where there is none), and, of videos and images, pixels 0..255."""

    ids: Int[Tensor, "b t h w"]
    labels: Int[Tensor, " b"]
    kind: str
    clips_u8: UInt8[Tensor, "b 3 T H W"] | None = None
    skipped: Sequence[Skipped] = ()


@dataclass(frozen=True)
class TokenSource:
    """Tokens to train on.

    `batches` is what worker processes make, `to_tokens` makes TokenBatches of that in this process; `held_out` gives
    batches of those to validate on, none where nothing is held out. `items` are the files, where they are media.
    """

    vocabulary: Vocabulary
    batches: Dataset[Any]
    to_tokens: Callable[[Any], TokenBatch]
    held_out: Callable[[], Iterator[TokenBatch]]
    num_clips: int
    scope: str
    items: Sequence[MediaItem] = ()
    files: Sequence[Path] = ()


def open_shards(source: Path, batch_size: int, num_steps: int, seed: int, num_validated: int) -> TokenSource:
    """Return the tokens of shards. `source` may hold folders `train` and `val`; else a twentieth is held out.

    Raises InputError or FormatError where they are none, or `val` is of another tokenizer.
    """
    if shards_of(source / "train"):
        shards, others = read_token_shards(source / "train"), _read_held_out(source / "val")
        rows, held_out = list(range(len(shards))), list(range(len(others))) if others is not None else []
        if others is not None and others.fingerprint != shards.fingerprint:
            raise InputError(f"{source}: val is of tokenizer {others.fingerprint}, train of {shards.fingerprint}")
        scope, files = "train", [*shards_of(source / "train"), *shards_of(source / "val")]
    else:
        shards = others = read_token_shards(source)
        sides = sides_of([Named(shards[index].key.partition("#")[0], is_clip=True) for index in range(len(shards))])
        rows = [index for index, inside in enumerate(sides.is_train) if inside]
        held_out = [index for index, inside in enumerate(sides.is_val) if inside and not sides.is_train[index]]
        scope, files = "all but a twentieth, by a hash of the names", shards_of(source)
    numbers = {name: number for number, name in enumerate(shards.labels)}
    batches = ShardBatches(shards, rows, numbers, batch_size, num_steps, seed)
    grids = [shards[index].tokens.ids.shape for index in rows]
    grid = tuple(max(shape[axis] for shape in grids) for axis in range(3))

    def validated() -> Iterator[TokenBatch]:
        for index in _spread(held_out, num_validated):
            yield _batch_of(others or shards, [index], numbers)

    vocabulary = Vocabulary(shards.space, (grid[0], grid[1], grid[2]), shards.labels, shards.fingerprint)
    return TokenSource(vocabulary, batches, lambda batch: batch, validated, len(rows), scope, (), files)


def _read_held_out(source: Path) -> TokenShards | None:
    return read_token_shards(source) if shards_of(source) else None


def _spread(indices: list[int], count: int) -> list[int]:
    """Return `count` of them at most, evenly."""
    return [indices[place * len(indices) // count] for place in range(count)] if len(indices) > count else indices


def _batch_of(shards: TokenShards, indices: Sequence[int], numbers: dict[str, int]) -> TokenBatch:
    rows = [shards[index] for index in indices]
    labels = torch.tensor([numbers.get(row.label, len(numbers)) for row in rows])
    ids = torch.stack([row.tokens.ids for row in rows])
    return TokenBatch(ids, labels, "image" if ids.shape[1] == 1 else "video")


class ShardBatches(Dataset[TokenBatch]):
    """The batches of a run: item `step` is the batch of that step, of rows of one grid.

    A grid is drawn by how many rows have it, then its rows, each with all others in the bag.
    """

    def __init__(
        self, shards: TokenShards, rows: list[int], numbers: dict[str, int], batch_size: int, num_steps: int, seed: int
    ) -> None:
        if not rows:
            raise InputError("the shards hold no row to train on")
        self._shards, self._numbers = shards, numbers
        self._batch_size, self._num_steps, self._seed = batch_size, num_steps, seed
        by_grid: dict[Size, list[int]] = {}
        for index in rows:
            by_grid.setdefault(tuple(shards[index].tokens.ids.shape), []).append(index)  # type: ignore[arg-type]
        self._rows = [by_grid[grid] for grid in sorted(by_grid)]
        counts = np.array([len(group) for group in self._rows])
        self._probabilities = counts / counts.sum()

    def __len__(self) -> int:
        return self._num_steps

    def __getitem__(self, step: int) -> TokenBatch:
        if not 0 <= step < self._num_steps:
            raise IndexError(f"step {step}: this run has steps 0 to {self._num_steps - 1}")
        rng = np.random.default_rng((self._seed, step))
        group = self._rows[int(rng.choice(len(self._rows), p=self._probabilities))]
        chosen = rng.integers(len(group), size=self._batch_size)
        return _batch_of(self._shards, [group[int(place)] for place in chosen], self._numbers)


def open_media(
    source: Path, specs: tuple[BatchSpec, ...], tokenizer: Tokenizer, num_steps: int, seed: int, num_validated: int
) -> TokenSource:
    """Return the tokens of random stretches and squares of a source of videos and images, as `tokenizer` makes them.

    Its `val` items are held out. Raises InputError where it has no items, or no batches are asked for.
    """
    if not specs:
        raise InputError(f"{source}: holds no token shards; to train on videos and images the recipe needs batches")
    found = find(source, hold_out=True)
    items = [item for item in found.items if any(not s.groups or item.group in s.groups for s in specs)]
    batches = TrainingBatches(found.items, specs, num_steps, seed)
    names = tuple(sorted({item.label for item in items} - {""}))
    numbers = {name: number for number, name in enumerate(names)}
    grids = [tokenizer.space.grid_for((spec.num_frames, spec.size, spec.size)) for spec in specs]
    grid = max(g[0] for g in grids), max(g[1] for g in grids), max(g[2] for g in grids)

    def to_tokens(batch: Batch) -> TokenBatch:
        ids = tokenizer.encode(to_range(batch.clips_u8, tokenizer.device).to(tokenizer.dtype))
        labels = torch.tensor([numbers.get(label, len(names)) for label in batch.labels])
        return TokenBatch(ids, labels, batch.kind, batch.clips_u8, batch.skipped)

    def held_out() -> Iterator[TokenBatch]:
        try:
            items = find(source, "val", hold_out=True).items
            drawn = TrainingBatches(items, specs, num_validated, _VALIDATION_SEED)
        except InputError:  # nothing is held out, which the record says
            return
        for number, count in enumerate(_counts(num_validated, [spec.batch_size for spec in specs])):
            batch = drawn[number]
            yield to_tokens(batch._replace(clips_u8=batch.clips_u8[:count], labels=batch.labels[:count]))

    vocabulary = Vocabulary(tokenizer.space, grid, names, tokenizer.fingerprint)
    return TokenSource(vocabulary, batches, to_tokens, held_out, len(items), found.scope, found.items)


def _counts(total: int, sizes: list[int]) -> Iterator[int]:
    """Yield how many clips each batch gives, of `total` in all: as many as the smallest kind of batch has."""
    least = min(sizes)
    for start in range(0, total, least):
        yield min(least, total - start)
