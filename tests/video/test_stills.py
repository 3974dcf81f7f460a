"""Image codecs in memory: there and back, more quality for more bytes, formats that Pillow lacks."""

import numpy as np
import pytest
from PIL import features

from magvit2.errors import MediaError, MissingDependencyError
from magvit2.metrics import psnr
from magvit2.video.stills import STILL_CODECS
from tests.video.making import scene


@pytest.mark.parametrize("name", list(STILL_CODECS))
@pytest.mark.parametrize("size", [(48, 64), (33, 47), (1, 1)])
def test_better_quality_takes_more_bytes_and_gives_better_frames(name: str, size: tuple[int, int]) -> None:
    codec, frame = STILL_CODECS[name], scene(1, *size)[0]
    files = [codec.encode(frame, quality) for quality in (codec.qualities[0], 50, codec.qualities[-1])]
    decoded = [codec.decode(data) for data in files]
    assert all(image.shape == frame.shape for image in decoded)
    if min(size) > 1:
        assert len(files[0]) < len(files[1]) < len(files[2])
        values = [psnr(frame, image) for image in decoded]
        assert values == sorted(values) and values[2] > 30


def test_files_are_of_their_formats() -> None:
    frame = scene(1)[0]
    assert STILL_CODECS["jpeg"].encode(frame, 50).startswith(b"\xff\xd8\xff")
    assert STILL_CODECS["webp"].encode(frame, 50)[8:12] == b"WEBP"
    assert STILL_CODECS["avif"].encode(frame, 50)[4:12] == b"ftypavif"


def test_a_pillow_without_avif_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(MissingDependencyError, match="avif needs a Pillow that has it"):
        STILL_CODECS["avif"].encode(scene(1)[0], 50)


def test_bytes_that_are_no_image_are_one_line() -> None:
    with pytest.raises(MediaError, match="jpeg: not an image that can be read"):
        STILL_CODECS["jpeg"].decode(b"no image")


def test_a_slice_of_a_larger_array_is_encoded_as_itself() -> None:
    frame = scene(1, 48, 64)[0][::-1, ::2]
    decoded = STILL_CODECS["webp"].decode(STILL_CODECS["webp"].encode(frame, 100))
    assert psnr(np.ascontiguousarray(frame), decoded) > 30
