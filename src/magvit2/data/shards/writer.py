"""Writing token shards: rows come in, whole files come out, and what was begun is continued."""

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

from magvit2.data.shards.format import (
    NUMBERS,
    SHARD_SUFFIX,
    VERSION,
    Header,
    Row,
    check_row,
    difference,
    errors_as_format,
    id_type,
    load_pyarrow,
    read_table,
    sides_of,
    to_parquet,
)
from magvit2.errors import FormatError, InputError, errors_as_output
from magvit2.store import remove_leftovers, replacing
from magvit2.tokens import Tokens, TokenSpace

MAX_SHARD_BYTES = 2**26
"""A shard ends at the row with which its ids take so many bytes, if `rows_per_shard` does not end it before."""

_NAME = re.compile(r"tokens-(\d{5,})\.parquet")


class TokenShardWriter:
    """A context manager that writes rows to `tokens-00000.parquet`, ... in `folder`, each shard whole or not at all.

    A folder that has shards is continued: numbering goes on, and `done_keys` are the rows that it has, in their order.
    Rows of a shard that is not full are written at the end, but not where the block raised: what was killed or failed
    leaves whole shards alone, and whoever writes the rest in the same order gets the same files.

    `made_with` says in words how clips were cut. `num_rows`, `num_tokens` and `num_pixels` count all rows of the
    folder, also those that wait.

    Raises FormatError where the folder's shards are damaged, of another space or fingerprint, or made in another way;
    OutputError where it cannot be written.
    """

    def __init__(
        self, folder: Path, space: TokenSpace, fingerprint: str, *, rows_per_shard: int = 1024, made_with: str = ""
    ) -> None:
        if rows_per_shard < 1:
            raise InputError(f"rows_per_shard = {rows_per_shard}: expected 1 or more")
        load_pyarrow()  # here, and not after the first thousand clips
        self.space, self.fingerprint, self.rows_per_shard = space, fingerprint, rows_per_shard
        self.num_rows = self.num_tokens = self.num_pixels = 0
        self._header = Header(VERSION, space.radices, space.strides, space.is_causal, fingerprint, made_with)
        self._folder = folder
        self._waiting: list[Row] = []
        self._keys: dict[str, None] = {}
        with errors_as_output(folder):
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)
        self._paths = [path for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name)]
        for path in self._paths:
            self._take_up(path)
        self.done_keys = tuple(self._keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()

    @property
    def num_shards(self) -> int:
        """Number of shards that lie in the folder."""
        return len(self._paths)

    def write(self, key: str, label: str, tokens: Tokens) -> None:
        """Append a row. Raises OutputError where a shard cannot be written.

        Raises InputError for a key that is there already, and for tokens of another tokenizer or of a wrong shape.
        """
        if not key or key in self._keys:
            raise InputError(f"key {key!r}: is there already, or empty; every row needs one of its own")
        if tokens.space != self.space or tokens.fingerprint != self.fingerprint:
            raise InputError(f"{key}: tokens of {tokens.fingerprint}, the shards hold those of {self.fingerprint}")
        ids = tokens.ids.detach().cpu().numpy()
        grid = (ids.shape[0], ids.shape[1], ids.shape[2])
        check_row(self.space, grid, tokens.size, ids.reshape(-1))
        fps = None if tokens.fps is None else str(tokens.fps)
        flat = ids.reshape(-1).astype(id_type(self.space))
        self._waiting.append(Row(key, label, flat, grid, tokens.size, fps))
        self._count([key], ids.size, prod(tokens.size))
        num_bytes = sum(row.ids.nbytes for row in self._waiting)
        if len(self._waiting) >= self.rows_per_shard or num_bytes >= MAX_SHARD_BYTES:
            self._flush()

    def _count(self, keys: Sequence[str], num_tokens: int, num_pixels: int) -> None:
        self._keys.update(dict.fromkeys(keys))
        self.num_rows = len(self._keys)
        self.num_tokens += num_tokens
        self.num_pixels += num_pixels

    def _flush(self) -> None:
        if not self._waiting:
            return
        last = int(self._paths[-1].stem.partition("-")[2]) if self._paths else -1
        path = self._folder / f"tokens-{last + 1:05d}{SHARD_SUFFIX}"
        data = to_parquet(self._header, self._waiting)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        self._paths.append(path)
        self._waiting = []

    def _take_up(self, path: Path) -> None:
        """Count the rows of a shard that was there; ids are not read."""
        with errors_as_format(path):
            header, _, table = read_table(path, ("key", *NUMBERS))
            if header != self._header:
                raise FormatError(f"{path}: {difference(header, self._header)}; give another folder")
            grids, sizes = sides_of(table, NUMBERS[:3]), sides_of(table, NUMBERS[3:])
            self._count(table.column("key").to_pylist(), int(grids.prod(1).sum()), int(sizes.prod(1).sum()))
