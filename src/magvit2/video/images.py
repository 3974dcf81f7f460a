"""Still images and animated WebP through Pillow: RGB uint8 in, RGB uint8 out, turned as EXIF says, alpha over black."""

import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError, MediaError
from magvit2.video.atomic import replaced_on_success
from magvit2.video.colour import over_black
from magvit2.video.doors import PillowImage, errors_as_media, errors_in_writing, load_pillow
from magvit2.video.paths import check_file

NOT_AN_IMAGE = "not an image that can be read; expected PNG, JPEG, WebP, BMP, TIFF or PPM"
_EXIF_ORIENTATION = 0x0112
_EXIF_ROTATIONS = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}  # degrees clockwise, after mirroring where mirrored
_SAVE_OPTIONS: dict[str, dict[str, str | int]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".webp": {"format": "WEBP", "lossless": True},
}


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Return an image file as RGB (the first picture of an animated one). Raises MediaError."""
    path = Path(path)
    check_file(path)
    with errors_as_media(path, NOT_AN_IMAGE), load_pillow().Image.open(path) as image:
        return to_rgb(image)


def read_rgba(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 4"]:
    """Return an image file with its straight alpha, 255 where it has none: a layer to compose. Raises MediaError."""
    path = Path(path)
    check_file(path)
    with errors_as_media(path, NOT_AN_IMAGE), load_pillow().Image.open(path) as image:
        return np.array(load_pillow().ImageOps.exif_transpose(image).convert("RGBA"))


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """Return an image held in memory (a tar member, say) as RGB; `name` stands in the MediaError of a bad one."""
    with errors_as_media(name, NOT_AN_IMAGE), load_pillow().Image.open(io.BytesIO(data)) as image:
        return to_rgb(image)


def to_rgb(image: PillowImage) -> UInt8[np.ndarray, "H W 3"]:
    """Return an open Pillow image as RGB, the right way up; of 16 bits, the upper 8.

    Raises whatever Pillow raises, and ValueError for 32-bit pixels: call it inside `errors_as_media`.
    """
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        image = load_pillow().ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow would clip to 255 where it should scale
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no fixed range; expected 8 or 16 bits per channel")
    if has_alpha(image):
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def has_alpha(image: PillowImage) -> bool:
    """Return whether an open image can have transparent pixels."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def display_rotation(image: PillowImage) -> int:
    """Return the turn in degrees clockwise that an image's EXIF tag asks for."""
    return _EXIF_ROTATIONS.get(image.getexif().get(_EXIF_ORIENTATION, 1), 0)


def stored_bits(image: PillowImage) -> int:
    """Return the bits per channel of an image file; Pillow's mode alone hides that a PNG in colour has 16."""
    modes = [image.mode, *(str(tile[3]) for tile in getattr(image, "tile", ()))]
    return 16 if any(";16" in mode for mode in modes) else 1 if image.mode == "1" else 8


def write_image(path: str | os.PathLike[str], frame_u8: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB frame as PNG, JPEG (quality 95) or WebP (lossless), by the name's ending; whole or not at all.

    Raises MediaError where the name's ending is another or the file cannot be written, OutputError where the disk is
    full or read-only, InputError for a wrong frame.
    """
    path = Path(path)
    options = _SAVE_OPTIONS.get(path.suffix.lower())
    if options is None:
        raise MediaError(f"{path}: cannot write '{path.suffix}' images; expected {', '.join(_SAVE_OPTIONS)}")
    check_frame(frame_u8)
    image = load_pillow().Image.fromarray(frame_u8)
    encoded = io.BytesIO()  # Pillow itself does not notice that a disk took a part of a file only
    with replaced_on_success(path) as partial, errors_in_writing(path):
        image.save(encoded, **options)
        partial.write_bytes(encoded.getbuffer())


def check_frame(frame_u8: np.ndarray) -> None:
    """Raise InputError unless an array is a frame: uint8, [H, W, 3], at least one pixel."""
    shape = tuple(frame_u8.shape)
    if frame_u8.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise InputError(f"got a {frame_u8.dtype} array of shape {list(shape)}; expected a uint8 RGB frame [H, W, 3]")
