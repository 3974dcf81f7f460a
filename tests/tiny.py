"""The smallest tokenizer that does everything, and stand-ins that are known through and through."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magvit2.tokenizer import Tokenizer, TokenizerConfig, tokenizer_preset


def tiny_config(**changes: object) -> TokenizerConfig:
    """Strides (4, 8, 8), 6 bits, a few thousand parameters."""
    return dataclasses.replace(tokenizer_preset("tiny"), **{"base_channels": 4, "num_bits": 6, **changes})


def tiny_tokenizer(seed: int = 0, **changes: object) -> Tokenizer:
    """A tokenizer with random weights, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tokenizer(tiny_config(**changes)).eval()


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """Write a tiny tokenizer; return its folder."""
    tiny_tokenizer(seed).save_pretrained(folder)
    return folder


class WatchedFrames:
    """An iterable that counts how many frames were taken from it."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames
        self.num_taken = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self.frames:
            self.num_taken += 1
            yield frame


class EchoTokenizer(Tokenizer):
    """Gives back every frame that it was given, brighter by the next of `gaps` (in grey levels; 0 when they run out).

    Its ids are the next of `ids`, 0 when they run out.
    """

    def __init__(self, gaps: Iterable[int] = (), ids: Iterable[int] = ()) -> None:
        super().__init__(tiny_config())
        self.next_gaps, self.next_ids = iter(list(gaps)), iter(list(ids))
        self._groups: list[list[Tensor]] = []

    def encode_stream(self, frames: Iterable[Tensor], *, tile: int | None = None) -> Iterator[Tensor]:
        group: list[Tensor] = []
        length = 1
        for frame in frames:
            group.append(frame + next(self.next_gaps, 0) / 127.5)
            if len(group) == length:
                yield self._taken(group)
                group, length = [], 4
        if group:
            yield self._taken(group + [group[-1]] * (length - len(group)))

    def decode_stream(
        self,
        chunks: Iterable[Tensor],
        size: tuple[int, int, int] | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Iterator[Tensor]:
        for _ in chunks:
            yield from self._groups.pop(0)

    def _taken(self, group: list[Tensor]) -> Tensor:
        self._groups.append(group)
        rows, columns = (-(-side // 8) for side in group[0].shape[1:])
        ids = [next(self.next_ids, 0) for _ in range(rows * columns)]
        return torch.tensor(ids).reshape(1, rows, columns)
