"""Writing: what was written comes back at its size, rate and colour; a file is whole or not there."""

import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import MediaError
from magvit2.video import VideoWriter, open_media, probe, read_clip, read_image
from tests.video.making import names, psnr, scene, write

PRIMARIES = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "skin": (220, 170, 140),
}


def interrupted() -> Iterator[np.ndarray]:
    """A source of frames that is stopped by the user after the first."""
    yield scene(1)[0]
    raise KeyboardInterrupt


def noise(num_frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv"])
def test_a_written_video_comes_back_looking_the_same(tmp_path: Path, name: str) -> None:
    frames = scene(6)
    clip, info = read_clip(write(tmp_path / name, frames))
    assert clip.shape == frames.shape
    assert psnr(clip, frames) > 36
    assert (info.fps, info.codec, info.pixel_format, info.colour_matrix, info.colour_range) == (
        Fraction(25), "h264", "yuv420p", "bt709", "limited",
    )  # fmt: skip


@pytest.mark.parametrize("colour", PRIMARIES)
@pytest.mark.parametrize("size", [(16, 16), (15, 17)])
def test_pure_colours_survive_the_trip_through_h264(tmp_path: Path, colour: str, size: tuple[int, int]) -> None:
    frames = np.full((2, *size, 3), PRIMARIES[colour], dtype=np.uint8)
    clip, _ = read_clip(write(tmp_path / "colour.mp4", frames))
    assert np.abs(clip.astype(int) - frames).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (17, 31), (48, 33)])
@pytest.mark.parametrize("lossless", [False, True])
def test_every_size_comes_back_true(tmp_path: Path, size: tuple[int, int], lossless: bool) -> None:
    frames = scene(2, *size)
    clip, info = read_clip(write(tmp_path / "odd.mp4", frames, lossless=lossless))
    assert clip.shape == frames.shape
    assert (info.height, info.width, info.num_frames) == (*size, 2)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv", "frames"])
@pytest.mark.parametrize("size", [(32, 48), (17, 31)])
def test_lossless_means_the_same_pixels(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    frames = noise(4, *size)
    clip, _ = read_clip(write(tmp_path / name, frames, lossless=True))
    np.testing.assert_array_equal(clip, frames)


def test_a_lower_crf_is_closer_to_the_original(tmp_path: Path) -> None:
    frames = scene(5)
    fine, _ = read_clip(write(tmp_path / "fine.mp4", frames, crf=10))
    coarse, _ = read_clip(write(tmp_path / "coarse.mp4", frames, crf=40))
    assert psnr(fine, frames) > psnr(coarse, frames) + 3


@pytest.mark.parametrize(
    "fps", [Fraction(25), Fraction(30000, 1001), Fraction(12), Fraction(1), Fraction(120), Fraction(7, 3)]
)
def test_the_frame_rate_comes_back_exactly(tmp_path: Path, fps: Fraction) -> None:
    path = write(tmp_path / "rate.mp4", scene(3), fps=fps)
    with open_media(path) as reader:
        assert reader.info.fps == fps
        assert len(list(reader)) == 3
        assert reader.times_s == (0, 1 / fps, 2 / fps)
        assert not reader.info.is_variable_rate


@pytest.mark.parametrize(("name", "clock"), [("vfr.mp4", Fraction(1, 90000)), ("vfr.mkv", Fraction(1, 1000))])
def test_given_times_are_kept_to_the_container_s_clock(tmp_path: Path, name: str, clock: Fraction) -> None:
    times_s = [
        Fraction(5) + offset for offset in (Fraction(0), Fraction(1, 30), Fraction(1, 2), Fraction(8, 15), Fraction(2))
    ]
    write(tmp_path / name, scene(5), times_s=times_s)
    with open_media(tmp_path / name) as reader:
        assert reader.info.is_variable_rate
        assert len(list(reader)) == 5
        for read_s, time_s in zip(reader.times_s, times_s, strict=True):
            assert abs(read_s - (time_s - times_s[0])) <= clock


def test_the_index_stands_in_front_so_that_browsers_can_start_early(tmp_path: Path) -> None:
    data = write(tmp_path / "web.mp4", scene(3)).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_path_without_suffix_becomes_a_folder_of_numbered_png_files(tmp_path: Path) -> None:
    frames = scene(3)
    write(tmp_path / "new" / "frames", frames)
    assert names(tmp_path / "new" / "frames") == ["000000.png", "000001.png", "000002.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "frames" / "000001.png"), frames[1])


def test_an_empty_folder_may_be_written_into_and_a_filled_one_may_not(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    write(tmp_path / "frames", scene(2))
    with pytest.raises(MediaError, match="exists already; expected a new name or an empty folder"):
        VideoWriter(tmp_path / "frames", fps=Fraction(25))
    assert len(names(tmp_path / "frames")) == 2


def test_a_finished_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    write(path, scene(3))
    assert probe(path).num_frames == 3
    assert names(tmp_path) == ["clip.mp4"]


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    path = write(tmp_path / "clip.mp4", scene(1))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "frames"])
def test_an_exception_on_the_way_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, name: str) -> None:
    if name != "frames":
        (tmp_path / name).write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, interrupted())
    assert names(tmp_path) == before
    assert name == "frames" or (tmp_path / name).read_bytes() == b"old"


@pytest.mark.parametrize("name", ["clip.mp4", "frames"])
def test_no_frames_is_an_error_and_makes_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError, match="no frames were written"), VideoWriter(tmp_path / name, fps=Fraction(25)):
        pass
    assert names(tmp_path) == []
