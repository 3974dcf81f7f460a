"""Contenders: whatever turns clips into bits and back; a tokenizer, a codec at a rate, the bicubic floor.

Every one is asked in the same way, so that one yardstick serves all of them. Names are short, unique and without a
slash: they stand inside the results' names.
"""

import math
import re
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
_FEWER_BITS = re.compile(r"(.+)@(0|[1-9]\d*)bits")
_BINARY = ("lfq", "bsq")
_RESERVED = (FLOOR, "identity")


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
    """A tokenizer; clips of one shape go through it together. Its bits are log2 of the vocabulary for each id.

    With `num_bits` only the lowest bits of each id are kept, and are all that it costs and is decoded from; its ids and
    their space are those bits. Raises InputError for a quantizer that is not binary, or that has fewer bits.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, num_bits: int | None = None) -> None:
        self.name = name
        self.config = tokenizer.config
        self._tokenizer = tokenizer
        self._num_bits = num_bits
        space = tokenizer.space if num_bits is None else _space_of_lowest(name, tokenizer, num_bits)
        self.space: TokenSpace | None = space
        self._bits_per_id = math.log2(space.vocab_size)
        count = sum(parameter.numel() for parameter in tokenizer.parameters())
        dtype = str(tokenizer.dtype).removeprefix("torch.")
        kept = "" if num_bits is None else f" (the lowest of {tokenizer.space.num_bits})"
        self.protocol = (
            f"tokenizer {tokenizer.fingerprint}, {count:,} parameters, {dtype}; "
            f"{self._bits_per_id:g} bits an id{kept}, ids of the padding included"
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
        assert self.space is not None
        ids = self._tokenizer.encode(torch.cat([to_clip(clip) for clip in clips])) % self.space.vocab_size
        size = (clips[0].shape[0], clips[0].shape[1], clips[0].shape[2])
        decoded = self._tokenizer.decode(ids, size, num_bits=self._num_bits)
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
    itself, named again, is not measured twice. A model `@10bits` (the first one too) keeps the lowest 10 bits of each
    id. Raises InputError, listing what is known, for a name that is neither, and for bits that a model does not have;
    and what `load` raises.
    """
    models = _Models(load)
    first = models.open(model)
    found: list[Contender] = [first]
    assert first.space is not None
    others = dict.fromkeys(name for name in [*compare, FLOOR] if name != model)
    found += [FloorContender(first.space) if name == FLOOR else _opened(name, first, models) for name in others]
    return tuple(found)


def short_name(model: str) -> str:
    """Return what a model is called in results: the last part of its name, or the run's that wrote it to RUN/model."""
    parts = [part for part in Path(model).parts if part not in ("/", ".", "..")]
    if len(parts) > 1 and parts[-1] == "model":
        return parts[-2]
    return parts[-1] if parts else "model"


class _Models:
    """Opens tokenizers by name: each is loaded once, whatever its rates, and has one short name of its own."""

    def __init__(self, load: Callable[[str], Tokenizer]) -> None:
        self._load = load
        self._loaded: dict[str, Tokenizer] = {}
        self._names: dict[str, str] = {}

    def open(self, name: str) -> TokenizerContender:
        """Return the contender of `MODEL` or `MODEL@10bits`. Raises what loading it and `TokenizerContender` raise."""
        match = _FEWER_BITS.fullmatch(name)
        model = match[1] if match else name
        if model not in self._loaded:
            self._loaded[model] = self._load(model)
            self._names[model] = _unique(short_name(model), {*_RESERVED, *self._names.values()})
        own, tokenizer = self._names[model], self._loaded[model]
        if match is None:
            return TokenizerContender(own, tokenizer)
        return TokenizerContender(f"{own}@{match[2]}bits", tokenizer, int(match[2]))


def _opened(name: str, first: TokenizerContender, models: _Models) -> Contender:
    if _FEWER_BITS.fullmatch(name):
        return _opened_model(name, models, f"{name!r}: expected a model before the @")
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
    return _opened_model(name, models, f"{unknown}, x264@{SAME_RATE}, ..., or a model")


def _opened_model(name: str, models: _Models, expected: str) -> TokenizerContender:
    try:
        return models.open(name)
    except ModelNotFoundError as error:
        raise InputError(f"{expected} ({error})") from None


def _space_of_lowest(name: str, tokenizer: Tokenizer, num_bits: int) -> TokenSpace:
    """Return the space of the lowest bits of a tokenizer's ids. Raises InputError where it does not have them."""
    space, quantizer = tokenizer.space, tokenizer.config.quantizer
    if quantizer not in _BINARY:
        raise InputError(
            f"{name}: only ids of a binary quantizer ({', '.join(_BINARY)}) can be cut to some of their bits; this "
            f"model's is {quantizer}"
        )
    if not 1 <= num_bits <= space.num_bits:
        raise InputError(f"{name}: the model's ids have {space.num_bits} bits; expected 1 to {space.num_bits}")
    return TokenSpace(space.radices[:num_bits], space.strides, space.is_causal)


def _unique(name: str, taken: set[str]) -> str:
    """Return the name, with a number behind it where another contender has it."""
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in names if candidate not in taken)


def _coded(baseline: Baseline, clip: Clip, fps: Fraction) -> Outcome:
    coded = baseline.code(clip, fps)
    return Outcome(coded.frames, float(coded.num_bytes * 8), coded.setting)


def _grid(space: TokenSpace, clip: Clip) -> tuple[int, int, int]:
    return space.grid_for((clip.shape[0], clip.shape[1], clip.shape[2]))
