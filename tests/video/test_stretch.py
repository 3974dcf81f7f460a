"""A stretch of a file is a file: reads, seeks and ends as one that holds these bytes alone."""

import io
import random
from pathlib import Path

import pytest

from magvit2.errors import MediaError
from magvit2.video import Stretch, open_media, probe, write_image
from tests.data.making import grey_frames, write_video


@pytest.fixture
def stretch(tmp_path: Path) -> Stretch:
    (tmp_path / "around.bin").write_bytes(bytes(range(256)) * 100)
    return Stretch(tmp_path / "around.bin", 1000, 20_000, "inside.bin")


def test_any_reads_and_seeks_give_what_they_give_of_the_bytes_alone(stretch: Stretch) -> None:
    alone = io.BytesIO(stretch.path.read_bytes()[1000:21_000])
    rng = random.Random(0)
    with stretch.open() as file:
        for _ in range(300):
            offset, whence, count = rng.randint(0, 25_000), rng.choice((0, 2)), rng.choice((0, 1, 700, 9000, -1))
            place = (offset, 0) if whence == 0 else (-min(offset, 20_000), 2)
            assert file.seek(*place) == alone.seek(*place)
            assert file.read(count) == alone.read(count) and file.tell() == alone.tell()
        assert file.seek(-5, 1) == alone.seek(-5, 1)
        with pytest.raises(ValueError, match="expected 0 or more"):
            file.seek(-20_001, 2)


def test_its_own_file_is_closed_with_it(stretch: Stretch) -> None:
    file = stretch.open()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif", ".png"])
def test_media_inside_a_file_are_read_as_those_outside(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        write_image(path, grey_frames(1, 40)[0])
    elif suffix in (".mp4", ".mkv"):
        write_video(path, grey_frames(9, 40, 32, 48))
    else:
        _write_by_pyav(path)
    data = path.read_bytes()
    (tmp_path / "around").write_bytes(b"x" * 333 + data + b"y" * 4000)
    inside = Stretch(tmp_path / "around", 333, len(data), f"around/a{suffix}")
    with open_media(path) as ours, open_media(inside) as theirs:
        assert (ours.info.num_frames, ours.info.fps) == (theirs.info.num_frames, theirs.info.fps)
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
        assert ours.times_s == theirs.times_s != ()


def _write_by_pyav(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p" if path.suffix == ".avi" else "rgb8"
        for frame in grey_frames(9, 40, 32, 48, step=10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def test_a_medium_inside_a_file_that_is_cut_or_empty_is_named_by_its_own_name(stretch: Stretch, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^inside\.bin: not a video that can be read"):
        probe(stretch)
    for length, message in ((0, "is empty"), (30_000, "lies beyond the end of")):
        with pytest.raises(MediaError, match=rf"^in\.mp4: {message}"):
            probe(Stretch(stretch.path, 1000, length, "in.mp4"))
    with pytest.raises(MediaError, match="no such file"):
        probe(Stretch(tmp_path / "gone", 0, 10, "in.mp4"))
