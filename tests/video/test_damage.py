"""Bad input: each is one line that says what was given, what was expected and what to do; nothing is given silently."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from magvit2.errors import MediaError
from magvit2.video import open_media, probe, read_clip, write_image
from tests.video.making import encode, frame_numbers, names, scene
from tests.video.test_reader import write_animation


def noisy(num_frames: int) -> np.ndarray:
    """Frames whose bytes are spread evenly through a file."""
    return np.random.default_rng(0).integers(0, 256, (num_frames, 32, 48, 3), dtype=np.uint8)


def cut(path: Path, fraction: float) -> Path:
    """A copy of a file that ends too early."""
    part = path.with_name(f"cut{path.suffix}")
    part.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    return part


def message_of(path: Path, **how: int) -> str:
    """The one line that reading a whole bad medium ends in."""
    with pytest.raises(MediaError) as caught:
        read_clip(path, **how)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return text


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file or folder" in message_of(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["empty.mp4", "empty.png", "empty.264", "empty"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert "empty (0 bytes); expected a video or an image" in message_of(tmp_path / name)


@pytest.mark.parametrize("name", ["text.mp4", "text.mkv", "text.264", "text.gif", "text.txt", "text"])
def test_a_text_that_is_called_a_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("This is no video at all.\n" * 50)
    assert "not a video that can be read; expected MP4" in message_of(tmp_path / name)


def test_a_file_that_is_no_file() -> None:
    assert "neither a file nor a folder" in message_of(Path("/dev/null"))


def test_a_playlist_that_is_called_a_video_reaches_no_network(tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://localhost:9/a.ts\n")
    assert "not a video that can be read" in message_of(tmp_path / "list.mp4")


def test_an_image_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    assert "not an image that can be read; expected PNG" in message_of(tmp_path / "text.png")


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert "no images in this folder; expected frames such as 000000.png" in message_of(tmp_path)


def test_a_folder_with_frames_of_two_sizes(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", scene(1, 16, 16)[0])
    write_image(tmp_path / "1.png", scene(1, 16, 24)[0])
    with pytest.raises(MediaError, match=r"1\.png: is 24x16, but 0\.png is 16x16; expected frames of one size"):
        read_clip(tmp_path)


def test_a_folder_with_a_broken_frame_names_it(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", scene(1, 16, 16)[0])
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(MediaError, match=r"1\.png: not an image"):
        read_clip(tmp_path)


@pytest.mark.parametrize("name", ["secret.mp4", "secret.png", "folder"])
def test_no_permission(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"x") if "." in name else (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)
    assert "permission denied" in message_of(tmp_path / name)


def test_a_file_that_refuses_to_open_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "clip.mp4", scene(1))

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)
    assert "permission denied; make it readable" in message_of(path)


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "holds no video" in message_of(path)


def test_a_video_whose_codec_is_unknown(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", scene(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))
    assert "no video that can be decoded (sound, an unknown codec, nothing)" in message_of(path)


@pytest.mark.parametrize("name", ["none.mkv", "none.mp4", "none.avi"])
def test_a_video_without_frames(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert re.search("expected .*at least one", message_of(tmp_path / name))


def test_an_mp4_whose_index_is_missing(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "clip.mp4", noisy(10)), 0.6)
    assert "an MP4 without its index (moov): cut short or never finished" in message_of(path)


@pytest.mark.parametrize("fraction", [0.4, 0.7, 0.95, 0.999])
@pytest.mark.parametrize("start", [0, 25])
def test_a_cut_mp4_says_how_many_of_its_frames_can_be_read(tmp_path: Path, fraction: float, start: int) -> None:
    options = {"g": "10", "tune": "zerolatency"}
    path = cut(encode(tmp_path / "clip.mp4", noisy(40), options=options, faststart=True), fraction)
    num_whole = whole_frames_in(path)
    assert 0 < num_whole < 40
    message = message_of(path, start=start)
    assert f"cut short: only {num_whole} of 40 frames can be read; copy or download it again" in message
    assert len(read_clip(path, num_frames=num_whole)[0]) == num_whole


def whole_frames_in(path: Path) -> int:
    """The number of frames of a cut file that are stored to their last byte."""
    with av.open(str(path)) as container:
        entries = container.streams.video[0].index_entries
        return sum(entry.pos + entry.size <= path.stat().st_size for entry in entries)


def test_all_whole_frames_of_a_cut_file_are_given_before_the_error(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "clip.mp4", scene(40), options={"bf": "0"}, faststart=True), 0.8)
    numbers = frame_numbers(np.stack(frames_until_error(path)))
    assert 0 < len(numbers) == whole_frames_in(path) < 40
    assert numbers == list(range(len(numbers)))


def test_frames_stored_out_of_order_are_given_in_order_before_the_error(tmp_path: Path) -> None:
    """The cut may take a frame between two that are whole: where it falls is the encoder's choice."""
    path = cut(encode(tmp_path / "clip.mp4", scene(40), options={"bf": "3"}, faststart=True), 0.8)
    numbers = frame_numbers(np.stack(frames_until_error(path)))
    assert 0 < len(numbers) == whole_frames_in(path) < 40
    assert numbers == sorted(set(numbers))
    assert max(numbers) <= len(numbers) + 3


def frames_until_error(path: Path) -> list[np.ndarray]:
    frames = []
    with open_media(path) as reader, contextlib.suppress(MediaError):
        for frame in reader:
            frames.append(frame)  # noqa: PERF402  (what came before the error must be kept)
    return frames


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip.mkv", {}),
        ("clip.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}),
        ("clip.avi", {"codec": "mpeg4"}),
        ("clip.flv", {"codec": "flv1"}),
        ("clip.264", {"muxer": "h264"}),
    ],
)
def test_a_cut_copy_of_another_container_is_noticed(tmp_path: Path, name: str, settings: dict[str, str]) -> None:
    path = cut(encode(tmp_path / name, noisy(20), **settings), 0.7)
    assert "cut short: only " in message_of(path)


def test_a_cut_gif_is_noticed(tmp_path: Path) -> None:
    path = cut(write_animation(tmp_path / "a.gif", noisy(6), 40), 0.7)
    assert "cut short" in message_of(path)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "clip.mov"])
def test_damage_in_the_middle_is_an_error(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, noisy(20))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    assert "damaged or cut short: only " in message_of(path)


def test_a_picture_size_that_changes_on_the_way(tmp_path: Path) -> None:
    small = encode(tmp_path / "a.264", scene(3, 32, 48), muxer="h264")
    large = encode(tmp_path / "b.264", scene(3, 48, 64), muxer="h264")
    (tmp_path / "both.264").write_bytes(small.read_bytes() + large.read_bytes())
    assert "the picture size changes from 48x32 to 64x48" in message_of(tmp_path / "both.264")


def test_probing_a_bad_file_is_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match="not a video"):
        probe(tmp_path / "text.mp4")


def test_ffmpeg_s_own_log_stays_silent(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "clip.264", noisy(10), muxer="h264"), 0.7)
    code = (
        "import sys; from magvit2.video import read_clip, VideoWriter; from magvit2.errors import MediaError\n"
        "try: read_clip(sys.argv[1])\n"
        "except MediaError: print('refused')\n"
        "clip, info = read_clip(sys.argv[1], num_frames=3)\n"
        "with VideoWriter(sys.argv[1] + '.mp4', fps=25) as writer: [writer.write(frame) for frame in clip]\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert done.stderr == ""
    assert names(tmp_path) == ["clip.264", "cut.264", "cut.264.mp4"]
