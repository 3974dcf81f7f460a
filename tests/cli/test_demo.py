"""demo through the command line: with and without an input, for people and for programs."""

import json
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.synthetic import sample_clip
from magvit2.recipes import demo as recipe
from magvit2.video import probe, write_image
from tests.cli.running import done, save_clip
from tests.video.making import names, scene

FILES = ["contact-sheet.png", "reconstruction.mp4", "report.json", "side-by-side.mp4", "tokens.safetensors"]


def test_without_an_input_photographs_move(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "sample_clip", lambda: sample_clip(9, 48, 64))  # the demo's own is larger and longer
    report = json.loads(done("demo", "--model", model, "--json"))
    assert report["input"] == "photographs under a moving camera"
    assert report["frames (T, H, W)"] == [9, 48, 64]
    assert names(tmp_path / "demo-out") == FILES
    assert probe(tmp_path / "demo-out" / "side-by-side.mp4").num_frames == 9


def test_a_clip_of_one_s_own(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(5, 17, 25))
    table = done("demo", clip, "--out", tmp_path / "deep" / "out", "--model", model)
    assert names(tmp_path / "deep" / "out") == FILES
    assert table.startswith("magvit2 demo\n")
    assert f"│ written to {tmp_path / 'deep' / 'out'}" in table
    assert "tokens.safetensors, reconstruction.mp4, side-by-side.mp4, contact-sheet.png, report.json" in table
    assert "│ 5 x 17 x 25" in table


def test_an_image_of_one_s_own(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "photo.png", scene(1, 16, 24)[0])
    report = json.loads(done("demo", tmp_path / "photo.png", "--out", tmp_path / "out", "--model", model, "--json"))
    assert names(tmp_path / "out") == [name.replace(".mp4", ".png") for name in FILES]
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())


def test_a_dot_of_an_image_has_no_ssim_and_json_for_all_programs(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "dot.png", np.zeros((5, 5, 3), np.uint8))
    report = json.loads(done("demo", tmp_path / "dot.png", "--out", tmp_path / "out", "--model", model, "--json"))
    assert report["SSIM, mean over frames"] is None
    assert "NaN" not in (tmp_path / "out" / "report.json").read_text()
