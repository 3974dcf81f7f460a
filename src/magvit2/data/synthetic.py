"""Clips made from photographs by a moving camera, and the sample photographs that come with scikit-image."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from magvit2.data.frames import Frames, resize
from magvit2.errors import MissingDependencyError

Photo = UInt8[np.ndarray, "H W 3"]

_SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")


def moving_camera(
    photo: Photo, num_frames: int, height: int, width: int, rng: np.random.Generator, zoom: float = 1.0
) -> UInt8[np.ndarray, "{num_frames} {height} {width} 3"]:
    """Return the frames of a camera that pans, zooms and rolls smoothly over a photograph.

    The photograph is first magnified up to `zoom` times, at random.

    The view stays in the photograph, but for a corner at the limits of zoom and roll, where the picture is mirrored. A
    pan takes 24 frames at least from one end of its range to the other.
    """
    photo = _fitted(photo, height, width, rng, zoom)
    views = _camera_path(photo.shape[0], photo.shape[1], num_frames, height, width, rng)
    image = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None].float()
    grid = functional.affine_grid(views, [num_frames, 3, height, width], align_corners=False)
    frames = functional.grid_sample(
        image.expand(num_frames, -1, -1, -1), grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return frames.round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def sample_photos() -> list[Photo]:
    """Return scikit-image's own colour photographs. Raises MissingDependencyError without scikit-image."""
    try:
        from skimage import data
    except ImportError as error:
        raise MissingDependencyError("sample photographs need scikit-image: pip install 'magvit2[demo]'") from error
    return [np.ascontiguousarray(getattr(data, name)()[..., :3]) for name in _SAMPLES]


def sample_clip(num_frames: int = 49, height: int = 256, width: int = 256, seed: int = 3) -> Frames:
    """Return a clip of three of scikit-image's photographs under a moving camera, cutting from one to the next."""
    photos = sample_photos()[:3]
    lengths = [len(part) for part in np.array_split(np.arange(num_frames), len(photos))]
    rng = np.random.default_rng(seed)
    clips = [
        moving_camera(photo, length, height, width, rng)
        for photo, length in zip(photos, lengths, strict=True)
        if length
    ]
    return np.concatenate(clips)


def _fitted(photo: Photo, height: int, width: int, rng: np.random.Generator, zoom: float) -> UInt8[np.ndarray, "Y X 3"]:
    """Scale a photograph to between 1.25 and 2.5 views, no more than its own size unless it is too small.

    Then magnify it up to `zoom` times.
    """
    least = 1.25 * max(height / photo.shape[0], width / photo.shape[1])
    scale = max(least, min(1.0, least * 2 ** rng.random()))
    if zoom > 1:
        scale *= zoom ** rng.random()
    return resize(photo[None], round(photo.shape[0] * scale), round(photo.shape[1] * scale))[0]


def _camera_path(
    rows: int, columns: int, num_frames: int, height: int, width: int, rng: np.random.Generator
) -> Float[Tensor, "T 2 3"]:
    """Return one affine view for each frame: a straight pan with a slow zoom and a slight roll."""
    progress = torch.linspace(0, 1, num_frames) if num_frames > 1 else torch.zeros(1)
    span = min(1.0, num_frames / 24)
    zoom = 1 + float(rng.uniform(-0.12, 0.12)) * span * progress
    roll = float(rng.uniform(-0.08, 0.08)) * span * progress
    half_w, half_h = width / columns, height / rows
    room_x, room_y = max(0.0, 1 - 1.15 * half_w), max(0.0, 1 - 1.15 * half_h)
    start, end = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2)
    end = start + (end - start) * span
    x = room_x * (start[0] + (end[0] - start[0]) * progress)
    y = room_y * (start[1] + (end[1] - start[1]) * progress)
    cos, sin = torch.cos(roll) / zoom, torch.sin(roll) / zoom
    row_x = torch.stack([half_w * cos, -sin * height / columns, x], dim=-1)
    row_y = torch.stack([sin * width / rows, half_h * cos, y], dim=-1)
    return torch.stack([row_x, row_y], dim=1)
