"""pack: a source to shards, through the command line, and what comes out is a source."""

import json
from pathlib import Path

import pytest

from magvit2.data.items import find_items
from tests.cli.running import done, run, tree
from tests.data.making import make_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source with an index and every kind of item."""
    return make_source(tmp_path / "source")


def test_a_table_says_what_was_packed(source: Path, tmp_path: Path) -> None:
    text = done("pack", source, tmp_path / "pack")
    assert "train split in 1 shards" in text
    for group in ("clips", "photos", "strips", "tars", "all"):
        assert group in text
    assert len(find_items(tmp_path / "pack")) == 5
    assert tree(tmp_path / "pack") == ["index.csv", "pack.json", "shard-0000.tar"]


def test_options_reach_the_pack(source: Path, tmp_path: Path) -> None:
    options = ("--split", "val", "--format", "png", "--max-frames", 2, "--short-side", 8, "--groups", "clips")
    report = json.loads(done("pack", source, tmp_path / "pack", *options, "--json"))
    assert report == json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert report["split"] == "val" and list(report["groups"]) == ["clips"]
    (item,) = find_items(tmp_path / "pack", "val")
    assert item.num_frames == 2


def test_a_failure_is_one_line_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert "--groups moon: the source has clips, photos" in run("pack", source, tmp_path / "p", "--groups", "moon").line
    assert "quality = 0" in run("pack", source, tmp_path / "p", "--quality", 0).line
    assert "exists already" in run("pack", source, source).line
    (source / "photos" / "train.png").write_bytes(b"not a picture")
    before = tree(tmp_path)
    assert "not an image" in run("pack", source, tmp_path / "p").line
    assert tree(tmp_path) == before
