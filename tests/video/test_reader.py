"""Reading: every container gives its true frames, size, rate and times, from any frame on, one frame at a time."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magvit2.errors import InputError, MediaError
from magvit2.video import is_media, open_media, probe, read_clip, write_image
from magvit2.video.decoding import OpenVideo
from tests.video.making import encode, frame_numbers, psnr, scene

CONTAINERS = {
    "clip.mp4": {},
    "clip.mov": {},
    "clip.mkv": {},
    "clip.webm": {"codec": "libvpx-vp9", "options": {"crf": "10", "b": "0", "cpu-used": "8"}},
    "clip.avi": {"codec": "mpeg4", "options": {"b": "4000000"}},
    "clip.ts": {"muxer": "mpegts"},
    "clip.264": {"muxer": "h264"},
    "clip.h265": {"codec": "libx265", "muxer": "hevc", "options": {"x265-params": "log-level=none"}},
}
KEY_EVERY_8 = {"g": "8", "keyint_min": "8", "x264-params": "scenecut=0"}


def write_animation(path: Path, frames: np.ndarray, durations_ms: list[int] | int) -> Path:
    """An animated GIF or WebP, by its name."""
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=durations_ms, lossless=path.suffix == ".webp", loop=0
    )
    return path


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_gives_all_frames_in_order(tmp_path: Path, name: str) -> None:
    frames = scene(30)
    clip, info = read_clip(encode(tmp_path / name, frames, **CONTAINERS[name]))
    assert frame_numbers(clip) == list(range(30))
    assert psnr(clip, frames) > 30
    assert (info.kind, info.width, info.height, info.fps) == ("video", 64, 48, 25)
    assert info.num_frames in (30, None)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.gif"])
def test_containers_with_tables_know_the_number_of_frames(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "clip.gif":
        write_animation(path, scene(30), 40)
    else:
        encode(path, scene(30), **CONTAINERS[name])
    assert probe(path).num_frames == 30


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(12)])
def test_a_raw_stream_says_its_rate_itself(tmp_path: Path, fps: Fraction) -> None:
    path = encode(tmp_path / "raw.264", scene(3), muxer="h264", fps=fps)
    with open_media(path) as reader:
        assert reader.info.fps == fps
        assert len(list(reader)) == 3
        assert reader.times_s == (0, 1 / fps, 2 / fps)


@pytest.mark.parametrize(("start", "num_frames"), [(0, 5), (3, 4), (17, 9), (24, 1), (39, 5), (8, None), (39, None)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.264", "clip.avi"])
def test_a_clip_from_the_middle_is_the_same_as_that_part_of_the_whole(
    tmp_path: Path, name: str, start: int, num_frames: int | None
) -> None:
    options = {"g": "8"} if name == "clip.avi" else KEY_EVERY_8
    path = encode(tmp_path / name, scene(40), **{**CONTAINERS[name], "options": options})
    whole, _ = read_clip(path)
    part, _ = read_clip(path, start=start, num_frames=num_frames)
    np.testing.assert_array_equal(part, whole[start : None if num_frames is None else start + num_frames])


@pytest.mark.parametrize("open_gop", ["0", "1"])
def test_seeking_is_exact_at_every_frame_with_b_frames(tmp_path: Path, open_gop: str) -> None:
    options = {"g": "8", "x264-params": f"scenecut=0:bframes=3:open-gop={open_gop}"}
    path = encode(tmp_path / "clip.mp4", scene(40), options=options)
    whole, _ = read_clip(path)
    for start in range(40):
        with open_media(path, start=start, num_frames=3) as reader:
            np.testing.assert_array_equal(np.stack(list(reader)), whole[start : start + 3])
            assert reader.times_s[0] == Fraction(start, 25)


def test_seeking_does_not_decode_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "clip.mp4", scene(40), options=KEY_EVERY_8)
    monkeypatch.setattr("magvit2.video.video_source.timed_frames", lambda _video: iter(()))
    assert frame_numbers(read_clip(path, start=30, num_frames=2)[0]) == [30, 31]


def test_where_seeking_fails_the_file_is_decoded_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "clip.mp4", scene(40), options=KEY_EVERY_8)
    monkeypatch.setattr("magvit2.video.video_source.timed_frames_from", lambda _video, _start: iter(()))
    assert frame_numbers(read_clip(path, start=30, num_frames=2)[0]) == [30, 31]


def test_a_regular_mp4_is_sought_and_an_irregular_one_is_not(tmp_path: Path) -> None:
    regular = OpenVideo(encode(tmp_path / "regular.mp4", scene(40), options=KEY_EVERY_8))
    ticks = [40 * n + 20 * (n % 2) for n in range(40)]
    irregular = OpenVideo(
        encode(tmp_path / "irregular.mp4", scene(40), options=KEY_EVERY_8, times=ticks, time_base=Fraction(1, 1000))
    )
    assert regular.timing.first_seek_target == 8
    assert irregular.timing.first_seek_target is None
    regular.close()
    irregular.close()


def test_an_irregular_mp4_still_gives_exact_parts(tmp_path: Path) -> None:
    ticks = [40 * n + 20 * (n % 2) for n in range(40)]
    path = encode(tmp_path / "vfr.mp4", scene(40), options=KEY_EVERY_8, times=ticks, time_base=Fraction(1, 1000))
    assert probe(path).is_variable_rate
    with open_media(path, start=21, num_frames=3) as reader:
        assert frame_numbers(np.stack(list(reader))) == [21, 22, 23]
        assert reader.times_s == tuple(Fraction(tick, 1000) for tick in ticks[21:24])


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv", "vfr.webm"])
def test_variable_rate_is_seen_and_true_times_are_kept(tmp_path: Path, name: str) -> None:
    ticks = [0, 30, 60, 500, 510, 900]
    settings = {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}} if name == "vfr.webm" else {}
    path = encode(tmp_path / name, scene(6), times=ticks, time_base=Fraction(1, 1000), **settings)
    with open_media(path) as reader:
        assert reader.info.is_variable_rate
        assert frame_numbers(np.stack(list(reader))) == list(range(6))
        assert reader.times_s == tuple(Fraction(tick, 1000) for tick in ticks)


def test_a_variable_rate_is_told_as_its_average(tmp_path: Path) -> None:
    ticks = [40 * n + 20 * (n % 2) for n in range(40)]
    for name in ("vfr.mp4", "vfr.mkv"):
        path = encode(tmp_path / name, scene(40), fps=Fraction(60), times=ticks, time_base=Fraction(1, 1000))
        assert probe(path).fps == pytest.approx(25, rel=0.04)


def test_a_coarse_clock_is_not_a_variable_rate(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", scene(30), fps=Fraction(30000, 1001))  # milliseconds: 33, 34, 33 ...
    assert not probe(path).is_variable_rate


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_keep_frames_and_durations(tmp_path: Path, name: str) -> None:
    path = write_animation(tmp_path / name, scene(4), [40, 100, 40, 500])
    with open_media(path) as reader:
        assert (reader.info.kind, reader.info.num_frames, reader.info.is_variable_rate) == ("video", 4, True)
        assert reader.info.fps == Fraction(4000, 680)
        assert frame_numbers(np.stack(list(reader))) == [0, 1, 2, 3]
        assert reader.times_s == (0, Fraction(40, 1000), Fraction(140, 1000), Fraction(180, 1000))
    assert frame_numbers(read_clip(path, start=2)[0]) == [2, 3]


def test_a_folder_of_frames_is_sorted_like_people_count(tmp_path: Path) -> None:
    frames = scene(12)
    for number, frame in enumerate(frames):
        write_image(tmp_path / f"frame{number}.png", frame)
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.png").write_text("not a frame either")
    with open_media(tmp_path, start=1, num_frames=10, frames_fps=Fraction(10)) as reader:
        assert (reader.info.kind, reader.info.num_frames, reader.info.fps) == ("frames", 12, 10)
        np.testing.assert_array_equal(np.stack(list(reader)), frames[1:11])
        assert reader.times_s == tuple(Fraction(n, 10) for n in range(1, 11))


def test_an_image_is_one_frame(tmp_path: Path) -> None:
    frame = scene(1)[0]
    write_image(tmp_path / "image.png", frame)
    clip, info = read_clip(tmp_path / "image.png")
    np.testing.assert_array_equal(clip, frame[None])
    assert (info.kind, info.num_frames, info.fps, info.is_variable_rate) == ("image", 1, None, False)


@pytest.mark.parametrize("kind", ["clip.mp4", "clip.mkv", "a.gif", "a.webp", "frames", "image.png"])
def test_asking_for_a_frame_behind_the_end_names_the_last(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "frames":
        path.mkdir()
        write_image(path / "0.png", scene(1)[0])
    elif kind == "image.png":
        write_image(path, scene(1)[0])
    elif kind in CONTAINERS:
        encode(path, scene(3), **CONTAINERS[kind])
    else:
        write_animation(path, scene(3), 40)
    last = 0 if kind in ("frames", "image.png") else 2
    with pytest.raises(MediaError, match=f"frame 3 was asked for; the last one is frame {last}$"):
        read_clip(path, start=3)


def test_fewer_frames_than_asked_for_are_given_where_a_whole_file_ends(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", scene(5))
    assert len(read_clip(path, start=3, num_frames=10)[0]) == 2
    assert read_clip(path, num_frames=0)[0].shape == (0, 48, 64, 3)


@pytest.mark.parametrize("wrong", [{"start": -1}, {"num_frames": -1}])
def test_negative_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected 0 or more"):
        open_media(encode(tmp_path / "clip.mp4", scene(1)), **wrong)


def test_a_reader_gives_each_frame_once(tmp_path: Path) -> None:
    with open_media(encode(tmp_path / "clip.mp4", scene(4))) as reader:
        first = next(reader)
        assert len(reader.times_s) == 1
        assert frame_numbers(np.stack([first, *reader])) == [0, 1, 2, 3]
        assert list(reader) == []


def test_a_closed_reader_gives_no_more_frames(tmp_path: Path) -> None:
    reader = open_media(encode(tmp_path / "clip.mp4", scene(4)))
    frame = next(reader)
    reader.close()
    assert list(reader) == []
    assert frame_numbers(frame[None]) == [0]


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", scene(200, 96, 96), options={"preset": "ultrafast"})
    tracemalloc.start()
    with open_media(path) as reader:
        num_frames = sum(1 for _ in reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_frames == 200
    assert peak < 20 * 96 * 96 * 3  # a tenth of the whole clip


def test_anamorphic_pixels_stay_as_stored(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", scene(2), options={"x264-params": "sar=2"})
    assert read_clip(path)[0].shape == (2, 48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "A.MP4", "b.JPEG", "c.264", "d.gif", "e.webm", "f/g.png"])
def test_media_are_known_by_their_ending(name: str) -> None:
    assert is_media(name)
    assert is_media(Path(name))


@pytest.mark.parametrize("name", ["a.txt", "mp4", "a.mgv", "a.safetensors", "folder", ".mp4", "a.mp4.partial"])
def test_other_names_are_not_media(name: str) -> None:
    assert not is_media(name)
