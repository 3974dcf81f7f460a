"""A run that was interrupted, however, ends as if it had not been: the same journal, the same weights, bit for bit."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from magvit2.data.batches import TrainingBatches
from magvit2.errors import FormatError, InputError, TrainingError
from magvit2.store import read_tensors, write_tensors
from magvit2.training import step as steps
from magvit2.training import train_tokenizer
from magvit2.training.journal import Journal
from tests.training.making import TINY, journal, make_pictures, results

PLACES = ("step", "model", "checkpoint")
TIME_LIMIT_S = 120


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of six steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(TINY, source, folder)
    return folder


@pytest.fixture(scope="module")
def killed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs that SIGKILL ended in a step, while the model was written, while the checkpoint was."""
    root = tmp_path_factory.mktemp("killed")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.killed", str(source)]
    processes = [subprocess.Popen([*command, str(root / place), place], env=environment) for place in PLACES]
    try:
        assert [process.wait(TIME_LIMIT_S) for process in processes] == [-signal.SIGKILL] * 3
    finally:
        for process in processes:
            process.kill()
    return {place: root / place for place in PLACES}


def is_the_same(folder: Path, straight: Path) -> None:
    assert journal(folder) == journal(straight)
    assert results(folder) == results(straight)


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_resumes_exactly(place: str, killed: dict[str, Path], source: Path, straight: Path) -> None:
    folder = killed[place]
    steps = [line["step"] for line in journal(folder)]
    assert 3 in steps and (folder / "checkpoints" / "step-00000003").is_dir()
    assert not (folder / "checkpoints" / "step-00000006").exists()
    assert train_tokenizer(TINY, source, folder) == folder / "model"
    is_the_same(folder, straight)


def test_an_interrupted_run_resumes_exactly_and_drops_lines_beyond_its_checkpoint(
    source: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_ema = steps.update_ema

    def interrupted(*arguments: object) -> None:
        update_ema(*arguments)
        if arguments[-1] == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(steps, "update_ema", interrupted)
        train_tokenizer(TINY, source, tmp_path)
    assert [line["step"] for line in journal(tmp_path)] == [0, 1, 2, 3, 4]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "kind": "vid')  # what a power cut leaves
    train_tokenizer(TINY, source, tmp_path)
    assert [line["step"] for line in journal(tmp_path)] == [0, 1, 2, 3, 4, 5]
    is_the_same(tmp_path, straight)


def test_a_run_with_a_worker_is_the_run_without(source: Path, straight: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_workers=1), source, tmp_path)
    is_the_same(tmp_path, straight)


def test_a_finished_run_is_not_repeated(source: Path, straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = results(straight), journal(straight)
    monkeypatch.setattr(TrainingBatches, "__getitem__", lambda *_: pytest.fail("asked for a batch"))
    assert train_tokenizer(TINY, source, straight) == straight / "model"
    assert (results(straight), journal(straight)) == before


def test_another_seed_is_another_run(source: Path, straight: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, seed=1, num_steps=1), source, tmp_path)
    assert journal(tmp_path)[0]["loss"] != journal(straight)[0]["loss"]


def test_a_folder_with_other_settings_is_refused_and_left_alone(source: Path, straight: Path) -> None:
    before = results(straight), journal(straight), (straight / "training.json").read_text()
    with pytest.raises(TrainingError, match="holds a run with other settings") as error:
        train_tokenizer(dataclasses.replace(TINY, num_steps=7), source, straight)
    assert str(straight) in str(error.value) and "\n" not in str(error.value)
    assert (results(straight), journal(straight), (straight / "training.json").read_text()) == before


def test_a_run_that_cannot_start_claims_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        train_tokenizer(TINY, tmp_path / "empty", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def harm_state(checkpoint: Path) -> None:
    (checkpoint / "state.safetensors").write_bytes(b"")


def harm_header(checkpoint: Path) -> None:
    (checkpoint / "state.json").unlink()


def drop_a_tensor(checkpoint: Path) -> None:
    tensors = read_tensors(checkpoint / "state.safetensors")
    del tensors["model.encoder.head.bias"]
    write_tensors(checkpoint / "state.safetensors", tensors)


@pytest.mark.parametrize("harm", [harm_state, harm_header, drop_a_tensor])
def test_a_damaged_checkpoint_is_refused_by_name(harm: object, source: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, tmp_path)
    harm(tmp_path / "checkpoints" / "step-00000001")
    with pytest.raises(FormatError, match="step-00000001"):
        train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_the_step_in_hand_and_the_run_goes_on_from_it(
    number: signal.Signals, source: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "advance", lambda self, step: signal.raise_signal(number) if step == 1 else None)
        with pytest.raises(KeyboardInterrupt, match="after step 1; all is saved"):
            train_tokenizer(TINY, source, tmp_path)
    assert signal.getsignal(number) is before
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    train_tokenizer(TINY, source, tmp_path)
    assert journal(tmp_path) == journal(straight)
    assert results(tmp_path)["model/model.safetensors"] == results(straight)["model/model.safetensors"]
