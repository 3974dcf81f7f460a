"""Pictures as the bytes of a JPEG or PNG file in memory; `decode_image` reads them back."""

import io
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from magvit2.video.doors import load_pillow

PictureFormat = Literal["jpeg", "png"]
Subsampling = Literal["4:4:4", "4:2:0"]


def encode_image(
    frame_u8: UInt8[np.ndarray, "H W 3"],
    format: PictureFormat = "jpeg",
    quality: int = 90,
    subsampling: Subsampling = "4:4:4",
) -> bytes:
    """Return an RGB frame as a baseline JPEG of a quality from 1 to 100, or as a PNG, without loss."""
    buffer = io.BytesIO()
    image = load_pillow().Image.fromarray(frame_u8)
    if format == "png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    return buffer.getvalue()


def is_jpeg(data: bytes) -> bool:
    """Return whether bytes begin as a JPEG file does: start of image, then a marker."""
    return data.startswith(b"\xff\xd8\xff")


def is_png(data: bytes) -> bool:
    """Return whether bytes begin as a PNG file does."""
    return data.startswith(b"\x89PNG\r\n\x1a\n")
