"""What nothing splits: trained on but for a twentieth, scored whole, or by the part that --split names."""

import dataclasses
import json
from pathlib import Path

import pytest

from magvit2.data.items import find_items
from magvit2.training import train_tokenizer
from tests.cli.running import done, save_clip
from tests.training.making import TINY
from tests.video.making import scene


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six clips of three films."""
    (tmp_path / "data").mkdir()
    for film in ("lake", "town", "wood"):
        for number in range(2):
            save_clip(tmp_path / "data" / f"{film}_{number:04d}.mkv", scene(5, 16, 24))
    return tmp_path / "data"


def test_evaluation_takes_all_and_with_split_what_a_training_held_out(source: Path, model: Path) -> None:
    scopes = {}
    for options in ((), ("--split", "train"), ("--split", "val"), ("--split", "test")):
        printed = done("evaluate", "reconstruction", model, source, "--json", "--metrics", "psnr", *options)
        scopes[" ".join(options)] = json.loads(printed)["protocol"]["files"].partition(";")[0]
    assert scopes == {
        "": "no index, all items, 6 items",
        "--split train": "no index, split train by a hash of names, 4 items",
        "--split val": "no index, split val by a hash of names, 2 items",
        "--split test": "no index, split test by a hash of names, 2 items",
    }


def test_a_pack_takes_all_and_with_split_a_part(source: Path, tmp_path: Path) -> None:
    for options, count in (((), 6), (("--split", "train"), 4), (("--split", "val"), 2)):
        out = tmp_path / "-".join(("pack", *options))
        done("pack", source, out, *options)
        split = "val" if "val" in options else "train"
        assert len(find_items(out, split)) == count
        assert json.loads((out / "pack.json").read_text())["split"] == split


def test_a_training_says_what_it_trains_on_and_what_is_held_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, tmp_path / "run")
    expected = "4 items to train on, 2 held out (no index, split train by a hash of names)"
    assert f"{source}: {expected}" in capsys.readouterr().err.splitlines()
