"""A disk that is full or read-only: one line that says what to do, and the run goes on as if nothing had happened."""

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest

from magvit2.data.batches import Skipped
from magvit2.errors import OutputError, TrainingError
from magvit2.tokenizer import Tokenizer
from magvit2.training import train_tokenizer
from magvit2.training.checkpoint import checkpoint_step, latest_checkpoint
from magvit2.training.journal import Journal
from magvit2.training.limit import TimeLimit
from tests.disk import FULL, leftovers, no_file_above
from tests.tiny import tiny_tokenizer
from tests.training.making import TINY, journal, make_pictures, results

GROWN = {
    "samples": "samples/step-00000003.png",
    "model": "model/model.safetensors",
    "checkpoint": "checkpoints/step-00000006/state.safetensors",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of six steps on a disk with room."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(TINY, source, folder)
    return folder


def train_one_step(source: Path, folder: Path) -> None:
    train_tokenizer(TINY, source, folder, time_limit=TimeLimit(1, spent_s=2))


@pytest.mark.parametrize("grown", GROWN.values(), ids=GROWN.keys())
def test_a_run_that_finds_the_disk_full_goes_on_from_its_last_checkpoint(
    grown: str, source: Path, straight: Path, tmp_path: Path
) -> None:
    train_one_step(source, tmp_path)
    limit = (straight / grown).stat().st_size - 1
    with no_file_above(limit), pytest.raises(OutputError) as error:
        train_tokenizer(TINY, source, tmp_path)
    last = latest_checkpoint(tmp_path / "checkpoints")
    assert last is not None
    line = str(error.value)
    assert line.startswith(f"{tmp_path}/{grown.partition('/')[0]}") and "\n" not in line
    assert line.endswith(f": {FULL}; the same command goes on from step {checkpoint_step(last)}")
    assert leftovers(tmp_path) == []
    Tokenizer.from_pretrained(tmp_path / "model")

    train_tokenizer(TINY, source, tmp_path)
    assert journal(tmp_path) == journal(straight)
    assert results(tmp_path) == results(straight)


def test_a_run_whose_first_checkpoint_does_not_fit_begins_again(source: Path, straight: Path, tmp_path: Path) -> None:
    limit = (straight / GROWN["checkpoint"]).stat().st_size - 1
    with no_file_above(limit), pytest.raises(OutputError) as error:
        train_tokenizer(TINY, source, tmp_path)
    assert str(error.value) == f"{tmp_path / 'checkpoints' / 'step-00000003'}: {FULL}"
    assert latest_checkpoint(tmp_path / "checkpoints") is None and leftovers(tmp_path) == []
    train_tokenizer(TINY, source, tmp_path)
    assert journal(tmp_path) == journal(straight) and results(tmp_path) == results(straight)


def test_a_line_of_the_journal_that_was_half_written_is_dropped_when_the_run_goes_on(tmp_path: Path) -> None:
    Journal(tmp_path, 0, 10).skip(0, [Skipped("a.mkv", "cut")])
    with no_file_above(100), pytest.raises(OutputError) as error:
        Journal(tmp_path, 1, 10).skip(1, [Skipped("b.mkv", "no video; " * 20)])
    assert str(error.value) == f"{tmp_path / 'skipped.jsonl'}: {FULL}"
    assert (tmp_path / "skipped.jsonl").stat().st_size == 100
    Journal(tmp_path, 1, 10)
    assert [json.loads(line)["path"] for line in (tmp_path / "skipped.jsonl").read_text().splitlines()] == ["a.mkv"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "make it writable, or choose another place"),
     (errno.EACCES, "choose another place")],
)  # fmt: skip
def test_the_line_says_what_the_system_says_and_what_to_do(
    number: int, advice: str, source: Path, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    before = results(straight), journal(straight)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(OutputError) as error:
        train_tokenizer(TINY, source, straight)
    expected = f"cannot be written ({os.strerror(number)}); {advice}; the same command goes on from step 6"
    assert str(error.value) == f"{straight / 'training.json'}: {expected}"
    assert (results(straight), journal(straight)) == before


def test_a_file_is_no_folder_for_a_run(source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"notes\.txt: is a file; give a folder for the run"):
        train_tokenizer(TINY, source, tmp_path / "notes.txt")
    with pytest.raises(OutputError, match=r"notes\.txt/run/training\.json: cannot be written \(Not a directory\)"):
        train_tokenizer(TINY, source, tmp_path / "notes.txt" / "run")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_model_that_does_not_fit_leaves_the_older_one(tmp_path: Path) -> None:
    older = tiny_tokenizer(0)
    older.save_pretrained(tmp_path / "model")
    limit = (tmp_path / "model" / "model.safetensors").stat().st_size - 1
    for folder in (tmp_path / "model", tmp_path / "new"):
        with no_file_above(limit), pytest.raises(OutputError) as error:
            tiny_tokenizer(1).save_pretrained(folder)
        assert str(error.value) == f"{folder / 'model.safetensors'}: {FULL}"
    assert Tokenizer.from_pretrained(tmp_path / "model").fingerprint == older.fingerprint
    assert leftovers(tmp_path) == [] and list((tmp_path / "new").iterdir()) == []
