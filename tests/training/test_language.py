"""Training language models: exact resumption, processes that share a batch, sources, and what a run leaves."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from magvit2.errors import InputError, TrainingError
from magvit2.lm import CausalLM, MaskedLM
from magvit2.store import read_tensors
from magvit2.tokenizer import Tokenizer
from magvit2.training import LanguageTraining, TaskShare, train_language
from magvit2.training.best import read_best
from magvit2.training.status import read_status
from tests.training.language_making import RUNS, make_tokenizer, write_tokens
from tests.training.making import TINY, journal, make_pictures, results

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 240


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    make_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def source(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards to train on and to validate on."""
    folder = tmp_path_factory.mktemp("tokens")
    write_tokens(folder / "train", Tokenizer.from_pretrained(tokenizer), 12)
    write_tokens(folder / "val", Tokenizer.from_pretrained(tokenizer), 3, seed=1)
    return folder


def run_of(name: str, tokenizer: Path) -> LanguageTraining:
    return dataclasses.replace(RUNS[name], tokenizer=str(tokenizer))


@pytest.mark.parametrize("name", ["masked", "causal", "bits"])
def test_an_interrupted_run_resumes_exactly(name: str, source: Path, tokenizer: Path, tmp_path: Path) -> None:
    config = run_of(name, tokenizer)
    train_language(config, source, tmp_path / "straight")

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_language(config, source, tmp_path / "broken", on_save=die)
    assert not (tmp_path / "broken" / "checkpoints" / "step-00000006").exists()
    train_language(config, source, tmp_path / "broken")
    assert journal(tmp_path / "broken") == journal(tmp_path / "straight")
    assert results(tmp_path / "broken") == results(tmp_path / "straight")


def test_two_parts_of_a_batch_make_one_step(source: Path, tokenizer: Path, tmp_path: Path) -> None:
    for name in ("calm", "parts"):
        train_language(run_of(name, tokenizer), source, tmp_path / name)
    for whole, parts in zip(journal(tmp_path / "calm"), journal(tmp_path / "parts"), strict=True):
        assert parts["step"] == whole["step"]
        assert parts.get("loss") == (pytest.approx(whole["loss"], rel=1e-4) if "loss" in whole else None)


def test_two_processes_have_the_losses_and_the_weights_of_one(source: Path, tokenizer: Path, tmp_path: Path) -> None:
    train_language(run_of("calm", tokenizer), source, tmp_path / "one")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = ["-m", "tests.training.language_run", str(source), str(tokenizer), str(tmp_path / "two"), "calm"]
    done = subprocess.run(
        [*launcher, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for alone, shared in zip(journal(tmp_path / "one"), journal(tmp_path / "two"), strict=True):
        for key, value in alone.items():
            assert shared[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-5)), key
    one, two = (
        read_tensors(tmp_path / folder / "checkpoints/step-00000006/state.safetensors") for folder in ("one", "two")
    )
    for key in one:
        if key.startswith(("model.", "average.")):
            torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=2e-5)


def test_a_run_leaves_a_model_that_knows_its_tokens(source: Path, tokenizer: Path, tmp_path: Path) -> None:
    folder = train_language(run_of("causal", tokenizer), source, tmp_path)
    config = CausalLM.from_pretrained(folder).config
    assert config.tokenizer == Tokenizer.from_pretrained(tokenizer).fingerprint
    assert config.class_names == ("run", "walk") and config.grid == (2, 2, 2)
    lines = [line for line in journal(tmp_path) if line["kind"] == "validation"]
    best = min(lines, key=lambda line: line["val_bits"])
    found = read_best(tmp_path)
    assert found is not None and (found.step, found.metric, found.score) == (
        best["step"] + 1,
        "val_bits",
        best["val_bits"],
    )
    status = read_status(tmp_path)
    assert status.is_finished and status.score == pytest.approx(18, abs=2) and status.best_score == found.score
    assert (tmp_path / "samples" / "step-00000006.png").exists()
    assert json.loads((tmp_path / "run.json").read_text())[0]["data"]["num_items"] == 12


def test_pixels_are_tokenized_as_they_come_with_conditions(tokenizer: Path, tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "source")
    config = dataclasses.replace(
        run_of("masked", tokenizer),
        batches=TINY.batches[:1],
        tasks=(TaskShare("class"), TaskShare("inpaint", commit=True), TaskShare("predict", commit=True)),
        scored="all",
    )
    folder = train_language(config, source, tmp_path / "run")
    assert MaskedLM.from_pretrained(folder).config.tasks == ("class", "inpaint-commit", "predict-commit")
    assert all(line["loss"] > 0 for line in journal(tmp_path / "run") if "loss" in line)


def test_shards_without_a_val_folder_hold_some_out(tokenizer: Path, tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", Tokenizer.from_pretrained(tokenizer), 40)
    train_language(dataclasses.replace(run_of("masked", tokenizer), num_steps=3), tmp_path / "tokens", tmp_path / "run")
    assert any(line["kind"] == "validation" for line in journal(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())[0]["data"]["num_items"] < 40


def test_what_does_not_fit_is_one_line_and_claims_no_folder(source: Path, tokenizer: Path, tmp_path: Path) -> None:
    config = run_of("masked", tokenizer)
    with pytest.raises(InputError, match=r"made by tokenizer \w{16}, but 'default' is \w{16}; give the one"):
        train_language(dataclasses.replace(config, tokenizer="default"), source, tmp_path / "run")
    with pytest.raises(InputError, match="need pixels, and shards hold none"):
        commit = dataclasses.replace(config, tasks=(TaskShare("predict", commit=True),))
        train_language(commit, source, tmp_path / "run")
    with pytest.raises(InputError, match=r"holds no token shards.*needs batches"):
        train_language(config, tmp_path, tmp_path / "run")
    with pytest.raises(TrainingError, match="batches of 4 cannot be shared by 1 processes in 3 parts"):
        train_language(dataclasses.replace(config, num_parts=3), source, tmp_path / "run")
    write_tokens(tmp_path / "images", Tokenizer.from_pretrained(tokenizer), 30, num_latents=1)
    with pytest.raises(InputError, match="clips of 1 latents in time: too few for predict"):
        only = dataclasses.replace(config, tasks=(TaskShare("predict"),), validate_every=0, sample_every=99)
        train_language(only, tmp_path / "images", tmp_path / "run2")
    assert not (tmp_path / "run").exists()


def test_a_run_starts_from_a_model_of_the_same_shape(source: Path, tokenizer: Path, tmp_path: Path) -> None:
    first = train_language(run_of("masked", tokenizer), source, tmp_path / "first")
    again = dataclasses.replace(run_of("masked", tokenizer), initial=str(first), num_steps=1)
    train_language(again, source, tmp_path / "again")
    wider = dataclasses.replace(again, transformer=dataclasses.replace(again.transformer, mlp_width=32))
    with pytest.raises(TrainingError, match="is another model than the recipe's: its transformer is"):
        train_language(wider, source, tmp_path / "wider")
