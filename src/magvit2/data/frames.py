"""Frames of an item as uint8 arrays, cut and scaled to what a batch needs. All chance comes from a generator."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from magvit2.data.items import MediaItem
from magvit2.errors import MediaError
from magvit2.video import decode_image, probe, read_clip, read_image
from magvit2.video.doors import errors_as_media

Frames = UInt8[np.ndarray, "T H W 3"]


def read_item(item: MediaItem, start: int = 0, num_frames: int | None = None) -> Frames:
    """Return frames `start` to `start + num_frames` of an item (to its end by default); an image has one.

    Raises MediaError where the file cannot be read.
    """
    if item.kind == "video":
        return read_clip(item.medium, start=start, num_frames=num_frames)[0]
    if item.kind == "frames":
        return _read_stored_frames(item, start, num_frames)
    frames = _read_strip(item.path) if item.kind == "strip" else _read_picture(item)[None]
    return frames[start:] if num_frames is None else frames[start : start + num_frames]


def count_frames(item: MediaItem) -> int:
    """Return the number of frames of an item, from its index row or else from the file."""
    if item.kind == "image":
        return 1
    return item.num_frames if item.num_frames is not None else _count(item)


def random_clip(
    item: MediaItem,
    num_frames: int,
    size: int,
    rng: np.random.Generator,
    zoom: float = 1.0,
    least_area: float = 0.0,
    *,
    mirror: bool = True,
) -> UInt8[np.ndarray, "{num_frames} {size} {size} 3"]:
    """Return a random stretch of time and `random_square` of an item.

    Shorter items repeat their last frame; smaller ones are scaled up. Raises MediaError where the file cannot be read,
    or is shorter than it says.
    """
    start = int(rng.integers(max(1, count_frames(item) - num_frames + 1)))
    frames = read_item(item, start, num_frames)
    if not len(frames):
        raise MediaError(f"{item.name}: has no frame {start}; correct the number of frames in its list")
    short = num_frames - len(frames)
    if short:
        frames = np.concatenate([frames, np.repeat(frames[-1:], short, axis=0)])
    return random_square(frames, size, rng, zoom, least_area, mirror=mirror)


def random_square(
    frames: Frames,
    size: int,
    rng: np.random.Generator,
    zoom: float = 1.0,
    least_area: float = 0.0,
    *,
    mirror: bool = True,
) -> UInt8[np.ndarray, "T {size} {size} 3"]:
    """Return a random square of all frames, scaled to `size`, with `mirror` mirrored half of the time.

    Half of the squares are cut at the item's own scale (with `zoom`, at up to so many times that), half are larger ones
    scaled down; or all have at least `least_area` of the largest square's.
    """
    height, width = frames.shape[1:3]
    side = _side(min(height, width), size, rng, zoom, least_area)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    square = frames[:, top : top + side, left : left + side]
    if rng.random() < 0.5 and mirror:
        square = square[:, :, ::-1]
    return resize(np.ascontiguousarray(square), size, size)


def _side(shortest: int, size: int, rng: np.random.Generator, zoom: float, least_area: float) -> int:
    """Return the side of a random square in frames whose shorter side is `shortest`."""
    own = min(size, shortest)
    if least_area > 0:
        return max(1, round(shortest * rng.uniform(least_area, 1) ** 0.5))
    if rng.random() >= 0.5:
        return int(rng.integers(own, shortest + 1))
    return own if zoom == 1 else min(own, math.ceil(size * zoom ** -rng.random()))


def resize(frames: Frames, height: int, width: int) -> UInt8[np.ndarray, "T {height} {width} 3"]:
    """Return frames scaled to height x width: bilinear, antialiased where it shrinks."""
    if frames.shape[1:3] == (height, width):
        return frames
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    x = functional.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x.round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def centre_square(frames: Frames, size: int) -> UInt8[np.ndarray, "T {size} {size} 3"]:
    """Return the middle square of frames, their short side scaled to `size`: bilinear, antialiased where it shrinks."""
    height, width = frames.shape[1:3]
    scale = size / min(height, width)
    scaled = resize(frames, max(size, round(height * scale)), max(size, round(width * scale)))
    top, left = (scaled.shape[1] - size) // 2, (scaled.shape[2] - size) // 2
    return np.ascontiguousarray(scaled[:, top : top + size, left : left + size])


def shrink_to_fit(frames: Frames, height: int, width: int) -> UInt8[np.ndarray, "T h w 3"]:
    """Return frames scaled down (area) until they lie within height x width; smaller frames as they are.

    The proportions are kept, up to rounding to even sides.
    """
    scale = min(height / frames.shape[1], width / frames.shape[2])
    if scale >= 1:
        return frames
    sides = [max(2, 2 * round(side * scale / 2)) for side in frames.shape[1:3]]
    x = functional.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2).float(), sides, mode="area")
    return x.round_().byte().permute(0, 2, 3, 1).contiguous().numpy()


def to_clip(frames: Frames) -> Float[Tensor, "1 3 T H W"]:
    """Return uint8 frames as a float32 clip in [-1, 1] of batch 1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def to_frames(clip: Float[Tensor, "3 T H W"]) -> Frames:
    """Return a clip in [-1, 1] as uint8 frames, rounded; the inverse of `to_clip`."""
    scaled = ((clip.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.byte().permute(1, 2, 3, 0).contiguous().cpu().numpy()


def _read_picture(item: MediaItem) -> UInt8[np.ndarray, "H W 3"]:
    if item.member is None:
        return read_image(item.path)
    offset, length = item.member
    (data,) = _read_parts(item, offset, (length,))
    return decode_image(data, item.name)


def _read_stored_frames(item: MediaItem, start: int, num_frames: int | None) -> Frames:
    """Return frames of a clip in a shard; no others are read, nor decoded."""
    assert item.member is not None
    lengths = item.frame_bytes[start:][:num_frames]
    offset = item.member[0] + sum(item.frame_bytes[:start])
    if not lengths:
        last = len(item.frame_bytes) - 1
        raise MediaError(f"{item.name}: frame {start} was asked for; the last one is frame {last}")
    frames = [decode_image(data, item.name) for data in _read_parts(item, offset, lengths)]
    if len({frame.shape for frame in frames}) > 1:
        raise MediaError(f"{item.name}: its frames are not of one size; pack it again")
    return np.stack(frames)


def _read_parts(item: MediaItem, offset: int, lengths: Sequence[int]) -> list[bytes]:
    """Return stretches of bytes of a tar file, one after another from `offset`. Raises MediaError."""
    with errors_as_media(item.name, "cannot be read"), item.path.open("rb") as file:
        file.seek(offset)
        return [file.read(length) for length in lengths]


def _read_strip(path: Path) -> Frames:
    picture = read_image(path)
    side, width = picture.shape[:2]
    if width % side:
        raise MediaError(f"{path}: {width} x {side} is no strip of square frames side by side")
    return picture.reshape(side, -1, side, 3).transpose(1, 0, 2, 3)


@lru_cache(maxsize=65536)
def _count(item: MediaItem) -> int:
    """Count frames once for each process; a container that does not say is decoded to its end."""
    num_frames = probe(item.medium).num_frames if item.kind == "video" else None
    return num_frames if num_frames is not None else len(read_item(item))
