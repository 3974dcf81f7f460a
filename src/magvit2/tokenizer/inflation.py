"""Inflation: a video tokenizer that starts as its image tokenizer (MAGVIT-v2, appendix A.1).

Every 2-D kernel becomes the last slice in time of an otherwise empty 3-D kernel, because causal padding puts the
present last. An upsampling that also grows time repeats its 2-D weights for each of the new frames.
"""

import dataclasses

import torch
from torch import Tensor

from magvit2.errors import InputError
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.model import Tokenizer

_OWN_TO_VIDEO = ("is_image", "temporal_downsample")


def inflate(image: Tokenizer, config: TokenizerConfig) -> Tokenizer:
    """Return a causal video tokenizer of `config` whose every frame is what `image` makes of that frame alone.

    So it stays until training changes it; where time is strided, a latent sees the last frame that it covers. Raises
    InputError unless the two differ in time only: `is_image`, and which levels downsample time.
    """
    _check_fits(image.config, config)
    video = Tokenizer(config)
    tensors = image.state_dict()
    with torch.no_grad():
        video.load_state_dict({name: _inflated(tensors[name], like) for name, like in video.state_dict().items()})
    return video


def is_inflatable(image: TokenizerConfig, video: TokenizerConfig) -> bool:
    """Whether `inflate` turns the one into the other."""
    kept = {name: getattr(video, name) for name in _OWN_TO_VIDEO}
    return image.is_image and not video.is_image and video.is_causal and dataclasses.replace(image, **kept) == video


def _check_fits(image: TokenizerConfig, video: TokenizerConfig) -> None:
    if not is_inflatable(image, video):
        raise InputError(
            f"{image} cannot be inflated to {video}: expected an image model and a causal video model that differ in "
            f"{' and '.join(_OWN_TO_VIDEO)} only"
        )


def _inflated(flat: Tensor, like: Tensor) -> Tensor:
    """Return the parameter `flat` of an image model in the shape of the video model's."""
    time = like.shape[0] // flat.shape[0]  # above 1 where an upsampling grows time, depth to space's outermost factor
    repeated = torch.cat([flat] * time)
    if repeated.shape == like.shape:
        return repeated
    empty = repeated.new_zeros(*repeated.shape[:2], like.shape[2] - 1, *repeated.shape[3:])
    return torch.cat([empty, repeated], dim=2)
