"""Outputs that cannot be written are refused before any work; the input and what is there already stay."""

import os
from pathlib import Path

import pytest

from magvit2.data.tokens import save_tokens
from magvit2.pipelines import encode_file
from magvit2.tokenizer import Tokenizer
from tests.cli.running import run, save_clip, tree
from tests.video.making import scene


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip.mp4", scene(2, 16, 24))


@pytest.fixture
def token_file(tmp_path: Path, clip: Path, model: Path) -> Path:
    save_tokens(tmp_path / "clip.safetensors", encode_file(Tokenizer.from_pretrained(model), clip))
    return tmp_path / "clip.safetensors"


def refusal(verb: str, clip: Path, token_file: Path, out: Path, model: Path) -> str:
    source = token_file if verb == "decode" else clip
    before = tree(clip.parent)
    contents = {path: path.read_bytes() for path in (clip, token_file)}
    line = run(verb, source, out, "--model", model).line
    assert tree(clip.parent) == before
    assert contents == {path: path.read_bytes() for path in contents}
    return line


OUTPUTS = {"encode": "out.safetensors", "decode": "out.mp4", "reconstruct": "out.mp4"}
each_verb = pytest.mark.parametrize("verb", OUTPUTS)


@each_verb
def test_a_folder_that_is_missing(clip: Path, token_file: Path, model: Path, verb: str) -> None:
    out = clip.parent / "missing" / OUTPUTS[verb]
    line = refusal(verb, clip, token_file, out, model)
    assert line == f"{out}: the folder {out.parent} does not exist; make it first"


@pytest.mark.parametrize("verb", ["decode", "reconstruct"])
def test_a_folder_for_frames_in_a_folder_that_is_missing(clip: Path, token_file: Path, model: Path, verb: str) -> None:
    assert "does not exist" in refusal(verb, clip, token_file, clip.parent / "missing" / "frames", model)


@each_verb
def test_a_folder_in_the_place_of_the_file(clip: Path, token_file: Path, model: Path, verb: str) -> None:
    out = clip.parent / OUTPUTS[verb]
    out.mkdir()
    assert refusal(verb, clip, token_file, out, model) == f"{out}: is a folder; give the name of a file to write"


@each_verb
def test_a_folder_that_may_not_be_written_to(
    clip: Path, token_file: Path, model: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    line = refusal(verb, clip, token_file, clip.parent / OUTPUTS[verb], model)
    assert f"permission denied to write in {clip.parent}" in line


def test_the_demo_may_not_write(clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    line = run("demo", clip, "--out", clip.parent / "demo-out", "--model", model).line
    assert "permission denied to write in" in line
    assert tree(clip.parent) == ["clip.mp4"]


@pytest.mark.parametrize(
    ("verb", "name", "why"),
    [
        ("encode", "out.mp4", "out.mp4: token files end in .safetensors; name it "),
        ("encode", "out", "token files end in .safetensors"),
        ("decode", "out.gif", "cannot write '.gif'; expected .mp4, .mov, .mkv, .png,"),
        ("decode", "out.safetensors", "cannot write '.safetensors'; expected .mp4"),
        ("reconstruct", "out.tiff", "cannot write '.tiff'; expected .mp4, .mov, .mkv, .png,"),
    ],
)
def test_an_ending_that_is_not_written(
    clip: Path, token_file: Path, model: Path, verb: str, name: str, why: str
) -> None:
    assert why in refusal(verb, clip, token_file, clip.parent / name, model)


@pytest.mark.parametrize("verb", ["decode", "reconstruct"])
def test_a_folder_with_something_in_it_is_not_filled_with_frames(
    clip: Path, token_file: Path, model: Path, verb: str
) -> None:
    (clip.parent / "frames").mkdir()
    (clip.parent / "frames" / "mine.txt").write_text("mine")
    line = refusal(verb, clip, token_file, clip.parent / "frames", model)
    assert "exists already; expected a new name or an empty folder" in line


def test_the_input_is_not_overwritten(clip: Path, token_file: Path, model: Path) -> None:
    line = refusal("reconstruct", clip, token_file, clip.parent / "." / clip.name, model)
    assert line == f"{clip}: is the input itself; give another name to write"


def test_the_demo_does_not_take_a_file_for_its_folder(clip: Path, model: Path) -> None:
    (clip.parent / "notes.txt").write_text("mine")
    line = run("demo", clip, "--out", clip.parent / "notes.txt", "--model", model).line
    assert line == f"--out {clip.parent / 'notes.txt'}: is a file; give a folder"
    assert (clip.parent / "notes.txt").read_text() == "mine"
