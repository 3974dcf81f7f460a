"""info: what a preset, a model, a medium or a token file is, for people and for programs."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.tokenizer import Tokenizer
from magvit2.video import write_image
from tests.cli.running import done, run, save_clip
from tests.video.making import encode, scene

NTSC = Fraction(30000, 1001)


def info(subject: object) -> dict[str, object]:
    facts: dict[str, object] = json.loads(done("info", subject, "--json"))
    return facts


def test_the_paper_s_preset_costs_what_the_paper_says() -> None:
    facts = info("video-128")
    assert facts["parameters"] == facts["encoder parameters"] + facts["decoder parameters"]
    assert facts["parameters"] / 1e6 == pytest.approx(376, abs=0.5)
    assert facts["encoder MFLOP per pixel (2 x MAC, long clip)"] == pytest.approx(16.3, abs=0.1)
    assert facts["decoder MFLOP per pixel (2 x MAC, long clip)"] == pytest.approx(21.9, abs=0.1)
    assert facts["strides (t, h, w)"] == [4, 8, 8]
    assert facts["bits per token"] == 18
    assert facts["vocabulary"] == 2**18
    assert facts["bits per pixel (long clip)"] == 18 / (4 * 8 * 8)
    assert facts["bits per pixel (image)"] == 18 / (8 * 8)


def test_a_model_folder_tells_its_parameters_and_its_fingerprint(model: Path) -> None:
    facts = info(model)
    tokenizer = Tokenizer.from_pretrained(model)
    assert facts["name"] == model.name
    assert facts["fingerprint"] == tokenizer.fingerprint
    assert facts["parameters"] == sum(parameter.numel() for parameter in tokenizer.parameters())
    assert facts["bits per token"] == 6


def test_a_video_tells_its_size_rate_and_colours(tmp_path: Path) -> None:
    facts = info(save_clip(tmp_path / "clip.mp4", scene(7, 18, 30), NTSC))
    assert facts["kind"] == "video"
    assert facts["frames"] == 7
    assert facts["height x width"] == [18, 30]
    assert facts["frames per second"] == float(NTSC)
    assert (facts["codec"], facts["bit depth"], facts["variable rate"]) == ("h264", 8, False)


def test_a_container_that_does_not_count_its_frames_has_no_number_of_them(tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "clip.mkv", scene(7, 18, 30))
    assert info(clip)["frames"] is None
    assert "frames                       │ -" in done("info", clip)


def test_a_turned_video_has_the_size_in_which_it_is_shown(tmp_path: Path) -> None:
    facts = info(encode(tmp_path / "clip.mp4", scene(2, 32, 48), rotation=(-90, False)))
    assert facts["height x width"] == [48, 32]
    assert facts["rotation (degrees clockwise)"] == 90


def test_an_image_has_no_rate(tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", scene(1, 10, 12)[0])
    facts = info(tmp_path / "photo.png")
    assert (facts["kind"], facts["frames"], facts["frames per second"]) == ("image", 1, None)


def test_a_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", scene(1, 10, 12)[0])
    facts = info(tmp_path)
    assert (facts["kind"], facts["frames"], facts["height x width"]) == ("frames", 3, [10, 12])


def test_a_token_file_tells_its_clip_grid_and_maker(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(6, 17, 25), NTSC)
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    facts = info(tmp_path / "clip.safetensors")
    assert facts["kind"] == "tokens"
    assert facts["frames (T, H, W)"] == [6, 17, 25]
    assert facts["frames per second"] == float(NTSC)
    assert facts["grid (t, h, w)"] == [3, 3, 4]
    assert facts["vocabulary"] == 64
    assert facts["bits per pixel"] == 36 * 6 / (6 * 17 * 25)
    assert 1 <= facts["distinct ids"] <= 36
    assert facts["made by"] == Tokenizer.from_pretrained(model).fingerprint


def test_the_table_says_it_to_people(tmp_path: Path) -> None:
    table = done("info", save_clip(tmp_path / "clip.mp4", np.zeros((2, 16, 16, 3), np.uint8), NTSC))
    assert table.startswith(f"{tmp_path / 'clip.mp4'}\n")
    for row in ("frames per second            │ 29.97", "height x width               │ 16 x 16", "│ no"):
        assert row in table
    assert "parameters                                   │ 376,0" in done("info", "video-128")


def test_what_is_not_there_is_a_file_or_a_model_by_its_name(tmp_path: Path) -> None:
    assert "no such file or folder" in run("info", tmp_path / "clip.webm").line
    assert "no such file; check the name" in run("info", tmp_path / "clip.safetensors").line
    assert "no tokenizer called clip-9.5" in run("info", "clip-9.5").line


@pytest.mark.parametrize("name", ["tiny", "frames"])
def test_a_folder_does_not_hide_a_preset_of_its_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / name / "0.png", scene(1, 10, 12)[0])
    monkeypatch.chdir(tmp_path)
    assert ("parameters" in info(name)) == (name == "tiny")
    assert info(f"./{name}")["kind"] == "frames"
