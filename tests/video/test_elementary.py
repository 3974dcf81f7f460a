"""Elementary streams: four codecs there and back, what their bytes hold, sizes they refuse, the same bytes again."""

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import InputError, MediaError, MissingDependencyError
from magvit2.metrics import psnr
from magvit2.video.elementary import SVT_AV1, VIDEO_CODECS, VVENC, X264, X265, Pass, VideoCodec
from magvit2.video.yuv import to_rgb, to_yuv420
from tests.video.making import frame_numbers, scene

FPS = Fraction(25)
CODECS = list(VIDEO_CODECS.values())
IDS = list(VIDEO_CODECS)
GOOD = {"x264": 18, "x265": 18, "svtav1": 20, "vvenc": 22}


def mean_psnr(frames: np.ndarray, decoded: np.ndarray) -> float:
    return float(np.mean([psnr(a, b) for a, b in zip(frames, decoded, strict=True)]))


def there_and_back(codec: VideoCodec, frames: np.ndarray, quality: float) -> tuple[np.ndarray, int]:
    clip = to_yuv420(frames)
    stream = codec.encode(clip, FPS, quality)
    return to_rgb(codec.decode(stream), clip), len(stream)


def unit_types(stream: bytes, codec: VideoCodec) -> list[int]:
    """Types of the NAL units of an Annex B stream."""
    heads = [stream[match.end() : match.end() + 2] for match in re.finditer(b"\x00\x00\x01", stream)]
    shift = {"x264": lambda h: h[0] & 31, "x265": lambda h: h[0] >> 1 & 63, "vvenc": lambda h: h[1] >> 3}[codec.name]
    return [shift(head) for head in heads]


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
def test_frames_come_back_in_order_and_in_their_colours(codec: VideoCodec) -> None:
    frames = scene(11, 48, 64)
    decoded, num_bytes = there_and_back(codec, frames, GOOD[codec.name])
    assert decoded.shape == frames.shape
    assert frame_numbers(decoded) == list(range(11))
    assert mean_psnr(frames, decoded) > 30
    assert np.abs(decoded.astype(int) - frames).mean(axis=(0, 1, 2)).max() < 4  # no channel is off
    assert num_bytes < frames.size / 8


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
@pytest.mark.parametrize("size", [(1, 33, 47), (2, 25, 64)])
def test_odd_sizes_and_single_frames_keep_their_shape(codec: VideoCodec, size: tuple[int, int, int]) -> None:
    decoded, _ = there_and_back(codec, scene(*size), GOOD[codec.name])
    assert decoded.shape == (*size, 3)


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
def test_finer_settings_take_more_bytes_and_give_better_frames(codec: VideoCodec) -> None:
    frames = scene(5, 48, 64)
    results = [there_and_back(codec, frames, quality) for quality in (50, 35, 20)]
    sizes = [num_bytes for _, num_bytes in results]
    quality = [mean_psnr(frames, decoded) for decoded, _ in results]
    assert sizes == sorted(sizes) and quality == sorted(quality)
    assert codec.qualities[0] > codec.qualities[-1] == 1


@pytest.mark.parametrize("codec", [X264, X265, VVENC], ids=["x264", "x265", "vvenc"])
def test_streams_have_no_messages_and_no_delimiters_but_parameter_sets_once(codec: VideoCodec) -> None:
    stream = codec.encode(to_yuv420(scene(6, 48, 64)), FPS, 30)
    unwanted, sequence_sets = {"x264": ({6, 9}, 7), "x265": ({35, 39, 40}, 33), "vvenc": ({20, 23, 24}, 15)}[codec.name]
    types = unit_types(stream, codec)
    assert stream.startswith(b"\x00\x00\x00\x01")
    assert not unwanted & set(types)
    assert types.count(sequence_sets) == 1


def test_what_the_filter_takes_out_of_an_h264_stream_is_what_x264_says_about_itself() -> None:
    clip = to_yuv420(scene(2, 48, 64))
    settings = b"x264 - core"
    whole = X264.run(clip, FPS, Pass(quality=30))
    clean = X264.encode(clip, FPS, 30)
    assert settings in whole and settings not in clean
    assert 600 < len(whole) - len(clean) < 750


def test_one_key_frame_begins_a_clip_of_60_frames_and_there_is_no_other() -> None:
    stream = X264.encode(to_yuv420(np.repeat(scene(1, 48, 64), 60, axis=0)), FPS, 30)
    assert unit_types(stream, X264).count(5) == 1


