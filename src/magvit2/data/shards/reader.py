"""Reading token shards: every row checked, ids kept as small as they lie on disk."""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Integer

from magvit2.data.shards.format import (
    NUMBERS,
    SHARD_SUFFIX,
    Header,
    Row,
    check_row,
    difference,
    errors_as_format,
    id_type,
    load_pyarrow,
    rate,
    read_table,
    sides_of,
)
from magvit2.errors import FormatError, InputError, Magvit2Error
from magvit2.geometry import Size
from magvit2.tokens import Tokens, TokenSpace


class TokenRow(NamedTuple):
    """One clip of a shard: its name, unique in a folder; its class, "" where it has none; its ids."""

    key: str
    label: str
    tokens: Tokens


class Rows(NamedTuple):
    """All rows of one shard. `offsets` [n + 1] say where the ids of each begin; `grids` and `sizes` are [n, 3]."""

    ids: Integer[np.ndarray, " n"]
    offsets: Integer[np.ndarray, " _"]
    grids: Integer[np.ndarray, "rows 3"]
    sizes: Integer[np.ndarray, "rows 3"]
    keys: list[str]
    labels: list[str]
    rates: list[str | None]

    def row(self, index: int) -> Row:
        """Return one row; its ids are a view."""
        first, last = self.offsets[index : index + 2].tolist()
        (t, h, w), (frames, height, width) = self.grids[index].tolist(), self.sizes[index].tolist()
        grid, size = (t, h, w), (frames, height, width)
        return Row(self.keys[index], self.labels[index], self.ids[first:last], grid, size, self.rates[index])


@dataclass(frozen=True, eq=False)
class TokenShards:
    """The rows of token shards in memory: `len(shards)`, `shards[i]`, or a loop. Ids are kept as small as on disk."""

    space: TokenSpace
    fingerprint: str
    made_with: str
    _files: tuple[Rows, ...]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> TokenRow:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index}: these shards have rows 0 to {len(self) - 1}")
        number = bisect_right(self._ends, index)
        row = self._files[number].row(index - (self._ends[number - 1] if number else 0))
        ids = torch.from_numpy(row.ids.astype(np.int64)).reshape(row.grid)
        fps = None if row.fps is None else Fraction(row.fps)
        return TokenRow(row.key, row.label, Tokens(ids, self.space, row.size, fps, self.fingerprint))

    @property
    def num_shards(self) -> int:
        """Number of files."""
        return len(self._files)

    @property
    def num_tokens(self) -> int:
        """Number of ids of all rows."""
        return sum(rows.ids.size for rows in self._files)

    @property
    def bits_per_pixel(self) -> float:
        """Raw bits of all ids over the true number of pixels of all clips."""
        return rate(self.space, self.num_tokens, sum(int(rows.sizes.prod(1).sum()) for rows in self._files))

    @property
    def num_distinct_ids(self) -> int:
        """How many different ids there are."""
        return len(set().union(*(np.unique(rows.ids).tolist() for rows in self._files)))

    @property
    def grids(self) -> dict[Size, int]:
        """Number of rows of each grid (t, h, w), the commonest first."""
        found = Counter(tuple(grid) for rows in self._files for grid in rows.grids.tolist())
        return dict(found.most_common())

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of all rows that have one, each once, in their order as text."""
        return tuple(sorted({label for rows in self._files for label in rows.labels} - {""}))

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(rows.keys) for rows in self._files))


def read_token_shards(source: Path) -> TokenShards:
    """Return the rows of a folder of token shards (in the order of the files' names), or of one of them.

    Raises FormatError, naming the file and where it can the row, for what is no token shard, is damaged, was made by
    another tokenizer than the first one, or has a key twice.
    """
    load_pyarrow()
    paths = shards_of(source)
    if not paths:
        raise FormatError(f"{source}: no token shards; expected a {SHARD_SUFFIX} file or a folder of them")
    first: Header | None = None
    files: list[Rows] = []
    seen: set[str] = set()
    for path in paths:
        header, rows = _read_shard(path)
        first = first or header
        if (header.space, header.fingerprint) != (first.space, first.fingerprint):
            raise FormatError(f"{path}: {difference(header, first)} of {paths[0].name}; keep them in other folders")
        twice = next((key for key in rows.keys if key in seen), None)
        if twice is not None:
            raise FormatError(f"{path}: the key {twice} is in another shard too; leave one of the two out")
        seen.update(rows.keys)
        files.append(rows)
    assert first is not None
    return TokenShards(first.space, first.fingerprint, first.made_with, tuple(files))


def shards_of(source: Path) -> list[Path]:
    """Return the Parquet files that a folder or a name means, in the order of their names; maybe none."""
    if not source.is_dir():
        return [source] if source.suffix == SHARD_SUFFIX else []
    return sorted(path for path in source.glob(f"*{SHARD_SUFFIX}") if not path.name.startswith("."))


def _read_shard(path: Path) -> tuple[Header, Rows]:
    """Return a shard's header and rows, every one of them checked."""
    with errors_as_format(path):
        header, text, table = read_table(path)
        space = header.space
        rows = _rows(table, space)
        fingerprints, checksums = (table.column(name).to_pylist() for name in ("fingerprint", "checksum"))
        for index, key in enumerate(rows.keys):
            problem = _problem(rows.row(index), space, text, checksums[index])
            if fingerprints[index] != header.fingerprint:
                problem = f"made by {fingerprints[index]}, the shard by {header.fingerprint}"
            if problem:
                raise FormatError(f"{path}, row {key}: {problem}; copy the shard again, or make it anew")
        if len(set(rows.keys)) < len(rows.keys):
            twice = Counter(rows.keys).most_common(1)[0][0]
            raise FormatError(f"{path}, row {twice}: is there twice; every row needs a key of its own")
    return header, rows


def _rows(table: Any, space: TokenSpace) -> Rows:
    ids = table.column("ids").combine_chunks()
    if ids.values.null_count:
        raise InputError("null among its ids")
    flat = ids.values.to_numpy(zero_copy_only=False).astype(id_type(space), copy=False)
    labels: dict[str, str] = {}  # one text for all rows of a class
    return Rows(
        flat,
        ids.offsets.to_numpy().astype(np.int64),
        sides_of(table, NUMBERS[:3]),
        sides_of(table, NUMBERS[3:]),
        table.column("key").to_pylist(),
        [labels.setdefault(label, label) for label in table.column("label").to_pylist()],
        table.column("fps").to_pylist(),
    )


def _problem(row: Row, space: TokenSpace, header: bytes, checksum: int) -> str:
    """Return what is wrong with a row, or ""."""
    if row.checksum(header) != checksum:
        return "damaged (its checksum differs)"
    try:
        check_row(space, row.grid, row.size, row.ids)
        Fraction(row.fps or 1)
    except (Magvit2Error, ValueError, ArithmeticError) as error:
        return str(error)
    return ""
