"""The layout of a token shard: a header and rows to Parquet and back. This is the only door to pyarrow."""

import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log2, prod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Integer

from magvit2.errors import FormatError, InputError, Magvit2Error, MissingDependencyError
from magvit2.geometry import Size
from magvit2.schema import from_dict, to_dict
from magvit2.tokens import TokenSpace

VERSION = 1
NUMBERS = ("t", "h", "w", "frames", "height", "width")
SHARD_SUFFIX = ".parquet"

_METADATA_KEY = b"magvit2-token-shard"
_IDS_PATH = "ids.list.element"  # of the leaf, as Parquet calls it
_ID_TYPES = (np.uint8, np.uint16, np.int32, np.int64)


@dataclass(frozen=True)
class Header:
    """What all rows of a shard share, as it stands in the schema's metadata."""

    version: int
    radices: tuple[int, ...]
    strides: Size
    is_causal: bool
    fingerprint: str
    made_with: str

    @property
    def space(self) -> TokenSpace:
        """The space of all ids; ConfigError where it is none."""
        return TokenSpace(self.radices, self.strides, self.is_causal)


class Row(NamedTuple):
    """A row as it lies in the file: flat ids of the file's type, (t, h, w), and (frames, height, width)."""

    key: str
    label: str
    ids: Integer[np.ndarray, " n"]
    grid: Size
    size: Size
    fps: str | None

    def checksum(self, header: bytes) -> int:
        """Return the CRC-32 over the header, then the row: numbers and ids as little-endian int64, text as UTF-8."""
        crc = zlib.crc32(np.array([*self.grid, *self.size], "<i8").tobytes(), zlib.crc32(header))
        crc = zlib.crc32(self.ids.astype("<i8").tobytes(), crc)
        return zlib.crc32("\n".join([self.key, self.label, self.fps or ""]).encode(), crc)


def to_parquet(header: Header, rows: Sequence[Row]) -> bytes:
    """Return a shard's bytes: one row group, Zstandard; bytes of ids by their place, which is what makes them small."""
    arrow = load_pyarrow()
    text = json.dumps(to_dict(header)).encode()
    offsets = np.cumsum([0, *(row.ids.size for row in rows)], dtype=np.int32)
    schema = _schema(header.space)
    ids = arrow.ListArray.from_arrays(offsets, np.concatenate([row.ids for row in rows]), type=schema.field("ids").type)
    columns = {
        "ids": ids,
        **{name: [row.grid[i] for row in rows] for i, name in enumerate(NUMBERS[:3])},
        **{name: [row.size[i] for row in rows] for i, name in enumerate(NUMBERS[3:])},
        **{name: [getattr(row, name) for row in rows] for name in ("key", "label", "fps")},
        "fingerprint": [header.fingerprint] * len(rows),
        "checksum": [row.checksum(text) for row in rows],
    }
    table = arrow.table(columns, schema=schema.with_metadata({_METADATA_KEY: text}))
    buffer = io.BytesIO()
    plain = [name for name in schema.names if name != "ids"]
    arrow.parquet.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=plain,
        use_byte_stream_split=[_IDS_PATH],
        row_group_size=len(rows),
    )
    return buffer.getvalue()


def read_table(path: Path, columns: Sequence[str] | None = None) -> tuple[Header, bytes, Any]:
    """Return a shard's header, the header's JSON as it stands, and its columns (some or all) as an Arrow table."""
    arrow = load_pyarrow()
    with path.open("rb") as file:
        parquet = arrow.parquet.ParquetFile(file)
        text = (parquet.schema_arrow.metadata or {}).get(_METADATA_KEY)
        if text is None:
            raise FormatError(f"{path}: not a token shard; expected one written by `magvit2 tokenize`")
        values = json.loads(text)
        if isinstance(values, dict) and values.get("version", VERSION) != VERSION:
            raise FormatError(f"{path}: token shard version {values['version']}, this release reads {VERSION}")
        header = from_dict(Header, values, "header")
        schema = _schema(header.space)
        names = schema.names if columns is None else list(columns)
        table = parquet.read(names, use_threads=False)
    table = table.select(names).cast(arrow.schema([schema.field(name) for name in names])).combine_chunks()
    table.validate(full=True)
    return header, text, table


def id_type(space: TokenSpace) -> type[np.integer[Any]]:
    """Return the smallest of uint8, uint16, int32 and int64 that holds all ids of a space."""
    return next(kind for kind in _ID_TYPES if space.vocab_size - 1 <= np.iinfo(kind).max)


def check_row(space: TokenSpace, grid: Size, size: Size, ids: Integer[np.ndarray, " n"]) -> None:
    """Raise InputError where a grid is not that of the size or of so many ids, or where ids lie outside the space."""
    if space.grid_for(size) != grid or ids.size != prod(grid):
        raise InputError(f"{ids.size} ids of grid {grid}; its size {size} takes a grid of {space.grid_for(size)}")
    space.check(torch.from_numpy(np.array([ids.min(), ids.max()], np.int64)))


def sides_of(table: Any, names: Sequence[str]) -> Integer[np.ndarray, "rows 3"]:
    """Return three columns of numbers side by side, as int64."""
    return np.stack([table.column(name).to_numpy() for name in names], axis=1).astype(np.int64)


def difference(header: Header, other: Header) -> str:
    """Return in words how the first of two headers differs from the second."""
    if header.fingerprint != other.fingerprint:
        return f"made by the tokenizer {header.fingerprint}, not by {other.fingerprint}"
    if header.space != other.space:
        return f"of another token space, {header.space} and not {other.space}"
    return f"made with {header.made_with or 'other options'!r}, not with {other.made_with or 'other options'!r}"


def rate(space: TokenSpace, num_tokens: int, num_pixels: int) -> float:
    """Return raw bits per pixel: of so many ids over so many pixels, nan where there are none."""
    return num_tokens * log2(space.vocab_size) / num_pixels if num_pixels else float("nan")


@contextmanager
def errors_as_format(path: Path) -> Iterator[None]:
    """Turn what pyarrow and our own checks say of a file in the block into a FormatError of one line."""
    arrow = load_pyarrow()
    try:
        yield
    except FormatError:
        raise
    except (arrow.ArrowException, OSError, ValueError, LookupError, TypeError, ArithmeticError, Magvit2Error) as error:
        reason = (str(getattr(error, "strerror", None) or error).splitlines() or [type(error).__name__])[0][:160]
        raise FormatError(f"{path}: cannot be read as a token shard ({reason})") from error


def load_pyarrow() -> ModuleType:
    """Return `pyarrow` with `pyarrow.parquet` loaded. Raises MissingDependencyError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError("token shards need pyarrow: pip install 'magvit2[shards]'") from None
    module: ModuleType = pyarrow
    return module


def _schema(space: TokenSpace) -> Any:
    """Return the Arrow schema of a shard; only `fps` may be null."""
    arrow = load_pyarrow()
    element = arrow.field("element", arrow.from_numpy_dtype(id_type(space)), nullable=False)
    kinds = {
        "ids": arrow.list_(element), **dict.fromkeys(NUMBERS[:3], arrow.int32()),
        "key": arrow.string(), "label": arrow.string(),
        "height": arrow.int32(), "width": arrow.int32(), "frames": arrow.int32(), "fps": arrow.string(),
        "fingerprint": arrow.string(), "checksum": arrow.uint32(),
    }  # fmt: skip
    return arrow.schema([arrow.field(name, kind, nullable=name == "fps") for name, kind in kinds.items()])
