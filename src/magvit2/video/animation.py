"""Short clips as animated GIF, in memory: for pages that show pictures but no video."""

import io

import numpy as np
from jaxtyping import UInt8

from magvit2.video.doors import load_pillow


def encode_gif(frames_u8: UInt8[np.ndarray, "T H W 3"], fps: int) -> bytes:
    """Return RGB frames as a GIF that repeats without end, 256 colours to a frame; `fps` at most 50.

    Frames are shown for whole hundredths of a second. Raises MissingDependencyError without Pillow.
    """
    pillow = load_pillow()
    first, *others = (pillow.Image.fromarray(frame) for frame in frames_u8)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=10 * round(100 / fps), loop=0)
    return file.getvalue()
