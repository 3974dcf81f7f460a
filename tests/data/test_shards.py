"""Token shards: rows come back as they were, in small integers; damage and strangers are told in a line, by the row."""

import builtins
import json
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from magvit2.data.shards import TokenShards, TokenShardWriter, read_token_shards, writer
from magvit2.errors import FormatError, InputError, MissingDependencyError, OutputError
from magvit2.tokens import Tokens, TokenSpace
from tests.disk import leftovers, no_file_above

LFQ = TokenSpace((2,) * 18, (4, 8, 8))
MAKER = "0123456789abcdef"


def some_tokens(number: int, space: TokenSpace = LFQ, maker: str = MAKER) -> Tokens:
    """Tokens of a clip that differ with its number; every third is an image."""
    size = (1, 10 + number, 24) if number % 3 == 0 else (6, 17, 24)
    ids = np.random.default_rng(number).integers(0, space.vocab_size, space.grid_for(size))
    ids[0, 0, 0], ids[-1, -1, -1] = 0, space.vocab_size - 1
    fps = None if size[0] == 1 else Fraction(30000, 1001)
    return Tokens(torch.from_numpy(ids), space, size, fps, maker)


def key(number: int) -> str:
    return f"walk/ü {number}.mp4#0"


def write(folder: Path, numbers: range, rows_per_shard: int = 4, space: TokenSpace = LFQ, maker: str = MAKER) -> None:
    with TokenShardWriter(folder, space, maker, rows_per_shard=rows_per_shard) as shards:
        for number in numbers:
            shards.write(key(number), ["", "walk", "run"][number % 3], some_tokens(number, space, maker))


def assert_rows(shards: TokenShards, numbers: range, space: TokenSpace = LFQ) -> None:
    assert len(shards) == len(numbers)
    for row, number in zip(shards, numbers, strict=True):
        expected = some_tokens(number, space)
        assert (row.key, row.label) == (key(number), ["", "walk", "run"][number % 3])
        assert row.tokens.ids.equal(expected.ids) and row.tokens.ids.dtype == torch.int64
        assert (row.tokens.size, row.tokens.fps, row.tokens.space) == (expected.size, expected.fps, expected.space)
        assert row.tokens.fingerprint == MAKER


def problem(source: Path) -> str:
    """What is told about shards, "" where they are sound."""
    try:
        read_token_shards(source)
    except FormatError as error:
        return str(error)
    return ""


def one_line(source: Path) -> str:
    told = problem(source)
    assert told and "\n" not in told
    return told


def changed(path: Path, **columns: list[Any]) -> Path:
    """Write a shard again with other values in some columns, and the checksums that it had."""
    table = pq.ParquetFile(path).read()
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("radices", "kind"),
    [
        ((2,) * 8, pa.uint8()),
        ((2,) * 9, pa.uint16()),
        ((2,) * 16, pa.uint16()),
        ((8, 8, 8, 5, 5, 5), pa.uint16()),
        ((2,) * 18, pa.int32()),
        ((2,) * 31, pa.int32()),
        ((2,) * 32, pa.int64()),
        ((2,) * 62, pa.int64()),
    ],
)
def test_rows_come_back_and_ids_take_the_smallest_integers(
    tmp_path: Path, radices: tuple[int, ...], kind: pa.DataType
) -> None:
    space = TokenSpace(radices, (4, 8, 8))
    write(tmp_path, range(7), space=space)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens-00000.parquet", "tokens-00001.parquet"]
    assert pq.read_schema(tmp_path / "tokens-00000.parquet").field("ids").type.value_type == kind
    assert_rows(read_token_shards(tmp_path), range(7), space)


def test_what_shards_hold_in_all(tmp_path: Path) -> None:
    write(tmp_path, range(5), space=TokenSpace((2,) * 4, (4, 8, 8), is_causal=False))
    shards = read_token_shards(tmp_path)
    assert shards.labels == ("run", "walk") and shards.fingerprint == MAKER and not shards.space.is_causal
    assert shards.grids == {(2, 3, 3): 3, (1, 2, 3): 2}
    assert shards.num_tokens == 3 * 18 + 2 * 6
    assert shards.num_distinct_ids == len(torch.cat([row.tokens.ids.flatten() for row in shards]).unique())
    pixels = 3 * 6 * 17 * 24 + (10 + 13) * 24
    assert shards.bits_per_pixel == pytest.approx(4 * (3 * 18 + 2 * 6) / pixels)
    with pytest.raises(IndexError):
        shards[5]


