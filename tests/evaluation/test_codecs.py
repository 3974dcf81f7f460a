"""Baselines by name: targets met, frames of the same shape, and names that are none."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.errors import InputError
from magvit2.evaluation.codecs import Coded, parse_baseline
from magvit2.evaluation.floor import bicubic_floor
from magvit2.metrics import psnr
from magvit2.tokens import TokenSpace

VIDEO = ["x264", "x265", "svtav1", "vvenc"]
STILL = ["jpeg", "webp", "avif"]
FPS = Fraction(30)


def textured(num_frames: int = 9, height: int = 64, width: int = 80) -> np.ndarray:
    """Frames with detail at every scale, as natural ones have it, that slides by 2 pixels a frame."""
    rng, wide = np.random.default_rng(0), width + 2 * num_frames
    picture = np.full((height, wide, 3), 127.0)
    for step in (1, 2, 4, 8, 16):
        coarse = rng.normal(0, 3 * step**0.7, (-(-height // step), -(-wide // step), 3))
        picture += coarse.repeat(step, axis=0).repeat(step, axis=1)[:height, :wide]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([picture[:, 2 * n : 2 * n + width] for n in range(num_frames)])


def mean_psnr(frames: np.ndarray, coded: Coded) -> float:
    return float(np.mean([psnr(a, b) for a, b in zip(frames, coded.frames, strict=True)]))


@pytest.mark.parametrize("codec", VIDEO)
def test_video_codecs_meet_bits_per_pixel(codec: str) -> None:
    frames = textured()
    low, high = (parse_baseline(f"{codec}@{bpp}").code(frames, FPS) for bpp in (0.2, 0.6))
    assert low.frames.shape == high.frames.shape == frames.shape
    assert low.bits_per_pixel == pytest.approx(0.2, rel=0.1)  # VVenC's steps are the widest
    assert high.bits_per_pixel == pytest.approx(0.6, rel=0.1)
    assert high.num_bytes * 8 / (9 * 64 * 80) == high.bits_per_pixel
    assert mean_psnr(frames, low) < mean_psnr(frames, high)


@pytest.mark.parametrize("codec", ["x264", "x265", "vvenc"])
def test_two_passes_are_for_clips_of_some_size(codec: str) -> None:
    small, large = parse_baseline(f"{codec}@0.3").code(textured(5)), parse_baseline(f"{codec}@1.0").code(textured(5))
    assert small.num_bytes < 1_200 and small.setting.split()[0] in ("crf", "qp")
    assert large.num_bytes > 3_000 and large.setting.startswith("two-pass at ")


@pytest.mark.parametrize("codec", STILL)
@pytest.mark.parametrize("num_frames", [1, 3])
def test_image_codecs_meet_bits_per_pixel_over_all_frames(codec: str, num_frames: int) -> None:
    frames = textured(num_frames, 128, 160)
    coded = parse_baseline(f"{codec}@1.1").code(frames)
    assert coded.frames.shape == frames.shape
    assert coded.bits_per_pixel == pytest.approx(1.1, rel=0.06)


@pytest.mark.parametrize("codec", VIDEO)
def test_an_image_is_one_key_frame_at_the_rate_asked_for(codec: str) -> None:
    frames = textured(1, 64, 96)
    coded = parse_baseline(f"{codec}@1.0").code(frames)
    assert coded.frames.shape == frames.shape
    assert coded.bits_per_pixel == pytest.approx(1.0, rel=0.1)
    assert coded.setting.split()[0] in ("crf", "qp")


@pytest.mark.parametrize(
    ("name", "setting"),
    [("x264@crf28", "crf 28"), ("x265@crf30.25", "crf 30.25"), ("svtav1@crf40", "crf 40"), ("vvenc@qp37", "qp 37"),
     ("jpeg@q30", "quality 30"), ("webp@q0", "quality 0"), ("avif@q100", "quality 100")],
)  # fmt: skip
def test_a_quality_is_used_as_it_is(name: str, setting: str) -> None:
    frames = textured(2)
    coded = parse_baseline(name).code(frames, FPS)
    assert coded.setting == setting
    assert coded.frames.shape == frames.shape


def test_the_floor_is_the_floor_at_its_own_strides() -> None:
    frames = textured(9, 40, 48)
    for name, strides in (("bicubic", (4, 8, 8)), ("bicubic@2x16x16", (2, 16, 16))):
        space = TokenSpace((2,) * 18, strides)
        coded = parse_baseline(name).code(frames)
        assert np.array_equal(coded.frames, bicubic_floor(frames, space))
        assert coded.num_bytes == 3 * np.prod(space.grid_for((9, 40, 48)))


def test_the_identity_costs_24_bits_a_pixel() -> None:
    coded = parse_baseline("identity").code(textured())
    assert np.array_equal(coded.frames, textured())
    assert coded.bits_per_pixel == 24


def test_a_protocol_says_codec_colour_and_rate_control() -> None:
    rated, fixed = parse_baseline("x264@0.0703").protocol, parse_baseline("x264@crf28").protocol
    for text in ("libx264", "preset medium", "keyint 250", "yuv420p", "BT.601"):
        assert text in rated and text in fixed
    assert "two-pass" in rated and "bisection" in rated
    assert "constant crf 28" in fixed and "two-pass" not in fixed
    assert all("\n" not in parse_baseline(f"{name}@1").protocol for name in [*VIDEO, *STILL])


BAD = ["", "x262@0.07", "x264", "x264@", "x264@fast", "x264@qp30", "x264@0", "x264@-1", "x264@0.1@0.2", "vvenc@crf30",
       "jpeg@crf30", "jpeg", "bicubic@8x8", "bicubic@", "bicubic@0x8x8", "identity@1", "X264@0.1"]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_none_is_one_line_that_lists_those_that_are(name: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_baseline(name)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(f"baseline {name!r} is not known; expected one of x264, x265")
    assert all(known in text for known in (*VIDEO, *STILL, "bicubic", "identity"))


@pytest.mark.parametrize(
    ("name", "problem"),
    [("x264@crf99", "crf from 1 to 51"), ("vvenc@qp30.5", "qp from 1 to 63 in steps of 1"),
     ("jpeg@q0", "q from 1 to 95"), ("x265@crf28.1", "in steps of 0.25")],
)  # fmt: skip
def test_a_quality_off_the_scale_is_told_the_scale(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_baseline(name)


def test_no_frames_are_refused() -> None:
    with pytest.raises(InputError, match="expected some of both"):
        parse_baseline("x264@0.1").code(np.zeros((0, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="expected some of both"):
        parse_baseline("x264@0.1").code(textured(2), Fraction(0))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("codec", VIDEO)
def test_short_real_clips_at_a_tokenizer_s_rate_are_within_5_percent_on_average(data_dir: Path, codec: str) -> None:
    items = [item for item in find_items(data_dir, "val") if item.is_clip]
    groups = {item.group: item for item in reversed(items)}
    misses = []
    for item in groups.values():
        frames = read_item(item, 0, 17)
        coded = parse_baseline(f"{codec}@0.083").code(frames, FPS)
        assert mean_psnr(frames, coded) > 26
        misses.append(abs(coded.bits_per_pixel / 0.083 - 1))
    assert len(misses) >= 3
    assert np.mean(misses) < 0.05
