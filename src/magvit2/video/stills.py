"""Still-image codecs, in memory, for comparisons: JPEG, WebP and AVIF through Pillow, as whole files."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import MissingDependencyError
from magvit2.video.doors import errors_as_media, load_pillow
from magvit2.video.images import decode_image

Frame = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class StillCodec:
    """An image format with its options; `qualities` go from coarse to fine."""

    name: str
    protocol: str
    qualities: tuple[float, ...]
    options: tuple[tuple[str, str | int | bool], ...]

    def encode(self, frame_u8: Frame, quality: float) -> bytes:
        """Return the bytes of one image file. Raises MissingDependencyError where Pillow lacks the format."""
        pillow = load_pillow()
        from PIL import features

        if self.name in ("webp", "avif") and not features.check(self.name):
            raise MissingDependencyError(f"{self.name} needs a Pillow that has it: pip install --upgrade pillow")
        buffer = io.BytesIO()
        with errors_as_media(self.name, "the frame cannot be encoded"):
            image = pillow.Image.fromarray(np.ascontiguousarray(frame_u8))
            image.save(buffer, self.name, quality=round(quality), **dict(self.options))
        return buffer.getvalue()

    def decode(self, data: bytes) -> Frame:
        """Return the image of a file's bytes. Raises MediaError."""
        return decode_image(data, self.name)


_JPEG = StillCodec(
    "jpeg",
    "baseline JPEG (libjpeg-turbo), 4:2:0, optimised Huffman tables, whole file of each frame",
    tuple(range(1, 96)),
    (("subsampling", "4:2:0"), ("optimize", True)),
)
_WEBP = StillCodec(
    "webp", "lossy WebP (libwebp), method 4, whole file of each frame", tuple(range(101)), (("method", 4),)
)
_AVIF = StillCodec(
    "avif",
    "AVIF (libavif), speed 6, 4:2:0, one thread, whole file of each frame",
    tuple(range(101)),
    (("speed", 6), ("subsampling", "4:2:0"), ("max_threads", 1)),
)
STILL_CODECS = {codec.name: codec for codec in (_JPEG, _WEBP, _AVIF)}
