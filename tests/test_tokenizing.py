"""A data set to token shards: every clip's ids in order, what is left out is counted, a killed run is continued."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magvit2 import tokenizing
from magvit2.data.frames import Frames, centre_square, read_item, to_clip
from magvit2.data.items import MediaItem, find_items
from magvit2.data.shards import TokenShards, read_token_shards
from magvit2.errors import FormatError, InputError
from magvit2.pipelines import encode_file, encode_frames
from magvit2.tokenizer import Tokenizer
from magvit2.tokenizing import Cut, Tokenized, key_of, tokenize_items
from magvit2.tokens import Tokens
from magvit2.video import write_image
from tests.data.making import make_source, write_tar, write_video
from tests.tiny import tiny_tokenizer

WHOLE = Cut()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


def noise(seed: int, num_frames: int, height: int = 16, width: int = 24) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def make_clips(folder: Path) -> Path:
    """Three clips in folders that are their labels, of 10, 3 and 6 frames, and an image."""
    for number, (name, num_frames) in enumerate((("run/a", 10), ("run/b", 3), ("walk/c", 6))):
        write_video(folder / "sport" / f"{name}.mkv", noise(number, num_frames))
    write_image(folder / "photos" / "d.png", noise(3, 1)[0])
    return folder


def made(tokenizer: Tokenizer, source: Path, out: Path, cut: Cut = WHOLE, **options: int) -> Tokenized:
    return tokenize_items(tokenizer, find_items(source), source, out, cut, **options)


def keys(shards: TokenShards) -> list[str]:
    return [row.key for row in shards]


@pytest.mark.parametrize(
    ("num_frames", "stride", "length", "starts", "has_rest"),
    [
        (4, None, 8, [0, 4], False),
        (4, None, 9, [0, 4], True),
        (4, None, 3, [], True),
        (4, 2, 8, [0, 2, 4], False),
        (4, 3, 8, [0, 3], True),
        (4, 6, 9, [0], True),
        (4, 6, 6, [0], False),  # frames 4 and 5 lie between windows
        (1, None, 2, [0, 1], False),
    ],
)
def test_windows_of_a_clip(num_frames: int, stride: int | None, length: int, starts: list[int], has_rest: bool) -> None:
    cut = Cut(num_frames, stride)
    assert (list(cut.starts(length)), cut.has_rest(length)) == (starts, has_rest)


def test_whole_clips_and_images(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    told = made(tokenizer, source, tmp_path / "out")
    shards = read_token_shards(tmp_path / "out")
    assert keys(shards) == ["photos/d.png#0", "sport/run/a.mkv#0", "sport/run/b.mkv#0", "sport/walk/c.mkv#0"]
    assert shards.labels == ("photos", "run", "walk")
    for row in shards:
        expected = encode_file(tokenizer, source / row.key.partition("#")[0])
        assert row.tokens.ids.equal(expected.ids)
        assert (row.tokens.size, row.tokens.fps) == (expected.size, expected.fps)
    assert [row.tokens.fps for row in shards][:2] == [None, Fraction(25)]
    num_tokens = sum(row.tokens.ids.numel() for row in shards)
    assert told == Tokenized(4, 4, num_tokens, 1, shards.bits_per_pixel, 0, ())


def test_windows_are_rows_and_what_is_shorter_is_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    told = made(tokenizer, source, tmp_path / "out", Cut(5, 3))
    shards = read_token_shards(tmp_path / "out")
    assert keys(shards) == ["sport/run/a.mkv#0", "sport/run/a.mkv#3", "sport/walk/c.mkv#0"]
    window = to_clip(noise(0, 10)[3:8])
    assert shards[1].tokens.ids.equal(tokenizer.encode(window)[0]) and shards[1].tokens.size == (5, 16, 24)
    assert told.num_short == 4  # the ends of a and c, b, and the image


def test_size_and_mirror_images(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    made(tokenizer, source, tmp_path / "out", Cut(3, size=8, flip=True))
    rows = {row.key: row.tokens for row in read_token_shards(tmp_path / "out")}
    assert list(rows)[:4] == [f"sport/run/a.mkv#{start}{side}" for start in (0, 3) for side in ("", "@flip")]
    small = centre_square(noise(1, 3), 8)
    assert rows["sport/run/b.mkv#0"].size == (3, 8, 8)
    assert rows["sport/run/b.mkv#0"].ids.equal(tokenizer.encode(to_clip(small))[0])
    assert rows["sport/run/b.mkv#0@flip"].ids.equal(tokenizer.encode(to_clip(small[:, :, ::-1]))[0])
    made(tokenizer, source, tmp_path / "whole", Cut(flip=True))
    whole = {row.key: row.tokens for row in read_token_shards(tmp_path / "whole")}
    mirrored = to_clip(noise(2, 6)[:, :, ::-1])
    assert whole["sport/walk/c.mkv#0@flip"].ids.equal(tokenizer.encode(mirrored)[0])


def test_every_kind_of_item_with_the_labels_of_an_index(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    made(tokenizer, source, tmp_path / "out")
    shards, items = read_token_shards(tmp_path / "out"), find_items(source)
    assert shards.labels == ("cat", "dog", "jump", "tree", "walk")
    assert keys(shards) == [f"{key_of(item, source)}#0" for item in items]
    for row, item in zip(shards, items, strict=True):
        assert row.label == item.label
        assert row.tokens.ids.equal(tokenizer.encode(to_clip(read_item(item)))[0])


def test_rows_stay_the_same_where_the_source_lies_elsewhere(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    write_tar(source / "shards" / "0.tar", {"cat/0.png": 60})
    made(tokenizer, source, tmp_path / "a")
    source.rename(tmp_path / "moved")
    made(tokenizer, tmp_path / "moved", tmp_path / "b")
    name = "tokens-00000.parquet"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "shards/0.tar/cat/0.png#0" in keys(read_token_shards(tmp_path / "a"))


def test_damaged_files_are_named_and_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    bad = source / "sport" / "run" / "b.mkv"
    bad.write_bytes(b"no video")
    told = made(tokenizer, source, tmp_path / "out")
    ((path, reason),) = told.skipped
    assert path == str(bad) and reason and str(bad) not in reason
    assert len(read_token_shards(tmp_path / "out")) == told.num_rows == 3


def test_windows_before_the_damage_are_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "source" / "a.mkv", noise(0, 40, 64, 64))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    told = made(tokenizer, tmp_path / "source", tmp_path / "out", Cut(3))
    assert 0 < told.num_rows < 13 and [path for path, _ in told.skipped] == [str(clip)]
    assert made(tokenizer, tmp_path / "source", tmp_path / "out", Cut(3)) == replace(told, num_new=0)


def test_a_source_that_gives_no_row_is_an_error(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    with pytest.raises(InputError, match="not one of its 4 items is as long as a window"):
        made(tokenizer, source, tmp_path / "out", Cut(11))
    for path in source.rglob("*.*"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"4 of its 4 items cannot be read; the first: .*d.png: "):
        made(tokenizer, source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_item_that_is_listed_twice_is_an_error(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    (source / "list.csv").write_text("path\nphotos/d.png\nsport/../photos/d.png\nphotos/d.png\n")
    with pytest.raises(InputError, match=r"list.csv: has photos/d.png twice"):
        made(tokenizer, source / "list.csv", tmp_path / "out")


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (lambda: Cut(0), "frames 0: expected 1 or more"),
        (lambda: Cut(4, 0), "stride 0"),
        (lambda: Cut(size=0), "size 0"),
        (lambda: Cut(stride=4), "stride 4: is the step between windows"),
    ],
)
def test_impossible_cuts(cut: Callable[[], Cut], told: str) -> None:
    with pytest.raises(InputError, match=told):
        cut()


def stop_after(num_clips: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Interrupt whoever encodes more clips than so many, as Ctrl-C does; return the count."""
    done: Counter[str] = Counter()

    def encode(*arguments: Any) -> Tokens:
        if done["clips"] == num_clips:
            raise KeyboardInterrupt
        done["clips"] += 1
        return encode_frames(*arguments)

    monkeypatch.setattr(tokenizing, "encode_frames", encode)
    return done


