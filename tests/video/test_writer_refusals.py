"""What the writer refuses: each is one line, and nothing is left behind."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import InputError, MediaError
from magvit2.video import VideoWriter, write_image
from tests.video.making import names, scene, write


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"cannot write '\.avi' videos; expected \.mp4, \.mov, \.mkv"):
        VideoWriter(tmp_path / "clip.avi", fps=Fraction(25))
    with pytest.raises(MediaError, match=r"cannot write '\.tga' images; expected \.png"):
        write_image(tmp_path / "frame.tga", scene(1)[0])


def test_a_folder_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(MediaError, match="is a folder; expected the name of a file"):
        VideoWriter(tmp_path / "clip.mp4", fps=Fraction(25))


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match="its folder cannot be made"):
        VideoWriter(tmp_path / "file" / "clip.mp4", fps=Fraction(25))


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)
    with pytest.raises(MediaError, match="permission denied to write"):
        VideoWriter(tmp_path / "clip.mp4", fps=Fraction(25))


def test_what_the_encoder_refuses_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    too_wide = np.zeros((2, 20000, 3), dtype=np.uint8)
    with pytest.raises(MediaError, match="cannot be written") as caught:
        write(tmp_path / "wide.mp4", too_wide[None])
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_no_frame_is_refused(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected a uint8 RGB frame \[H, W, 3\]"):
        write_image(tmp_path / "frame.png", bad)
    with pytest.raises(InputError, match=r"expected a uint8 RGB frame \[H, W, 3\]"):
        write(tmp_path / "clip.mp4", bad[None])
    assert names(tmp_path) == []


def test_frames_are_taken_only_inside_the_with_block(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", fps=Fraction(25))
    with pytest.raises(InputError, match="outside the `with` block"):
        writer.write(scene(1)[0])
    with writer:
        writer.write(scene(1)[0])
    with pytest.raises(InputError, match="outside the `with` block"):
        writer.write(scene(1)[0])
    assert names(tmp_path) == ["a.mp4"]


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one size"):
        write(tmp_path / "a.mp4", [scene(1, 16, 16)[0], scene(1, 16, 18)[0]])


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ((0.0, 0.0), "rising times"),
        ((float("nan"), 0.0), "a number of seconds"),
        ((0.0, None), "every frame or for none"),
        ((None, 1.0), "every frame"),
    ],
)
def test_times_must_rise_and_be_given_always_or_never(
    tmp_path: Path, times_s: tuple[float | None, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path / "a.mp4", scene(2), times_s=times_s)


@pytest.mark.parametrize(
    ("fps", "crf"), [(Fraction(0), 18), (Fraction(-1), 18), (Fraction(25), 52), (Fraction(25), -1)]
)
def test_impossible_settings_are_refused(tmp_path: Path, fps: Fraction, crf: int) -> None:
    with pytest.raises(InputError, match="expected fps above 0 and crf from 0 to 51"):
        VideoWriter(tmp_path / "a.mp4", fps=fps, crf=crf)
