"""A list of media through the command line: pack, evaluate and train take one where they take a folder."""

import json
from pathlib import Path

import pytest

from tests.cli.running import done, run
from tests.data.making import make_source


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A list in a folder of its own: a clip and an image of train, a clip of val."""
    make_source(tmp_path / "media")
    rows = ("path,split,group", "../media/clips/train.mkv,train,a", "../media/photos/train.png,train,b")
    path = tmp_path / "lists" / "mine.csv"
    path.parent.mkdir()
    path.write_text("\n".join([*rows, "../media/clips/val.mkv,val,a"]) + "\n")
    return path


def test_a_list_is_packed(table: Path, tmp_path: Path) -> None:
    report = json.loads(done("pack", table, tmp_path / "pack", "--json"))
    assert {name: group["num_items"] for name, group in report["groups"].items()} == {"a": 1, "b": 1}


def test_a_list_is_evaluated_and_named_in_the_report(
    table: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAGVIT2_DATA", raising=False)
    options = ("--metrics", "ssim", "--max-frames", 2, "--out", tmp_path / "out", "--json")
    report = json.loads(done("evaluate", "reconstruction", model, table, *options))
    assert report["protocol"]["files"].startswith("mine.csv, split val, 1 items; SHA-256")
    assert report["title"] == f"{model} on {table}"
    records = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    assert {record["item"] for record in records} == {"../media/clips/val.mkv"}


@pytest.mark.parametrize("verb", ["pack", "evaluate", "train"])
def test_a_bad_list_is_one_line(verb: str, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.mkv"\n')
    words = {
        "pack": ("pack", path, tmp_path / "out"),
        "evaluate": ("evaluate", "reconstruction", model, path),
        "train": ("train", "tokenizer", "cpu", "--data", path, "--out", tmp_path / "out"),
    }
    assert run(*words[verb]).line.startswith(f"{path}, line 1: is no JSON (")
    assert not (tmp_path / "out").exists()
