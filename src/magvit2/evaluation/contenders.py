"""Contenders: whatever turns clips into bits and back; a tokenizer, a codec at a rate, the bicubic floor.

Every one is asked in the same way, so that one yardstick serves all of them. Names are short, unique and without a
slash: they stand inside the results' names.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from magvit2.data.frames import to_clip, to_frames
from magvit2.errors import InputError, ModelNotFoundError
from magvit2.evaluation.codecs import Baseline, parse_baseline
from magvit2.evaluation.floor import bicubic_floor
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import TokenSpace

Clip = UInt8[np.ndarray, "_ _ _ 3"]
"""One of several clips: frames [T, H, W, 3], of a shape of its own."""

FLOOR = "bicubic"
SAME_RATE = "same"
_FLOOR_BITS = 24


@dataclass(frozen=True)
class Outcome:
    """One clip after a contender: frames uint8 of its own shape, what they cost, the setting, and ids if it has any."""

    frames: Clip
    num_bits: float
    setting: str
    ids: Int[Tensor, "t h w"] | None = None


@runtime_checkable
class Contender(Protocol):
    """What is measured; `protocol` says in one line how its frames and bits come about."""

    @property
    def name(self) -> str:
        """Unique among the contenders of an evaluation."""

    @property
    def protocol(self) -> str:
        """How its numbers come about."""

    @property
    def space(self) -> TokenSpace | None:
        """The space of its ids; None where it has none."""

    def code(self, clips: Sequence[Clip], fps: Sequence[Fraction]) -> list[Outcome]:
        """Return what becomes of each clip."""


class TokenizerContender:
    """A tokenizer; clips of one shape go through it together. Its bits are log2 of the vocabulary for each id."""

    def __init__(self, name: str, tokenizer: Tokenizer) -> None:
        self.name = name
        self.config = tokenizer.config
        self._tokenizer = tokenizer
        self.space: TokenSpace | None = tokenizer.space
        self._bits_per_id = math.log2(tokenizer.space.vocab_size)
        count = sum(parameter.numel() for parameter in tokenizer.parameters())
        dtype = str(tokenizer.dtype).removeprefix("torch.")
        self.protocol = (
            f"tokenizer {tokenizer.fingerprint}, {count:,} parameters, {dtype}; "
            f"{self._bits_per_id:g} bits an id, ids of the padding included"
        )

    def code(self, clips: Sequence[Clip], fps: Sequence[Fraction]) -> list[Outcome]:
        """Return the reconstructions. Raises InputError where the tokenizer gives NaN."""
        outcomes: dict[int, Outcome] = {}
        shapes = [clip.shape for clip in clips]
        for shape in dict.fromkeys(shapes):
            indices = [index for index, other in enumerate(shapes) if other == shape]
            outcomes.update(zip(indices, self._code_equal([clips[index] for index in indices]), strict=True))
        return [outcomes[index] for index in range(len(clips))]

    def _code_equal(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Return the reconstructions of clips of one shape."""
        ids = self._tokenizer.encode(torch.cat([to_clip(clip) for clip in clips]))
        decoded = self._tokenizer.decode(ids, (clips[0].shape[0], clips[0].shape[1], clips[0].shape[2]))
        if not bool(decoded.isfinite().all()):
            raise InputError(f"{self.name}: the model gave NaN or infinity; its weights are damaged, or its type is")
        bits = ids[0].numel() * self._bits_per_id
        return [Outcome(to_frames(clip), bits, "raw", own.cpu()) for own, clip in zip(ids, decoded, strict=True)]


class BaselineContender:
    """A baseline of `codecs`; every clip by itself."""

    space: TokenSpace | None = None

    def __init__(self, baseline: Baseline) -> None:
        self.name = baseline.name
        self.protocol = baseline.protocol
        self._baseline = baseline

    def code(self, clips: Sequence[Clip], fps: Sequence[Fraction]) -> list[Outcome]:
        """Return the decoded clips with the sizes of their streams. Raises as `Baseline.code`."""
        return [_coded(self._baseline, clip, rate) for clip, rate in zip(clips, fps, strict=True)]


