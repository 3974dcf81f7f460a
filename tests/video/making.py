"""Small media made on the fly: scenes whose frames tell their number, and files as other programs write them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from magvit2.video import VideoWriter

FULL, LIMITED = 2, 1
NUM_BITS, BLOCK = 6, 8


def scene(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames [T, H, W, 3] with a smooth background and, along the top where there is room, the number in bits."""
    y, x = np.mgrid[0:height, 0:width]
    frames = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    for number, frame in enumerate(frames):
        frame[..., 0] = 60 + 100 * x / width
        frame[..., 1] = 60 + 100 * y / height
        frame[..., 2] = 110 + 40 * np.sin((x + y + 3 * number) / 9)
        if width >= NUM_BITS * BLOCK:
            bits = 255 * (number >> np.arange(NUM_BITS) & 1)
            frame[:BLOCK, : NUM_BITS * BLOCK] = bits.repeat(BLOCK)[None, :, None]
    return frames


def frame_numbers(clip: np.ndarray) -> list[int]:
    """The numbers that `scene` wrote into the frames of a clip, read back."""
    bits = clip[:, BLOCK // 2, BLOCK // 2 : NUM_BITS * BLOCK : BLOCK].mean(axis=-1) > 127
    return [int(number) for number in bits @ (1 << np.arange(NUM_BITS))]


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    fps: Fraction = Fraction(25),
    muxer: str | None = None,
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    matrix: int = 2,
    range_: int = 0,
    is_tagged: bool = True,
    rotation: tuple[float, bool] | None = None,
    faststart: bool = False,
) -> Path:
    """Write RGB frames [T, H, W, 3] with PyAV itself, as another program would.

    `matrix` (AVColorSpace; 2 converts as BT.601) and `range_` (AVColorRange; 0 converts to limited) are used, and
    written into the file where `is_tagged`. `rotation` is counter-clockwise degrees and a left-right mirror. `times`
    are in ticks of `time_base`.
    """
    flags = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", format=muxer, options=flags) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        tags = (matrix, range_) if is_tagged else (2, 0)
        stream.codec_context.colorspace, stream.codec_context.color_range = tags
        if time_base:
            stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for number, pixels in enumerate(frames):
            frame = to_format(pixels, pixel_format, matrix, range_)
            frame.colorspace, frame.color_range = tags
            if times is not None:
                frame.pts, frame.time_base = times[number], time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def to_format(pixels: np.ndarray, pixel_format: str, matrix: int, range_: int) -> av.VideoFrame:
    """An RGB (or RGBA) picture in another pixel format, converted with the matrix and range that the tags name."""
    source = av.VideoFrame.from_ndarray(pixels, format="rgb24" if pixels.shape[2] == 3 else "rgba")
    is_rgb = not pixel_format.startswith(("yuv", "gray"))
    sws_matrix = {1: 1, 2: 5, 5: 5, 6: 5, 9: 9, 0: None}[matrix]  # AVColorSpace -> SWS_CS_*
    return VideoReformatter().reformat(
        source,
        format=pixel_format,
        dst_colorspace=None if is_rgb else sws_matrix,
        src_color_range=FULL,
        dst_color_range=FULL if is_rgb else range_ or LIMITED,
    )


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def write(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: Fraction = Fraction(25),
    lossless: bool = False,
    crf: int = 18,
    times_s: Sequence[Fraction | float | None] | None = None,
) -> Path:
    """Write frames with our own writer, at times where they are given."""
    with VideoWriter(path, fps=fps, lossless=lossless, crf=crf) as writer:
        for frame, time_s in zip(frames, times_s or repeat(None), strict=False):
            writer.write(frame, time_s=time_s)
    return path


def names(folder: Path) -> list[str]:
    """The names of all entries of a folder, hidden ones too, sorted."""
    return sorted(entry.name for entry in folder.iterdir())
