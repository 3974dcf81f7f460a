"""Images: every kind of pixel becomes 8-bit RGB, alpha over black; bad bytes are one clear line."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magvit2.errors import MediaError
from magvit2.video import decode_image, probe, read_image, write_image
from magvit2.video.images import read_rgba
from tests.video.making import psnr, scene


def saved(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.PNG"])
def test_lossless_images_come_back_exactly(tmp_path: Path, name: str) -> None:
    frame = scene(1)[0]
    write_image(tmp_path / name, frame)
    np.testing.assert_array_equal(read_image(tmp_path / name), frame)


def test_jpeg_comes_back_close(tmp_path: Path) -> None:
    frame = scene(1)[0]
    write_image(tmp_path / "a.jpg", frame)
    assert psnr(read_image(tmp_path / "a.jpg"), frame) > 38


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_grey_palette_and_other_colour_models_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.repeat(np.repeat(np.array([[0, 255]], dtype=np.uint8), 8, axis=0), 8, axis=1)
    image = Image.fromarray(np.stack([grey] * 3, axis=-1)).convert(mode)
    path = saved(tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png"), image)
    np.testing.assert_array_equal(read_image(path), np.stack([grey] * 3, axis=-1))


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = saved(tmp_path / "deep.png", Image.fromarray(levels))
    read = read_image(path)
    assert np.abs(read[..., 0].astype(int) - np.arange(256).reshape(16, 16)).max() <= 1
    assert probe(path).bit_depth == 16


def test_sixteen_bit_colour_keeps_its_upper_byte(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png_rgb16([0x12FF, 0x8000, 0xFF01]))
    assert read_image(path).tolist() == [[[0x12, 0x80, 0xFF]]]
    assert probe(path).bit_depth == 16


def png_rgb16(pixel: list[int]) -> bytes:
    """A PNG of one pixel with 16 bits per channel, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">3H", *pixel))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_transparency_is_composited_over_black(tmp_path: Path, kind: str) -> None:
    rgba = np.full((2, 2, 4), (200, 200, 200, 255), dtype=np.uint8)
    rgba[0, :, 3] = 0
    image = Image.fromarray(rgba)
    if kind == "P":
        image = Image.fromarray(np.array([[0, 0], [1, 1]], dtype=np.uint8), mode="P")
        image.putpalette([255, 0, 0, 200, 200, 200])
        image.info["transparency"] = 0
    path = saved(tmp_path / "a.png", image.convert(kind) if kind == "LA" else image)
    assert read_image(path).tolist() == [[[0, 0, 0]] * 2, [[200, 200, 200]] * 2]
    assert probe(path).has_alpha


def test_a_layer_keeps_its_alpha_and_the_colour_below_it(tmp_path: Path) -> None:
    rgba = np.array([[[200, 100, 50, 0], [200, 100, 50, 128]]], dtype=np.uint8)
    layer = saved(tmp_path / "layer.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(read_rgba(layer), rgba)
    opaque = saved(tmp_path / "opaque.png", Image.fromarray(rgba[..., :3]))
    assert read_rgba(opaque)[..., 3].tolist() == [[255, 255]]


def test_an_image_in_a_tar_is_decoded_from_its_bytes() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene(1)[0]).save(buffer, format="PNG")
    np.testing.assert_array_equal(decode_image(buffer.getvalue(), "train.tar:a.png"), scene(1)[0])


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_bytes_that_are_no_image_are_named(data: bytes) -> None:
    with pytest.raises(MediaError, match=r"train\.tar:a\.png: not an image that can be read") as caught:
        decode_image(data, "train.tar:a.png")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_cut_image_is_an_error_and_not_half_a_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_image(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="not an image that can be read"):
        read_image(path)


def test_pixels_without_a_fixed_range_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "float.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(MediaError, match=r"float\.tif.*no fixed range; expected 8 or 16 bits"):
        read_image(path)


def test_a_missing_image_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(MediaError, match="is a folder; expected a file"):
        read_image(tmp_path)
