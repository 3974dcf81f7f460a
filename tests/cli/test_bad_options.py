"""Options that cannot be: each is one line that says what was given and what is expected, before any work."""

from pathlib import Path

import pytest

from magvit2.video import write_image
from tests.cli.running import run, save_clip, tree
from tests.tiny import save_tiny
from tests.video.making import scene


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip.mp4", scene(2, 16, 24))


def refusal(clip: Path, *options: object) -> str:
    """The line that encoding a clip with these options ends in; nothing is written."""
    before = tree(clip.parent)
    line = run("encode", clip, clip.parent / "out.safetensors", *options).line
    assert tree(clip.parent) == before
    return line


def test_a_model_that_is_not_there(clip: Path) -> None:
    line = refusal(clip, "--model", "nowhere")
    assert line.startswith("no tokenizer called nowhere: expected an embedded name (default")
    assert line.endswith("a folder, or owner/name")


def test_a_folder_without_a_model(clip: Path) -> None:
    assert "no config.json in it" in refusal(clip, "--model", clip.parent)


def test_a_model_whose_config_is_damaged(clip: Path, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    (folder / "config.json").write_text("{")
    assert f"{folder / 'config.json'}: cannot be read as JSON" in refusal(clip, "--model", folder)


def test_a_model_with_an_unknown_setting(clip: Path, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"num_bits"', '"bits"'))
    assert "unknown key 'bits'; the known keys are num_bits" in refusal(clip, "--model", folder)


def test_a_model_whose_weights_are_damaged(clip: Path, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: cannot be read as safetensors" in refusal(clip, "--model", folder)


def test_info_of_a_model_that_is_not_there() -> None:
    assert run("info", "nowhere").line.startswith("no tokenizer called nowhere")


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("bogus", "there is no such device"),
        ("", "there is no such device"),
        ("cuda:99", "cannot be used here"),
        ("meta", "cannot be used here"),
    ],
)
def test_a_device_that_cannot_compute(clip: Path, model: Path, device: str, why: str) -> None:
    line = refusal(clip, "--model", model, "--device", device)
    assert line.startswith(f"--device {device}: {why}")
    assert line.endswith("expected cpu, cuda, cuda:1, ...")


@pytest.mark.parametrize("threads", [0, -2])
def test_no_threads(clip: Path, model: Path, threads: int) -> None:
    assert refusal(clip, "--model", model, "--threads", threads) == f"--threads {threads}: expected 1 or more"


@pytest.mark.parametrize("option", ["--max-frames", "--limit"])
def test_evaluating_nothing(clip: Path, model: Path, option: str) -> None:
    line = run("evaluate", "reconstruction", model, clip.parent, option, 0).line
    assert line == f"{option} 0: expected 1 or more"


@pytest.mark.parametrize("verb", ["evaluate", "train"])
@pytest.mark.parametrize(
    ("name", "why"), [("missing", "not a folder"), ("empty", "expected videos or images below it, found none")]
)
def test_data_that_are_not_there(tmp_path: Path, verb: str, name: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    model, data = save_tiny(tmp_path / "model"), tmp_path / name
    words = {
        "evaluate": ("evaluate", "reconstruction", model, data),
        "train": ("train", "tokenizer", "cpu", "--data", data, "--out", tmp_path / "run"),
    }
    before = tree(tmp_path)
    line = run(*words[verb]).line
    assert f"{data}: {why}" in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("opera",), "tokenizer recipe 'opera': expected one of clip-a1, clip-a1-finish, clip-b1, clip-b1-bits"),
        (("missing.json",), "missing.json: cannot be read as JSON"),
        (("cpu", "--set", "num_stops=3"), "unknown key 'num_stops'; the known keys are model, batches, num_steps"),
        (("cpu", "--set", "model.bits=3"), "unknown key 'bits'; the known keys are num_bits"),
        (("cpu", "--set", "num_steps=many"), "num_steps: got 'many', expected a value of type int"),
        (("cpu", "--set", "num_steps"), "'num_steps': expected PATH=VALUE, such as num_steps=1000"),
        (("cpu", "--set", "num_steps=0"), "at least one kind of batch and one step"),
        (("cpu", "--device", "bogus"), "--device bogus: there is no such device"),
        (("cpu", "--threads", "0"), "--threads 0: expected 1 or more"),
    ],
)
def test_a_training_that_cannot_be(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    write_image(tmp_path / "data" / "1.png", scene(1, 16, 16)[0])
    before = tree(tmp_path)
    line = run("train", "tokenizer", *words, "--data", tmp_path / "data", "--out", tmp_path / "run").line
    assert why in line
    assert tree(tmp_path) == before


def test_a_training_on_what_the_data_do_not_hold(tmp_path: Path) -> None:
    write_image(tmp_path / "data" / "1.png", scene(1, 16, 16)[0])
    line = run("train", "tokenizer", "cpu", "--data", tmp_path / "data", "--out", tmp_path / "run").line
    assert line == "the source holds no videos, which a batch of kind 'video' needs"
    assert not (tmp_path / "run").exists()