def test_one_file_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path / "split=train", range(6))
    assert_rows(read_token_shards(tmp_path / "split=train" / "tokens-00001.parquet"), range(4, 6))


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    table = pq.ParquetFile(tmp_path / "tokens-00000.parquet").read()
    text = table.schema.metadata[b"magvit2-token-shard"]
    assert json.loads(text) == {
        "version": 1, "radices": [2] * 18, "strides": [4, 8, 8], "is_causal": True, "fingerprint": MAKER,
        "made_with": "",
    }  # fmt: skip
    row = table.to_pylist()[1]
    ids = row.pop("ids")
    assert ids == some_tokens(1).ids.flatten().tolist()
    numbers = struct.pack(f"<{6 + len(ids)}q", 3, 3, 3, 6, 17, 24, *ids)
    strings = f"{key(1)}\nwalk\n30000/1001".encode()
    assert row == {
        "t": 3, "h": 3, "w": 3, "key": key(1), "label": "walk", "height": 17, "width": 24, "frames": 6,
        "fps": "30000/1001", "fingerprint": MAKER, "checksum": zlib.crc32(text + numbers + strings),
    }  # fmt: skip


def test_ids_are_stored_nearly_without_waste(tmp_path: Path) -> None:
    """Random ids of 18 bits cannot take less than 18 bits; as int32 they would take 32."""
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 2**18, (5, 128, 128)))
    with TokenShardWriter(tmp_path, LFQ, MAKER) as shards:
        shards.write("a", "", Tokens(ids, LFQ, (17, 1024, 1024), None, MAKER))
    assert 8 * (tmp_path / "tokens-00000.parquet").stat().st_size / ids.numel() < 20


