"""train lm: a few steps through the command line, resumed by the same command; tokens that do not fit are one line."""

import json
from pathlib import Path

import pytest

from magvit2.lm import MaskedLM
from magvit2.tokenizer import Tokenizer
from tests.cli.running import done, run, save_clip
from tests.training.language_making import write_tokens
from tests.video.making import scene

TINY = (
    "num_steps=2",
    "transformer.width=16",
    "transformer.mlp_width=16",
    "batch_size=2",
    "num_factors=1",
    "num_workers=0",
    "precision=fp32",
    "sample_steps=1",
    "sample_every=2",
    "validate_items=1",
)


@pytest.fixture
def tokens(model: Path, tmp_path: Path) -> Path:
    """Token shards of two classes."""
    write_tokens(tmp_path / "tokens", Tokenizer.from_pretrained(model), 8)
    return tmp_path / "tokens"


def words(tokens: Path, model: Path, folder: Path, *settings: str) -> tuple[object, ...]:
    """The command."""
    common = ("train", "lm", "lm-tiny", "--data", tokens, "--out", folder, "--json", "--set", f"tokenizer={model}")
    return (*common, *TINY, *settings)


def test_the_same_command_trains_and_finds_the_run_finished(tokens: Path, model: Path, tmp_path: Path) -> None:
    result = run(*words(tokens, model, tmp_path / "run"))
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert (rows["steps"], rows["of"]) == (2, 2) and 0 < rows["bits a token of the batches"] < 10
    config = MaskedLM.from_pretrained(tmp_path / "run" / "model").config
    assert config.class_names == ("run", "walk") and config.transformer.width == 16
    assert run(*words(tokens, model, tmp_path / "run")).code == 0
    line = run(*words(tokens, model, tmp_path / "run", "optimizer.lr=0.5")).err.splitlines()[-1]
    assert "holds a run with other settings (it differs in optimizer)" in line


def test_a_run_of_tokenized_clips_generates(model: Path, tmp_path: Path) -> None:
    for number in range(4):
        save_clip(tmp_path / "clips" / ("run", "walk")[number % 2] / f"film{number}a.mkv", scene(5, 16, 16))
    done("tokenize", tmp_path / "clips", "--out", tmp_path / "tokens", "--model", model, "--frames", 5)
    assert run(*words(tmp_path / "tokens", model, tmp_path / "run")).code == 0
    lm = tmp_path / "run" / "model"
    done("generate", "--lm", lm, "--model", model, "--out", tmp_path / "out", "--class", "walk", "--num", 1)
    assert (tmp_path / "out" / "samples" / "walk" / "0000.mp4").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("tokenizer=default",), "its tokens were made by tokenizer"),
        (("transformer.width=15",), "width = 15: expected a multiple of twice num_heads"),
        (('tasks=[{"task":"predict","commit":true}]',), "tasks with commit need pixels"),
        (("num_factors=19",), "num_factors = 19: expected 1 to 6"),
        (("nuM_steps=3",), "unknown key 'nuM_steps'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    settings: tuple[str, ...], message: str, tokens: Path, model: Path, tmp_path: Path
) -> None:
    assert message in run(*words(tokens, model, tmp_path / "run", *settings)).line
    assert not (tmp_path / "run").exists()


def test_a_folder_without_tokens_is_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line = run(*words(tmp_path / "empty", model, tmp_path / "run")).line
    assert (
        line == f"{tmp_path / 'empty'}: holds no token shards; to train on videos and images the recipe needs batches"
    )