@pytest.mark.parametrize("cut", [Cut(), Cut(3, 2, flip=True)], ids=str)
@pytest.mark.parametrize("num_clips", [1, 3])
def test_a_run_that_was_interrupted_is_continued(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: Cut, num_clips: int
) -> None:
    source, out = make_clips(tmp_path / "source"), tmp_path / "out"
    (source / "sport" / "run" / "bad.mkv").write_bytes(b"no video")
    whole = made(tokenizer, source, tmp_path / "whole", cut, rows_per_shard=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(num_clips, patch)
        made(tokenizer, source, out, cut, rows_per_shard=2)
    kept = num_clips // 2 * 2  # whole shards
    assert len(list(out.iterdir())) == kept // 2
    again = stop_after(-1, monkeypatch)
    told = made(tokenizer, source, out, cut, rows_per_shard=2)
    assert again["clips"] == told.num_new == whole.num_rows - kept
    assert replace(told, num_new=whole.num_rows) == whole
    assert [path.read_bytes() for path in sorted(out.iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "whole").iterdir())
    ]


def test_a_finished_run_encodes_nothing_again(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clips(tmp_path / "source")
    told = made(tokenizer, source, tmp_path / "out", Cut(3))
    stop_after(0, monkeypatch)
    assert made(tokenizer, source, tmp_path / "out", Cut(3)) == replace(told, num_new=0)


def test_a_list_that_says_too_few_frames_loses_no_rows_to_an_interruption(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clips(tmp_path / "source")
    (source / "list.csv").write_text("path,frames\nsport/run/a.mkv,4\nsport/walk/c.mkv,6\n")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(2, patch)
        made(tokenizer, source / "list.csv", tmp_path / "out", Cut(2), rows_per_shard=1)
    assert made(tokenizer, source / "list.csv", tmp_path / "out", Cut(2), rows_per_shard=1).num_rows == 5 + 3


def test_a_folder_of_other_clips_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = make_clips(tmp_path / "source")
    made(tokenizer, source, tmp_path / "out", Cut(3))
    with pytest.raises(
        FormatError, match="made with '3 frames every 3, own size, float32', not with '3 frames every 2,"
    ):
        made(tokenizer, source, tmp_path / "out", Cut(3, 2))
    with pytest.raises(FormatError, match="made by the tokenizer"):
        made(tiny_tokenizer(seed=1), source, tmp_path / "out", Cut(3))


def test_a_name_that_is_no_text_is_spelled_out() -> None:
    item = MediaItem(Path("source/caf\udce9.png"), "image", "")
    assert key_of(item, Path("source/list.csv")) == r"caf\xe9.png"
