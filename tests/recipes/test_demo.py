"""The demo: the files it leaves, what they hold, and a report that is true."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.tokens import load_tokens
from magvit2.errors import MediaError
from magvit2.metrics import psnr, ssim
from magvit2.pipelines import Progress, encode_file, reconstruct_frames, write_frames
from magvit2.recipes import demo
from magvit2.recipes.demo import run_demo
from magvit2.tokenizer import Tokenizer
from magvit2.video import probe, read_clip, write_image
from tests.tiny import tiny_tokenizer
from tests.video.making import encode, names, scene
from tests.video.making import psnr as clip_psnr

NTSC = Fraction(30000, 1001)
FILES = ["contact-sheet.png", "reconstruction.mp4", "report.json", "side-by-side.mp4", "tokens.safetensors"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


class Bars:
    """Remembers which bars were asked for, and how far they came."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.counts: dict[str, list[int]] = {}

    def __call__(self, label: str, total: int | None) -> Progress:
        self.totals[label] = total
        self.counts[label] = []
        return self.counts[label].append


def test_a_clip_leaves_videos_tokens_a_contact_sheet_and_a_report(tmp_path: Path, tokenizer: Tokenizer) -> None:
    clip = encode(tmp_path / "clip.mp4", scene(10, 24, 56), fps=NTSC)
    report, files = run_demo(tokenizer, clip, tmp_path / "out", Bars())
    assert names(tmp_path / "out") == FILES
    assert sorted(path.name for path in files) == FILES
    for name, width in (("reconstruction.mp4", 56), ("side-by-side.mp4", 56 + 4 + 56)):
        info = probe(tmp_path / "out" / name)
        assert (info.num_frames, info.height, info.width, info.fps) == (10, 24, width, NTSC)
    assert load_tokens(tmp_path / "out" / "tokens.safetensors").ids.equal(encode_file(tokenizer, clip).ids)
    sheet = probe(tmp_path / "out" / "contact-sheet.png")
    assert (sheet.width, sheet.height) == (6 * 56 + 5 * 4, 3 * 24 + 2 * 4)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_the_report_is_true(tmp_path: Path, tokenizer: Tokenizer) -> None:
    clip = tmp_path / "clip.mp4"
    write_frames(clip, iter(scene(6, 17, 30)), NTSC, lossless=True)
    report, _ = run_demo(tokenizer, clip, tmp_path / "out", Bars())
    pairs = list(reconstruct_frames(tokenizer, read_clip(clip)[0]))
    tokens = encode_file(tokenizer, clip)
    assert report["input"] == str(clip)
    assert report["frames (T, H, W)"] == [6, 17, 30]
    assert report["frames per second"] == float(NTSC)
    assert report["tokens (t, h, w)"] == [3, 3, 4]
    assert report["distinct tokens"] == tokens.ids.unique().numel()
    assert report["bytes as raw RGB"] == 6 * 17 * 30 * 3
    assert report["bytes as tokens"] == math.ceil(36 * 6 / 8)
    assert report["bits per pixel"] == pytest.approx(36 * 6 / (6 * 17 * 30))
    assert report["PSNR, mean over frames (dB)"] == pytest.approx(np.mean([psnr(p.original, p.decoded) for p in pairs]))
    assert report["SSIM, mean over frames"] == pytest.approx(np.mean([ssim(p.original, p.decoded) for p in pairs]))
    assert report["encode (frames/s)"] > 0 and report["decode (frames/s)"] > 0
    assert report["tokenizer"] == tokenizer.fingerprint


def test_side_by_side_has_the_original_left_and_the_reconstruction_right(tmp_path: Path, tokenizer: Tokenizer) -> None:
    clip = encode(tmp_path / "clip.mp4", scene(5, 24, 32))
    run_demo(tokenizer, clip, tmp_path / "out", Bars())
    both, alone = (read_clip(tmp_path / "out" / f"{name}.mp4")[0] for name in ("side-by-side", "reconstruction"))
    assert clip_psnr(both[:, :, :32], read_clip(clip)[0]) > 25  # what H.264 leaves of it
    assert clip_psnr(both[:, :, 36:], alone) > 25


def test_an_image_leaves_pictures(tmp_path: Path, tokenizer: Tokenizer) -> None:
    photo = scene(1, 19, 23)[0]
    write_image(tmp_path / "photo.png", photo)
    report, _ = run_demo(tokenizer, tmp_path / "photo.png", tmp_path / "out", Bars())
    assert names(tmp_path / "out") == [name.replace(".mp4", ".png") for name in FILES]
    (both,) = read_clip(tmp_path / "out" / "side-by-side.png")[0]
    (alone,) = read_clip(tmp_path / "out" / "reconstruction.png")[0]
    assert np.array_equal(both[:, :23], photo)
    assert np.array_equal(both[:, 27:], alone)
    assert report["frames per second"] is None
    assert report["PSNR, mean over frames (dB)"] == pytest.approx(psnr(photo, alone))


def test_without_an_input_the_sample_clip_is_taken(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "sample_clip", lambda: scene(3, 16, 24))
    report, _ = run_demo(tokenizer, None, tmp_path / "out", Bars())
    assert report["input"] == "photographs under a moving camera"
    assert report["frames (T, H, W)"] == [3, 16, 24]
    assert report["frames per second"] == 25.0
    assert names(tmp_path / "out") == FILES


def test_progress_is_told_for_both_ways(tmp_path: Path, tokenizer: Tokenizer) -> None:
    bars = Bars()
    run_demo(tokenizer, encode(tmp_path / "clip.mp4", scene(6, 16, 16)), tmp_path / "out", bars)
    assert bars.totals == {"encode": 6, "decode": 6}
    assert bars.counts == {"encode": [1, 2, 3, 4, 5, 6], "decode": [1, 2, 3, 4, 5, 6]}


def test_an_older_demo_is_replaced_file_by_file_and_other_files_stay(tmp_path: Path, tokenizer: Tokenizer) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("older")
    (out / "mine.txt").write_text("mine")
    run_demo(tokenizer, encode(tmp_path / "clip.mp4", scene(2, 16, 16)), out, Bars())
    assert names(out) == sorted([*FILES, "mine.txt"])
    assert json.loads((out / "report.json").read_text())["frames (T, H, W)"] == [2, 16, 16]


def refuse(*_: object) -> None:
    raise MediaError("the disk is full")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [refuse, interrupt])
@pytest.mark.parametrize("place", ["save_tokens", "side_by_side_frames", "write_image", "write_text"])
def test_a_demo_that_does_not_end_well_leaves_no_folder(
    tmp_path: Path,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    stop: Callable[..., None],
) -> None:
    clip = encode(tmp_path / "clip.mp4", scene(2, 16, 16))
    monkeypatch.setattr(demo, place, stop)
    with pytest.raises((MediaError, KeyboardInterrupt)):
        run_demo(tokenizer, clip, tmp_path / "out", Bars())
    assert names(tmp_path) == ["clip.mp4"]
