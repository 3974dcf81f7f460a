"""Frames of items: what is read, cut and scaled is what was asked for, and chance comes from the generator alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.frames import count_frames, random_clip, random_square, read_item, resize, to_clip, to_frames
from magvit2.data.items import MediaItem, find_items
from magvit2.errors import MediaError
from magvit2.video import write_image
from tests.data.making import grey_frames, make_source, write_strip, write_video


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MediaItem]:
    """One item of every kind: a video of 6 frames, a strip of 5, an image, an image in a tar file."""
    video, image, strip, member, _ = find_items(make_source(tmp_path_factory.mktemp("source")))
    return {"video": video, "image": image, "strip": strip, "member": member}


def levels(frames: np.ndarray) -> list[int]:
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("video", (16, 24, 3), [10, 11, 12, 13, 14, 15]),
        ("strip", (12, 12, 3), [40, 41, 42, 43, 44]),
        ("image", (20, 30, 3), [30]),
        ("member", (16, 24, 3), [60]),
    ],
)
def test_every_kind_of_item_is_read_from_where_it_is_asked(
    items: dict[str, MediaItem], kind: str, shape: tuple[int, ...], expected: list[int]
) -> None:
    frames = read_item(items[kind])
    assert frames.dtype == np.uint8 and frames.shape[1:] == shape
    assert levels(frames) == expected
    assert levels(read_item(items[kind], 0, 1)) == expected[:1]
    if len(expected) > 1:
        assert levels(read_item(items[kind], 2, 2)) == expected[2:4]
        assert levels(read_item(items[kind], 3, 100)) == expected[3:]


def test_frames_are_counted_by_the_index_and_without_one_by_the_file(items: dict[str, MediaItem]) -> None:
    for kind, count in (("video", 6), ("strip", 5), ("image", 1), ("member", 1)):
        item = items[kind]
        assert count_frames(item) == count
        assert count_frames(MediaItem(item.path, item.kind, item.group, member=item.member)) == count
    assert count_frames(MediaItem(items["video"].path, "video", "", num_frames=4)) == 4


def test_a_strip_whose_frames_are_not_square_is_one_line(tmp_path: Path) -> None:
    write_image(tmp_path / "s.png", np.zeros((8, 20, 3), np.uint8))
    with pytest.raises(MediaError, match="20 x 8 is no strip") as error:
        read_item(MediaItem(tmp_path / "s.png", "strip", ""))
    assert "\n" not in str(error.value)


def test_a_random_clip_is_consecutive_frames_from_anywhere(items: dict[str, MediaItem]) -> None:
    starts = set()
    for seed in range(40):
        clip = random_clip(items["video"], 4, 8, np.random.default_rng(seed))
        assert clip.shape == (4, 8, 8, 3)
        first = levels(clip)[0]
        assert levels(clip) == [first, first + 1, first + 2, first + 3]
        starts.add(first)
    assert starts == {10, 11, 12}


def test_a_clip_that_is_too_short_repeats_its_last_frame(items: dict[str, MediaItem]) -> None:
    assert levels(random_clip(items["strip"], 9, 8, np.random.default_rng(0))) == [40, 41, 42, 43, 44, 44, 44, 44, 44]
    assert levels(random_clip(items["image"], 3, 8, np.random.default_rng(0))) == [30, 30, 30]


def test_squares_lie_inside_every_frame_at_the_same_place_and_half_are_mirrored() -> None:
    y, x = np.mgrid[0:20, 0:30]
    frame = np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)
    frames = np.stack([frame, frame])
    num_mirrored = num_cut = 0
    for seed in range(200):
        square = random_square(frames, 8, np.random.default_rng(seed))
        assert square.shape == (2, 8, 8, 3) and (square[0] == square[1]).all()
        rows, columns = square[0, :, 0, 0].astype(int), square[0, 0, :, 1].astype(int)
        assert rows[0] >= 0 and rows[-1] <= 19 and columns.max() <= 29
        assert (np.diff(rows) > 0).all() and (abs(np.diff(columns)) > 0).all()
        num_mirrored += columns[0] > columns[-1]
        num_cut += (np.diff(rows) == 1).all()  # at its own scale
    assert 70 < num_mirrored < 130
    assert 80 < num_cut < 160


def test_frames_smaller_than_the_square_are_scaled_up() -> None:
    square = random_square(grey_frames(2, 7, 4, 6), 16, np.random.default_rng(0))
    assert square.shape == (2, 16, 16, 3) and levels(square) == [7, 8]


def test_the_same_generator_gives_the_same_clip(items: dict[str, MediaItem]) -> None:
    clips = [random_clip(items["video"], 3, 8, np.random.default_rng(5)) for _ in range(2)]
    assert (clips[0] == clips[1]).all()


def test_scaling_down_averages_and_scaling_to_the_same_size_does_nothing() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert (resize(frames, 8, 8) == frames).all()
    checkers = np.indices((1, 32, 32, 3)).sum(axis=0)[..., :1].repeat(3, axis=-1) % 2 * 200
    small = resize(checkers.astype(np.uint8), 8, 8)
    assert small.shape == (1, 8, 8, 3) and abs(small.astype(int) - 100).max() <= 3


def test_clips_and_frames_are_inverse_for_every_level() -> None:
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1).repeat(2, axis=0)
    frames[1, ..., 1] = 255 - frames[1, ..., 1]
    clip = to_clip(frames)
    assert clip.shape == (1, 3, 2, 16, 16) and clip.dtype == torch.float32
    assert clip.min() == -1 and clip.max() == 1
    assert (to_frames(clip[0]) == frames).all()
    assert (to_frames(clip[0].transpose(2, 3).contiguous().transpose(2, 3)) == frames).all()


def test_values_beyond_the_range_saturate() -> None:
    clip = torch.tensor([-1.5, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 1, 5)
    assert to_frames(clip)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_video_whose_length_nobody_knows_is_counted_once(
    items: dict[str, MediaItem], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "new.mkv", grey_frames(3, 0))
    item = MediaItem(path, "video", "")
    assert count_frames(item) == 3
    monkeypatch.setattr("magvit2.data.frames.probe", lambda _: pytest.fail("looked twice"))
    assert count_frames(item) == 3


def test_strips_written_here_are_what_the_reader_expects(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    assert (read_item(MediaItem(write_strip(tmp_path / "s.png", frames), "strip", "")) == frames).all()
