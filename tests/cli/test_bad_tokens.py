"""Token files that are none, are damaged or belong to another model: one line each, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.running import done, run, save_clip, tree
from tests.tiny import save_tiny
from tests.video.making import scene


@pytest.fixture
def token_file(tmp_path: Path, model: Path) -> Path:
    clip = save_clip(tmp_path / "clip.mp4", scene(2, 16, 24))
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    clip.unlink()
    return tmp_path / "clip.safetensors"


def refusal(path: Path, model: Path) -> str:
    """The line that decoding ends in, which leaves nothing behind."""
    before = tree(path.parent)
    line = run("decode", path, path.parent / "out.mp4", "--model", model).line
    assert tree(path.parent) == before
    return line


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        (text,) = file.metadata().values()
        header: dict[str, Any] = json.loads(text)
        return header


def rewrite(path: Path, ids: torch.Tensor | None = None, **header: Any) -> None:
    """Change the ids or keys of the header of a token file; a key set to ... is left out."""
    with safe_open(path, framework="pt") as file:
        (key,) = file.metadata()
        old = file.get_tensor("ids")
    changed = {name: value for name, value in (header_of(path) | header).items() if value is not ...}
    save_file({"ids": old if ids is None else ids}, path, {key: json.dumps(changed)})


def test_a_missing_token_file(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "missing.safetensors"
    assert refusal(path, model) == run("info", path).line == f"{path}: no such file; check the name"


@pytest.mark.parametrize("content", [b"", b"text\n" * 100])
def test_a_file_that_is_no_safetensors(tmp_path: Path, model: Path, content: bytes) -> None:
    (tmp_path / "clip.safetensors").write_bytes(content)
    assert "clip.safetensors: cannot be read as safetensors" in refusal(tmp_path / "clip.safetensors", model)


def test_a_video_is_no_token_file(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(1))
    line = refusal(clip, model)
    assert line == f"{clip}: token files end in .safetensors; expected one written by `magvit2 encode`"


def test_a_model_s_weights_are_no_token_file(tmp_path: Path, model: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    path = tmp_path / "model.safetensors"
    assert refusal(path, model) == f"{path}: not a token file; expected one written by `magvit2 encode`"
    assert run("info", path).line == f"{path}: not a token file; expected one written by `magvit2 encode`"


def test_a_token_file_that_is_cut_short(token_file: Path, model: Path) -> None:
    token_file.write_bytes(token_file.read_bytes()[:-5])
    assert "cannot be read as safetensors" in refusal(token_file, model)
    assert "cannot be read as safetensors" in run("info", token_file).line


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 99}, "token file version 99, this release reads 1"),
        ({"version": ...}, "damaged"),
        ({"fingerprint": ...}, "damaged"),
        ({"radices": [2, 2, 2]}, "damaged"),
        ({"radices": []}, "damaged"),
        ({"strides": 4}, "damaged"),
        ({"fps": "fast"}, "damaged"),
    ],
)
def test_a_damaged_header(token_file: Path, model: Path, change: dict[str, Any], why: str) -> None:
    rewrite(token_file, ids=torch.full((2, 2, 3), 63, dtype=torch.uint8), **change)
    assert why in refusal(token_file, model)
    assert why in run("info", token_file).line


@pytest.mark.parametrize("size", [[2, 16, 25], [6, 16, 24], [1, 16, 24], [2, 8, 24], [2, 160, 24]])
def test_a_size_that_the_grid_cannot_have(token_file: Path, model: Path, size: list[int]) -> None:
    rewrite(token_file, size=size)
    assert "size" in refusal(token_file, model)


def test_ids_that_no_token_can_have(token_file: Path, model: Path) -> None:
    rewrite(token_file, ids=torch.full((2, 2, 3), 64, dtype=torch.uint8))
    assert "ids from 64 to 64: expected 0 to 63" in refusal(token_file, model)


def test_tokens_of_another_model(token_file: Path, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", seed=1)
    line = refusal(token_file, other)
    assert f"made by the tokenizer {header_of(token_file)['fingerprint']}" in line
    assert "name the model that made them" in line


def test_a_token_file_is_no_medium_to_encode(token_file: Path, tmp_path: Path, model: Path) -> None:
    line = run("encode", token_file, tmp_path / "again.safetensors", "--model", model).line
    assert "not a video that can be read" in line


@pytest.mark.parametrize("bits", [0, 7, -1])
def test_a_number_of_bits_that_the_ids_do_not_have(token_file: Path, model: Path, bits: int) -> None:
    before = tree(token_file.parent)
    result = run("decode", token_file, token_file.parent / "out.mp4", "--model", model, "--num-bits", bits)
    assert result.line == f"num_bits = {bits}: expected 1 to 6"
    assert tree(token_file.parent) == before


def test_a_clip_does_not_fit_into_an_image(token_file: Path, model: Path) -> None:
    line = run("decode", token_file, token_file.parent / "out.png", "--model", model).line
    assert "out.png is an image, but there are several frames: name a video, or a folder" in line
    assert tree(token_file.parent) == ["clip.safetensors"]