@pytest.mark.parametrize("codec", [X264, X265, SVT_AV1], ids=["x264", "x265", "svtav1"])
def test_streams_are_tagged_with_their_matrix_and_range(codec: VideoCodec) -> None:
    for height, matrix in ((64, 6), (720, 1)):
        (frame, *_) = codec.decode(codec.encode(to_yuv420(scene(1, height, 64)), FPS, 40))
        assert (int(frame.colorspace), int(frame.color_range)) == (matrix, 1)


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
def test_the_same_clip_gives_the_same_bytes_whatever_was_coded_before(codec: VideoCodec) -> None:
    """120 lines are no whole number of macroblocks: x264's AVX-512 code then reads memory that nobody wrote."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 50, 94, 3), dtype=np.uint8)
    clip, streams = to_yuv420(scene(5, 120, 160)), set()
    for round_ in range(3):
        streams.add(codec.encode(clip, FPS, 30))
        X264.encode(to_yuv420(noise), FPS, 20 + round_)
    assert len(streams) == 1


# Codes one clip again and again, others in between, which leave their memory behind, and prints how many streams came.
REPEAT = """
import sys
from fractions import Fraction
from pathlib import Path
from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.video.elementary import X264, X265
from magvit2.video.yuv import to_yuv420

firsts = {item.group: item for item in reversed(find_items(Path(sys.argv[1]), "val")) if item.is_clip}
clips = {group: to_yuv420(read_item(item, 0, 17)) for group, item in firsts.items()}
streams = {"x264": set(), "x265": set()}
for number in range(30):
    X264.encode(clips[("arid6_160", "cctv_144")[number % 2]], Fraction(30), 28 + number % 5)
    for codec in (X264, X265):
        streams[codec.name].add(codec.encode(clips["weizmann4_64"], Fraction(30), 40))
print(*map(len, streams.values()))
"""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc fills memory that x265 reads without writing it")
def test_a_real_clip_gives_the_same_bytes_thirty_times(data_dir: Path) -> None:
    done = subprocess.run([sys.executable, "-c", REPEAT, data_dir], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"


@pytest.mark.parametrize("codec", [X264, X265, VVENC], ids=["x264", "x265", "vvenc"])
def test_two_passes_come_near_a_bit_rate_that_is_not_tiny(codec: VideoCodec) -> None:
    rng = np.random.default_rng(0)
    frames = np.clip(scene(25, 48, 64) + rng.normal(0, 8, (25, 48, 64, 3)), 0, 255).astype(np.uint8)
    clip = to_yuv420(frames)
    sizes = [len(codec.encode_in_two_passes(clip, FPS, rate)) for rate in (100_000, 200_000)]
    assert sizes[0] == pytest.approx(12_500, rel=0.5)
    assert sizes[1] == pytest.approx(25_000, rel=0.5)
    assert mean_psnr(frames, to_rgb(codec.decode(codec.encode_in_two_passes(clip, FPS, 200_000)), clip)) > 25


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
def test_frames_that_are_too_small_are_refused_in_one_line(codec: VideoCodec) -> None:
    smallest, below = codec.min_side, codec.min_side - 2
    assert there_and_back(codec, scene(2, smallest, smallest), 40)[0].shape == (2, smallest, smallest, 3)
    if below > 0:
        with pytest.raises(
            InputError, match=rf"{codec.name} codes sides of {smallest} pixels or more; got {below} x 64"
        ):
            codec.encode(to_yuv420(scene(2, below, 64)), FPS, 40)


def test_a_rate_that_x264_cannot_reach_is_one_line() -> None:
    with pytest.raises(MediaError, match="x264: 64 x 64 frames cannot be encoded"):
        X264.encode_in_two_passes(to_yuv420(scene(17, 64, 64)), FPS, 100)


def test_bytes_that_are_no_stream_are_one_line() -> None:
    with pytest.raises(MediaError, match="svtav1: its stream cannot be decoded"):
        SVT_AV1.decode(b"\x12\x00\x0a\xff\xff\xff\xff\xff" * 9)


def test_svtav1_writes_nothing_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    SVT_AV1.encode(to_yuv420(scene(2, 64, 64)), FPS, 40)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only there SVT-AV1 asks for real-time priority")
def test_svtav1_leaves_the_process_s_priority_as_it_was() -> None:
    before = os.sched_getscheduler(0)
    SVT_AV1.encode(to_yuv420(scene(3)), Fraction(25), 40)
    assert os.sched_getscheduler(0) == before


def test_vvenc_without_imageio_ffmpeg_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    expected = r"^VVenC and VMAF need imageio-ffmpeg: pip install 'magvit2\[codecs\]'$"
    with pytest.raises(MissingDependencyError, match=expected):
        VVENC.encode(to_yuv420(scene(1)), FPS, 40)