def test_a_folder_is_continued(tmp_path: Path) -> None:
    write(tmp_path / "whole", range(10))
    write(tmp_path / "parts", range(4))
    with TokenShardWriter(tmp_path / "parts", LFQ, MAKER, rows_per_shard=4) as shards:
        assert shards.done_keys == tuple(key(number) for number in range(4))
        before = shards.num_tokens
    assert before == sum(some_tokens(number).ids.numel() for number in range(4))
    write(tmp_path / "parts", range(4, 10))
    for name in ("tokens-00000.parquet", "tokens-00001.parquet", "tokens-00002.parquet"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_failure_leaves_whole_shards_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TokenShardWriter(tmp_path, LFQ, MAKER, rows_per_shard=2) as shards:
        for number in range(3):
            shards.write(key(number), "", some_tokens(number))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["tokens-00000.parquet"]


def test_what_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".tokens-00000.parquet.abc.partial").write_bytes(b"PAR1")
    write(tmp_path, range(1))
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_whole_shards_alone(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    with no_file_above(500), pytest.raises(OutputError, match=r"tokens-00001.parquet: cannot be written"):
        write(tmp_path, range(4, 8))
    assert_rows(read_token_shards(tmp_path), range(4))
    assert leftovers(tmp_path) == []


def test_a_shard_of_many_ids_ends_before_its_rows_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_SHARD_BYTES", 4 * 30)
    write(tmp_path, range(1, 7), rows_per_shard=1000)
    assert [len(read_token_shards(path)) for path in sorted(tmp_path.iterdir())] == [2, 2, 2]


def test_a_folder_of_other_shards_is_refused(tmp_path: Path) -> None:
    write(tmp_path, range(1))
    for space, maker, made_with, told in (
        (LFQ, "f" * 16, "", f"made by the tokenizer {MAKER}, not by {'f' * 16}"),
        (TokenSpace((2,) * 17, (4, 8, 8)), MAKER, "", "of another token space"),
        (LFQ, MAKER, "17 frames", "made with 'other options', not with '17 frames'"),
    ):
        with pytest.raises(FormatError, match=told):
            TokenShardWriter(tmp_path, space, maker, made_with=made_with)


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tokens = some_tokens(1)
    wrong = {
        "there already": (key(0), tokens),
        "or empty": ("", tokens),
        "the shards hold those of": ("a", some_tokens(1, maker="f" * 16)),
        "takes a grid of": ("a", Tokens(tokens.ids, LFQ, (5, 17, 24), None, MAKER)),
        "expected 0 to 262143": ("a", Tokens(tokens.ids + 1, LFQ, tokens.size, None, MAKER)),
    }
    with TokenShardWriter(tmp_path, LFQ, MAKER) as shards:
        shards.write(key(0), "", some_tokens(0))
        for told, (name, bad) in wrong.items():
            with pytest.raises(InputError, match=told):
                shards.write(name, "", bad)
    assert [row.key for row in read_token_shards(tmp_path)] == [key(0)]
    with pytest.raises(InputError, match="rows_per_shard = 0"):
        TokenShardWriter(tmp_path, LFQ, MAKER, rows_per_shard=0)


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    """Either it is told in a line, or it was of no meaning."""
    write(tmp_path, range(3))
    path = tmp_path / "tokens-00000.parquet"
    good = path.read_bytes()
    num_told = 0
    for place in range(0, len(good), 31):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        told = problem(path)
        if told:
            assert told.startswith(str(path)) and "\n" not in told
            num_told += 1
        else:
            assert_rows(read_token_shards(path), range(3))
    assert num_told > len(good) / 31 / 10


@pytest.mark.parametrize("column", ["ids", "label", "fps", "frames", "checksum"])
def test_a_changed_value_is_told_by_its_row(tmp_path: Path, column: str) -> None:
    write(tmp_path, range(4))
    path = tmp_path / "tokens-00000.parquet"
    values = pq.ParquetFile(path).read().column(column).to_pylist()
    values[2] = {"ids": values[1], "label": "sit", "fps": "25", "frames": 7, "checksum": 1}[column]
    changed(path, **{column: values})
    assert one_line(tmp_path).startswith(f"{path}, row {key(2)}: damaged (its checksum differs)")


def test_ids_of_another_shape_are_told_also_with_a_right_checksum(tmp_path: Path) -> None:
    write(tmp_path, range(1, 2))
    path = tmp_path / "tokens-00000.parquet"
    text = pq.read_schema(path).metadata[b"magvit2-token-shard"]
    numbers = struct.pack("<8q", 1, 1, 2, 6, 17, 24, 0, 0)
    checksum = zlib.crc32(text + numbers + f"{key(1)}\nwalk\n30000/1001".encode())
    changed(path, ids=[[0, 0]], t=[1], h=[1], w=[2], checksum=[checksum])
    assert "2 ids of grid (1, 1, 2); its size (6, 17, 24) takes a grid of (3, 3, 3)" in one_line(path)


def test_rows_of_another_tokenizer_are_told(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    path = changed(tmp_path / "tokens-00000.parquet", fingerprint=[MAKER, "f" * 16])
    assert f"row {key(1)}: made by {'f' * 16}, the shard by {MAKER}" in one_line(path)
    write(tmp_path / "a", range(1))
    write(tmp_path / "b", range(1, 2), maker="f" * 16)
    (tmp_path / "b" / "tokens-00000.parquet").rename(tmp_path / "a" / "tokens-00001.parquet")
    told = one_line(tmp_path / "a")
    assert f"tokens-00001.parquet: made by the tokenizer {'f' * 16}, not by {MAKER} of tokens-00000" in told


def test_a_key_that_is_there_twice_is_told(tmp_path: Path) -> None:
    write(tmp_path, range(1))
    (tmp_path / "tokens-00001.parquet").write_bytes((tmp_path / "tokens-00000.parquet").read_bytes())
    assert f"tokens-00001.parquet: the key {key(0)} is in another shard too" in one_line(tmp_path)


def test_strangers_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert one_line(path) == f"{path}: cannot be read as a token shard (No such file or directory)"
    path.write_bytes(b"not Parquet at all")
    assert one_line(path).startswith(f"{path}: cannot be read as a token shard (")
    pq.write_table(pa.table({"ids": [1, 2]}), path)
    assert one_line(path) == f"{path}: not a token shard; expected one written by `magvit2 tokenize`"
    header = {"magvit2-token-shard": json.dumps({"version": 2, "new": "thing"})}
    pq.write_table(pa.table({"ids": [1]}).replace_schema_metadata(header), path)
    assert one_line(path) == f"{path}: token shard version 2, this release reads 1"
    (tmp_path / "empty").mkdir()
    assert "no token shards; expected a .parquet file or a folder of them" in one_line(tmp_path / "empty")
    write(tmp_path / "b", range(1))
    whole = (tmp_path / "b" / "tokens-00000.parquet").read_bytes()
    path.write_bytes(whole[:-100])
    assert one_line(path).startswith(f"{path}: cannot be read as a token shard (")
    table = pq.ParquetFile(tmp_path / "b" / "tokens-00000.parquet").read()
    pq.write_table(table.drop_columns(["checksum"]), path)
    assert "checksum" in one_line(path)


def test_without_pyarrow_it_is_said_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: read_token_shards(tmp_path), lambda: TokenShardWriter(tmp_path, LFQ, MAKER)):
        with pytest.raises(MissingDependencyError, match=r"token shards need pyarrow: pip install 'magvit2\[shards\]'"):
            call()