class SameRateContender:
    """A codec that is given, clip by clip, the bits that a tokenizer of `space` spends on it (`x264@same`)."""

    space: TokenSpace | None = None

    def __init__(self, codec: str, space: TokenSpace, model: str) -> None:
        example = parse_baseline(f"{codec}@1")
        self.name = f"{codec}@{SAME_RATE}"
        self.protocol = f"{example.protocol}; at the raw bits per pixel of {model}, clip by clip"
        self._codec = codec
        self._like = space

    def code(self, clips: Sequence[Clip], fps: Sequence[Fraction]) -> list[Outcome]:
        """Return the decoded clips with the sizes of their streams. Raises as `Baseline.code`."""
        return [_coded(self._at_rate_for(clip), clip, rate) for clip, rate in zip(clips, fps, strict=True)]

    def _at_rate_for(self, clip: Clip) -> Baseline:
        bits = math.prod(_grid(self._like, clip)) * math.log2(self._like.vocab_size)
        return parse_baseline(f"{self._codec}@{bits / math.prod(clip.shape[:3]):.6f}")


class FloorContender:
    """The floor: down to a tokenizer's grid with bicubic filters and up again, 24 bits a position."""

    space: TokenSpace | None = None
    name = FLOOR

    def __init__(self, space: TokenSpace) -> None:
        self._like = space
        strides = " x ".join(map(str, space.strides))
        self.protocol = f"bicubic down to the grid of strides {strides} and up, antialiased, 24 bits a position"

    def code(self, clips: Sequence[Clip], fps: Sequence[Fraction]) -> list[Outcome]:
        """Return the clips as they come back."""
        return [
            Outcome(bicubic_floor(clip, self._like), float(_FLOOR_BITS * math.prod(_grid(self._like, clip))), "raw")
            for clip in clips
        ]


def open_contenders(model: str, compare: Sequence[str], load: Callable[[str], Tokenizer]) -> tuple[Contender, ...]:
    """Return the contenders: the model first, then those of `compare` in order, the bicubic floor always among them.

    `compare` names models, which `load` gives, baselines of `codecs`, and codecs `@same` rate as the model; the model
    itself, named again, is not measured twice. Raises InputError, listing what is known, for a name that is neither;
    and what `load` raises.
    """
    first = TokenizerContender(short_name(model), load(model))
    found: list[Contender] = [first]
    assert first.space is not None
    for name in dict.fromkeys(name for name in [*compare, FLOOR] if name != model):
        taken = {contender.name for contender in found}
        found.append(FloorContender(first.space) if name == FLOOR else _opened(name, first, load, taken))
    return tuple(found)


def short_name(model: str) -> str:
    """Return what a model is called in results: the last part of its name, or the run's that wrote it to RUN/model."""
    parts = [part for part in Path(model).parts if part not in ("/", ".", "..")]
    if len(parts) > 1 and parts[-1] == "model":
        return parts[-2]
    return parts[-1] if parts else "model"


def _opened(name: str, first: TokenizerContender, load: Callable[[str], Tokenizer], taken: set[str]) -> Contender:
    codec, _, target = name.partition("@")
    assert first.space is not None
    try:
        if target == SAME_RATE:
            return SameRateContender(codec, first.space, first.name)
        return BaselineContender(parse_baseline(name))
    except InputError as error:
        unknown = str(error).replace(repr(f"{codec}@1"), repr(name))
        if target:
            raise InputError(unknown) from None
    try:
        return TokenizerContender(_unique(short_name(name), taken), load(name))
    except ModelNotFoundError as error:
        raise InputError(f"{unknown}, x264@{SAME_RATE}, ..., or a model ({error})") from None


def _unique(name: str, taken: set[str]) -> str:
    """Return the name, with a number behind it where another contender has it."""
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in names if candidate not in taken)


def _coded(baseline: Baseline, clip: Clip, fps: Fraction) -> Outcome:
    coded = baseline.code(clip, fps)
    return Outcome(coded.frames, float(coded.num_bytes * 8), coded.setting)


def _grid(space: TokenSpace, clip: Clip) -> tuple[int, int, int]:
    return space.grid_for((clip.shape[0], clip.shape[1], clip.shape[2]))
