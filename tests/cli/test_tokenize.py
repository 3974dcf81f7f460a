"""tokenize: a source to token shards through the command line; it survives a kill, and info tells what came of it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from magvit2 import tokenizing
from magvit2.data.shards import read_token_shards
from tests.cli.running import done, run, save_clip, tree
from tests.data.making import make_source, png

# Kills itself, unseen and at once, when the fourth clip is encoded.
KILLED = """
import os, signal
from magvit2 import tokenizing
from magvit2.cli import main

clips, encode = [], tokenizing.encode_frames

def counted(*arguments):
    clips.append(0)
    if len(clips) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(*arguments)

tokenizing.encode_frames = counted
main()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four clips of 9 frames and an image."""
    for number in range(4):
        frames = np.random.default_rng(number).integers(0, 256, (9, 16, 24, 3), np.uint8)
        save_clip(tmp_path / "source" / "walk" / f"{number}.mkv", frames)
    (tmp_path / "source" / "tree").mkdir()
    (tmp_path / "source" / "tree" / "a.png").write_bytes(png(60))
    return tmp_path / "source"


def test_a_table_says_what_was_made(source: Path, model: Path, tmp_path: Path) -> None:
    (source / "walk" / "bad.mkv").write_bytes(b"no video")
    text = done("tokenize", source, "--out", tmp_path / "out", "--model", model, "--frames", 5)
    assert tree(tmp_path / "out") == ["tokens-00000.parquet"]
    lines = [[word.strip() for word in line.split("│")[1:3]] for line in text.splitlines() if "│" in line]
    assert [line for line in lines if line[0] in ("rows", "tokens", "shards", "skipped (damaged)")] == [
        ["rows", "4"], ["tokens", str(4 * 2 * 2 * 3)], ["shards", "1"], ["skipped (damaged)", "1"],
    ]  # fmt: skip
    assert any(line[0] == str(source / "walk" / "bad.mkv") for line in lines)
    assert lines[-1] == ["left out (shorter than 5 frames)", "5"]


def test_options_reach_the_shards(tmp_path: Path, model: Path) -> None:
    source, out = make_source(tmp_path / "source"), tmp_path / "out"
    options = ("--split", "val", "--groups", "clips", "--frames", 3, "--stride", 2, "--size", 8, "--flip")
    words = ("tokenize", source, "--out", out, "--model", model, *options, "--rows-per-shard", 3, "--json")
    report = json.loads(done(*words))
    assert tree(out) == ["tokens-00000.parquet", "tokens-00001.parquet"]
    shards = read_token_shards(out)
    assert [row.key for row in shards] == [f"clips/val.mkv#{n}{side}" for n in (0, 2) for side in ("", "@flip")]
    assert {row.tokens.size for row in shards} == {(3, 8, 8)} and shards.labels == ("walk",)
    assert report == {
        "folder": str(out), "rows": 4, "new rows": 4, "tokens": 4 * 2, "shards": 2,
        "bits per pixel": shards.bits_per_pixel, "skipped": [], "left out (shorter than 3 frames)": 1,
    }  # fmt: skip
    assert json.loads(done(*words)) == report | {"new rows": 0}
    limited = done("tokenize", source, "--out", tmp_path / "few", "--model", model, "--limit", 1, "--json")
    assert json.loads(limited)["rows"] == 4  # one of each group


def test_info_tells_what_shards_hold(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done("tokenize", source, "--out", out, "--model", model, "--rows-per-shard", 3)
    shards = read_token_shards(out)
    told = json.loads(done("info", out, "--json"))
    assert told == {
        "kind": "token shards", "shards": 2, "rows": 5, "tokens": 4 * 18 + 6,
        "grids (t, h, w)": {"3 x 2 x 3": 4, "1 x 2 x 3": 1}, "labels": ["tree", "walk"], "vocabulary": 64,
        "strides (t, h, w)": [4, 8, 8], "bits per pixel": shards.bits_per_pixel,
        "distinct ids": shards.num_distinct_ids, "made by": shards.fingerprint,
        "made with": "whole clips, own size, float32",
    }  # fmt: skip
    text = done("info", out / "tokens-00001.parquet")
    assert "3 x 2 x 3: 2" in text and "walk" in text and "tree" not in text
    assert "no such file" in run("info", tmp_path / "none.parquet").line
    (out / "tokens-00000.parquet").write_bytes(b"PAR1")
    assert run("info", out).line.startswith(f"{out}/tokens-00000.parquet: cannot be read as a token shard (")


def test_a_killed_run_is_continued_to_the_same_rows(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["tokenize", source, "--out", out, "--model", model, "--rows-per-shard", "2"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert tree(out) == ["tokens-00000.parquet"]
    (out / ".tokens-00001.parquet.x.partial").write_bytes(b"PAR1")
    done(*words)
    done("tokenize", source, "--out", tmp_path / "twin", "--model", model, "--rows-per-shard", 2)
    assert tree(out) == tree(tmp_path / "twin")
    for name in tree(out):
        assert (out / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()


def test_a_polite_kill_leaves_whole_shards(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, encode = iter(range(9)), tokenizing.encode_frames

    def encode_some(*arguments: object) -> object:
        if next(count) == 3:
            signal.raise_signal(signal.SIGTERM)
        return encode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenizing, "encode_frames", encode_some)
    out = tmp_path / "out"
    result = run("tokenize", source, "--out", out, "--model", model, "--rows-per-shard", 2)
    assert (result.code, result.out, result.err) == (143, "", "magvit2: terminated\n")
    assert tree(out) == ["tokens-00000.parquet"]


def test_failures_are_one_line(source: Path, model: Path, tmp_path: Path) -> None:
    words = ("tokenize", source, "--out", tmp_path / "out", "--model", model)
    for options, told in (
        (("--frames", 0), "frames 0: expected 1 or more"),
        (("--stride", 4), "stride 4: is the step between windows"),
        (("--limit", 0), "--limit 0: expected 1 or more"),
        (("--rows-per-shard", 0), "--rows-per-shard 0: expected 1 or more"),
        (("--groups", "moon"), "group 'moon': expected some of 'tree', 'walk'"),
    ):
        assert told in run(*words, *options).line
    assert not (tmp_path / "out").exists()
    assert "shorter" not in done(*words)
    assert "give another folder" in run(*words, "--frames", 5).line
    (tmp_path / "file").write_text("")
    told = run("tokenize", source, "--out", tmp_path / "file", "--model", model).line
    assert told == f"{tmp_path}/file: cannot be written (File exists); choose another place"
