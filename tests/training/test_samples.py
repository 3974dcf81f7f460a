"""Samples: soon after the start and at their intervals, moving where clips move."""

from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.frames import to_frames
from magvit2.errors import MissingDependencyError
from magvit2.training import journal as journals
from magvit2.training.journal import Journal
from magvit2.training.samples import is_sampled, moving_sheet
from magvit2.video import probe, read_clip


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (500, [1, 50, 100, 200, 400, 500, 1000, 1500]),
        (400, [1, 50, 100, 200, 400, 800, 1200]),
        (30, [1, *range(30, 1501, 30)]),
        (1000, [1, 50, 100, 200, 400, 800, 1000]),
        (1, list(range(1, 1501))),
    ],
)
def test_samples_come_early_and_then_at_their_interval(every: int, expected: list[int]) -> None:
    assert [count for count in range(1, 1501) if is_sampled(count, every)] == expected


def random_pair(num_frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Two clips and what became of them, smooth so that a video codec keeps them."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(4, 3, num_frames, 2, 2, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(small, (num_frames, height, width), mode="trilinear").unflatten(0, (2, 2))


def test_a_video_shows_the_originals_above_the_reconstructions_again_and_again(tmp_path: Path) -> None:
    originals, decoded = random_pair(9)
    Journal(tmp_path, 0, 10).samples(49, "video", originals, decoded)
    path = tmp_path / "samples" / "step-00000050.mp4"
    found = probe(path)
    assert (found.fps, found.width, found.height, found.num_frames) == (8, 2 * 48, 2 * 32, 27)
    frames, _ = read_clip(path)
    for number, frame in enumerate(frames):
        for clip in range(2):
            left = 48 * clip
            top, bottom = frame[:32, left : left + 48], frame[32:, left : left + 48]
            for shown, clips in ((top, originals), (bottom, decoded)):
                expected = to_frames(clips[clip])[number % 9]
                assert np.abs(shown.astype(int) - expected).mean() < 4


def test_images_have_a_picture_and_no_video(tmp_path: Path) -> None:
    originals, decoded = random_pair(1)
    Journal(tmp_path, 0, 10).samples(0, "image", originals, decoded)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-00000001.png"]


def test_without_pyav_there_are_pictures_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> None:
        raise MissingDependencyError("video needs PyAV")

    monkeypatch.setattr(journals, "write_video", missing)
    made = Journal(tmp_path, 0, 10)
    for step in range(3):
        made.samples(step, "video", *random_pair(5))
    assert {path.suffix for path in (tmp_path / "samples").iterdir()} == {".png"}
    assert capsys.readouterr().err == "step 0: no videos in samples (video needs PyAV)\n"


def test_what_lies_beyond_the_range_is_shown_at_its_end() -> None:
    sheet = moving_sheet(torch.zeros(1, 3, 1, 1, 1), torch.full((1, 3, 1, 1, 1), 2.0))
    assert sheet[0, :, 0].tolist() == [[128] * 3, [255] * 3]
