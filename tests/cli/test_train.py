"""train tokenizer: a few steps through the command line, resumed by the same command, and the model that comes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from magvit2.tokenizer import Tokenizer
from magvit2.training import tokenizer as training
from magvit2.training.step import StepReport
from tests.cli.running import done, run, save_clip, tree
from tests.video.making import scene

TINY = (
    "num_steps=3",
    "model.base_channels=4",
    "model.channel_multipliers=[1,1,1]",
    "model.num_bits=6",
    'batches=[{"kind":"video","batch_size":1,"num_frames":5,"size":16}]',
    "num_workers=0",
    "precision=fp32",
    "log_every=1",
    "checkpoint_every=1",
)


@pytest.fixture
def words(tmp_path: Path) -> tuple[object, ...]:
    """The command, but for its settings."""
    (tmp_path / "data").mkdir()
    save_clip(tmp_path / "data" / "clip.mkv", scene(9, 24, 24))
    return "train", "tokenizer", "images", "--data", tmp_path / "data", "--out", tmp_path / "run"


def trained(*words: object) -> str:
    """Run a training that must end well; return what it printed.

    On standard error it says what it trains on, and a line for each logged step.
    """
    result = run(*words)
    assert result.code == 0, result.err
    first, *others = result.err.splitlines()
    assert " items to train on" in first and all(line.startswith("step ") for line in others), result.err
    return result.out


def logged_steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_three_steps_make_a_model_that_runs(tmp_path: Path, words: tuple[object, ...]) -> None:
    report = json.loads(trained(*words, "--json", "--set", *TINY))
    assert (report["steps"], report["of"], report["run"]) == (3, 3, str(tmp_path / "run"))
    assert report["model"] == str(tmp_path / "run" / "model")
    assert logged_steps(tmp_path) == [0, 1, 2]
    assert Tokenizer.from_pretrained(report["model"]).config.num_bits == 6
    done("encode", tmp_path / "data" / "clip.mkv", tmp_path / "clip.safetensors", "--model", report["model"])


def test_settings_may_be_spread_over_several_options(tmp_path: Path, words: tuple[object, ...]) -> None:
    spread = [word for setting in TINY for word in ("--set", setting)]
    assert json.loads(trained(*words, "--json", *spread))["steps"] == 3
    settings = json.loads((tmp_path / "run" / "training.json").read_text())
    assert (settings["num_steps"], settings["model"]["base_channels"], settings["log_every"]) == (3, 4, 1)


def test_the_same_command_resumes_an_interrupted_run(
    tmp_path: Path, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_step = training.train_step

    def interrupted(step: int, *rest: Any, **options: bool) -> StepReport:
        if step == 2:
            raise KeyboardInterrupt
        return real_step(step, *rest, **options)

    monkeypatch.setattr(training, "train_step", interrupted)
    first = run(*words, "--set", *TINY)
    assert (first.code, first.err.splitlines()[-1]) == (130, "magvit2: interrupted")
    assert logged_steps(tmp_path) == [0, 1]
    monkeypatch.undo()
    trained(*words, "--set", *TINY)
    assert logged_steps(tmp_path) == [0, 1, 2]

    whole = tmp_path / "whole"
    trained(*words[:-1], whole, "--set", *TINY)
    fingerprints = [Tokenizer.from_pretrained(run_ / "model").fingerprint for run_ in (tmp_path / "run", whole)]
    assert fingerprints[0] == fingerprints[1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path, words: tuple[object, ...]) -> None:
    trained(*words, "--set", *TINY)
    weights = tmp_path / "run" / "model" / "model.safetensors"
    before = weights.read_bytes()
    trained(*words, "--set", *TINY)
    assert logged_steps(tmp_path) == [0, 1, 2]
    assert weights.read_bytes() == before


def test_other_settings_are_refused_and_the_run_stays(tmp_path: Path, words: tuple[object, ...]) -> None:
    trained(*words, "--set", *TINY)
    before = tree(tmp_path)
    line = run(*words, "--set", *TINY, "optimizer.lr=0.1").line
    assert line.startswith(f"{tmp_path / 'run'} holds a run with other settings")
    assert tree(tmp_path) == before


def test_a_run_s_own_settings_are_a_recipe(tmp_path: Path, words: tuple[object, ...]) -> None:
    trained(*words, "--set", *TINY)
    again = list(words)
    again[2], again[-1] = tmp_path / "run" / "training.json", tmp_path / "again"
    trained(*again)
    texts = [(tmp_path / name / "training.json").read_text() for name in ("run", "again")]
    assert texts[0] == texts[1]
