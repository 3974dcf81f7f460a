"""Token files: one clip's ids, whole, with what decoding needs, as safetensors.

Ids are stored as the smallest integer type that holds them, [t, h, w]; size, rate, space and the tokenizer's
fingerprint are strings in the header. `safetensors` of any language reads it.
"""

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from magvit2.errors import FormatError, InputError, Magvit2Error
from magvit2.geometry import Size
from magvit2.schema import from_dict
from magvit2.store import read_tensors_and_metadata, write_tensors
from magvit2.tokens import Tokens, TokenSpace

_FORMAT = "magvit2-tokens"
_VERSION = 1


@dataclass(frozen=True)
class _Header:
    version: int
    size: Size
    fps: str | None
    radices: tuple[int, ...]
    strides: Size
    fingerprint: str
    is_causal: bool = True


def save_tokens(path: Path, tokens: Tokens) -> None:
    """Write a token file atomically. Raises FormatError for a name that does not end in .safetensors."""
    if path.suffix != ".safetensors":
        raise FormatError(f"{path}: token files end in .safetensors")
    header = {
        "version": _VERSION,
        "size": list(tokens.size),
        "fps": None if tokens.fps is None else str(tokens.fps),
        "radices": list(tokens.space.radices),
        "strides": list(tokens.space.strides),
        "fingerprint": tokens.fingerprint,
        "is_causal": tokens.space.is_causal,
    }
    write_tensors(path, {"ids": tokens.ids.to(_id_type(tokens.space.vocab_size))}, {_FORMAT: json.dumps(header)})


def load_tokens(path: Path) -> Tokens:
    """Read a token file. Raises FormatError where it is missing, damaged, foreign or of another version."""
    tensors, metadata = read_tensors_and_metadata(path)
    if _FORMAT not in metadata or "ids" not in tensors:
        raise FormatError(f"{path}: not a token file; expected one written by `magvit2 encode`")
    try:
        header = json.loads(metadata[_FORMAT])
        if isinstance(header, dict) and header.get("version", _VERSION) != _VERSION:
            raise FormatError(f"{path}: token file version {header['version']}, this release reads {_VERSION}")
        return _tokens(tensors["ids"], from_dict(_Header, header, "header"))
    except (ValueError, ArithmeticError, Magvit2Error) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: damaged ({error}); make it again with `magvit2 encode`") from error


def is_token_file(path: Path) -> bool:
    """Whether `path` is named like a token file and its header says that it is one."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    return _FORMAT in read_tensors_and_metadata(path)[1]


def _tokens(ids: torch.Tensor, header: _Header) -> Tokens:
    space = TokenSpace(header.radices, header.strides, header.is_causal)
    grid = space.grid_for(header.size)
    if ids.is_floating_point() or tuple(ids.shape) != grid:
        raise InputError(
            f"ids {list(ids.shape)} of {ids.dtype}; its size {list(header.size)} takes integers {list(grid)}"
        )
    space.check(ids.long())
    fps = None if header.fps is None else Fraction(header.fps)
    return Tokens(ids.long(), space, header.size, fps, header.fingerprint)


def _id_type(vocab_size: int) -> torch.dtype:
    bits = math.ceil(math.log2(vocab_size))
    return next(
        t for t, limit in ((torch.uint8, 8), (torch.int16, 15), (torch.int32, 31), (torch.int64, 63)) if bits <= limit
    )
