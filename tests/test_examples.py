"""The examples run as their docstrings say, on tiny inputs."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from magvit2.pipelines import encode_file
from magvit2.tokenizer import Tokenizer
from magvit2.video import probe, read_clip, write_image
from tests.tiny import save_tiny
from tests.video.making import encode, scene

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_tested_and_says_how_it_is_run() -> None:
    found = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert found == ["reconstruct_video.py", "tokens_as_numpy.py", "train_on_a_folder.py"]
    for name in found:
        assert f"python examples/{name} " in (EXAMPLES / name).read_text()


def test_reconstruct_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clip, model = encode(tmp_path / "clip.mp4", scene(6, 24, 32)), save_tiny(tmp_path / "model")
    run("reconstruct_video.py", monkeypatch, clip, tmp_path / "both.mp4", "--model", model)
    info = probe(tmp_path / "both.mp4")
    assert (info.num_frames, info.height, info.width) == (6, 24, 32 + 4 + 32)
    assert capsys.readouterr().out.startswith("6 frames, PSNR ")


@pytest.mark.parametrize(("source", "target", "num_frames"), [("photo.png", "again.png", 1), ("a.mp4", "b.mp4", 5)])
def test_tokens_as_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, num_frames: int
) -> None:
    model = save_tiny(tmp_path / "model")
    if num_frames == 1:
        write_image(tmp_path / source, scene(1, 16, 24)[0])
    else:
        encode(tmp_path / source, scene(num_frames, 16, 24))
    words = tmp_path / source, tmp_path / "ids.npy", tmp_path / target
    run("tokens_as_numpy.py", monkeypatch, *words, "--model", model)
    expected = encode_file(Tokenizer.from_pretrained(model), tmp_path / source)
    assert np.array_equal(np.load(tmp_path / "ids.npy"), expected.ids.numpy())
    assert read_clip(tmp_path / target)[0].shape == (num_frames, 16, 24, 3)


def test_train_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "videos").mkdir()
    encode(tmp_path / "videos" / "clip.mp4", scene(10, 24, 32))
    words = tmp_path / "videos", tmp_path / "run", "--steps", 2, "--size", 16
    run("train_on_a_folder.py", monkeypatch, *words)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "run" / "model")
    assert f"fingerprint {tokenizer.fingerprint}" in capsys.readouterr().out
