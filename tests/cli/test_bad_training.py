"""Trainings that cannot be: whatever is wrong, it is one line that says what, and no run is begun or touched."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import run, save_clip, tree
from tests.tiny import save_tiny

BATCHES = 'batches=[{"kind":"video","batch_size":2,"num_frames":5,"size":32}]'
MODEL = ("model.base_channels=4", "model.channel_multipliers=[1,1,1]", "model.num_bits=6")
TINY = ("num_steps=1", *MODEL, BATCHES, "num_workers=0", "precision=fp32")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    save_clip(tmp_path / "data" / "clip.mkv", frames)
    return tmp_path / "data"


def refusal(data: Path, *settings: str, recipe: str = "rival-lfq", out: Path | None = None) -> str:
    """The line that such a training ends in; nothing is there afterwards that was not there before."""
    root = data.parent
    before = tree(root)
    words = ["train", "tokenizer", recipe, "--data", data, "--out", out or root / "run", "--set", *TINY, *settings]
    line = run(*words).line
    assert tree(root) == before
    return line


def no_folder(folder: Path) -> Path:
    return folder / "missing"


def a_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("mine")
    return folder / "notes.txt"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def images_alone(folder: Path) -> Path:
    from magvit2.video import write_image

    write_image(folder / "photos" / "1.png", np.zeros((32, 32, 3), np.uint8))
    return folder / "photos"


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (no_folder, "missing: not a folder, nor a list; give a folder of videos or images"),
        (a_file, "notes.txt: not a folder, nor a list"),
        (empty_folder, "empty: expected videos or images below it, found none"),
        (images_alone, "the source holds no videos, which a batch of kind 'video' needs"),
    ],
)
def test_data_that_are_not_there(build: Callable[[Path], Path], why: str, tmp_path: Path) -> None:
    assert why in refusal(build(tmp_path))


def test_a_folder_of_broken_videos_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.mkv").write_bytes(b"\x00" * 300)
    words = ["train", "tokenizer", "rival-lfq", "--data", tmp_path / "data", "--out", tmp_path / "run", "--set", *TINY]
    result = run(*words)
    assert result.code == 1
    line = result.err.splitlines()[-1]  # the files' own are before it
    assert line.startswith("magvit2: 100 files drawn in a row could not be read (") and "not a video" in line
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("recipe", "meant"),
    [
        ("rival-lqf", "; did you mean 'rival-lfq'?"),
        ("rival_lfq", "; did you mean 'rival-lfq'?"),
        ("opera", "JSON file"),
    ],
)
def test_a_recipe_that_is_none(recipe: str, meant: str, data: Path) -> None:
    line = refusal(data, recipe=recipe)
    assert line.startswith(f"tokenizer recipe {recipe!r}: expected one of ") and line.endswith(meant)


@pytest.mark.parametrize(
    ("setting", "begin", "end"),
    [
        ("optimzer.lr=1", "setting optimzer.lr: unknown key 'optimzer'; the known keys are model, ", "'optimizer.lr'?"),
        ("lr=1", "setting lr: unknown key 'lr'", "did you mean 'optimizer.lr' or 'discriminator_optimizer.lr'?"),
        ("num_stops=1", "setting num_stops: unknown key 'num_stops'", "did you mean 'num_steps'?"),
        ("model.num_bit=1", "setting model.num_bit: unknown key 'num_bit'", "did you mean 'model.num_bits'?"),
        ("colour=red", "setting colour: unknown key 'colour'; the known keys are model, ", "initial"),
        ("optimizer.lr=fast", "optimizer.lr: got 'fast', expected a number", ""),
        ("num_steps=1.5", "num_steps: got 1.5, expected a value of type int", ""),
        ("model.temporal_downsample=yes", "model.temporal_downsample: got 'yes', expected a list", ""),
        ("optimizer=3", "optimizer: got 3, expected a table of settings", ""),
        ("seed", "setting 'seed': expected PATH=VALUE, such as num_steps=1000", ""),
        ("model.quantizer=lfk", "model.quantizer: got 'lfk', expected one of 'lfq', ", "did you mean 'lfq'?"),
        ("model.num_bits=99", "num_bits = 99: expected 1 to 40", ""),
        ("perceptual.network=lpips-alx", "perceptual.network: got 'lpips-alx', expected one of", "'lpips-alex'?"),
        (
            "bit_dropping.probability=2",
            "BitDropping(probability=2",
            "expected a probability of 0 to 1, one bit or more",
        ),
        ("num_parts=4", "video batches of 2 cannot be cut into 4 parts", ""),
    ],
)
def test_a_setting_that_cannot_be(setting: str, begin: str, end: str, data: Path) -> None:
    line = refusal(data, setting)
    assert line.startswith(begin) and end in line


def test_a_network_whose_file_is_not_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAGVIT2_DATA", raising=False)
    line = refusal(data, "perceptual.network=lpips-alex", "perceptual.weight=1")
    assert line.startswith("needs alexnet-owt-") and line.endswith("in a folder of networks (give one: --nets DIR)")


def test_a_model_of_another_shape_to_start_from(data: Path) -> None:
    save_tiny(data.parent / "other")
    line = refusal(data, f"initial={data.parent / 'other'}", "model.num_bits=8")
    assert line.startswith(f"{data.parent / 'other'} has another shape than the recipe's model: its ")
    assert "model.num_bits is 6, not 8" in line and "model.norm" not in line


def test_a_model_to_start_from_that_is_not_there(data: Path) -> None:
    assert refusal(data, "initial=nowhere").startswith(
        "no tokenizer called nowhere: expected an embedded name (default"
    )


@pytest.mark.parametrize(
    ("recipe", "settings", "differs"),
    [
        ("rival-lfq", ("optimizer.lr=0.5",), "optimizer"),
        ("rival-fsq", (), "model"),
        ("rival-lfq", ("num_steps=2",), "num_steps"),
    ],
)
def test_a_folder_that_holds_another_run(recipe: str, settings: tuple[str, ...], differs: str, data: Path) -> None:
    words = ["train", "tokenizer", "rival-lfq", "--data", data, "--out", data.parent / "run", "--set", *TINY]
    assert run(*words).code == 0
    line = refusal(data, *settings, recipe=recipe)
    assert line.startswith(f"{data.parent / 'run'} holds a run with other settings (it differs in ")
    assert differs in line.partition("(")[2].partition(")")[0]
    assert line.endswith("resume with those, or give another folder")


def test_a_place_that_cannot_be_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = a_file(data.parent)
    assert refusal(data, out=notes) == f"{notes}: is a file; give a folder for the run"
    line = refusal(data, out=notes / "run")
    assert line == f"{notes / 'run' / 'training.json'}: cannot be written (Not a directory); choose another place"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    (data.parent / "run").mkdir()
    why = "cannot be written (Read-only file system); make it writable, or choose another place"
    assert refusal(data) == f"{data.parent / 'run' / 'training.json'}: {why}"


def test_processes_that_cannot_share_a_batch_evenly(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magvit2.training.tokenizer.world_size", lambda: 3)  # as under torchrun
    assert refusal(data).startswith("video batches of 2 cannot be shared by 3 processes in 1 parts each; ")
