"""What every frozen network shares: it stays in evaluation mode and has no gradients of its own."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import InputError

# ImageNet's mean and standard deviation on the [0, 1] scale: what torchvision's and the ONNX model zoo's networks take.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_AXES = {3: "H, W, 3", 4: "n, H, W, 3", 5: "n, T, H, W, 3"}


class Frozen(nn.Module):
    """A network that is only looked through: `train()` leaves it as it is, gradients pass to its input alone."""

    def freeze(self) -> Self:
        """Return the network in evaluation mode, its parameters without gradients."""
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the module around it is put in."""
        return super().train(False)


def normalize_imagenet(images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """Return images in [0, 1] less ImageNet's mean, over its standard deviation."""
    mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = images.new_tensor(IMAGENET_STD)[:, None, None]
    return (images - mean) / std


def resize_images(
    images: Float[Tensor, "b 3 H W"], height: int, width: int, *, antialias: bool = True
) -> Float[Tensor, "b 3 {height} {width}"]:
    """Return images scaled to height x width (their shape may change): bilinear, half-pixel centres."""
    if images.shape[2:] == (height, width):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", antialias=antialias, align_corners=False)


def check_u8(frames: np.ndarray, num_axes: int) -> None:
    """Raise InputError unless frames are 8-bit RGB [..., H, W, 3] of `num_axes` axes (3 to 5), with a pixel at least.

    Bytes are never NaN: floats are refused, whatever is in them.
    """
    if frames.dtype != np.uint8 or frames.ndim != num_axes or frames.shape[-1] != 3 or 0 in frames.shape[-3:]:
        given = f"frames {tuple(frames.shape)} of {frames.dtype}"
        raise InputError(f"{given}: expected uint8 [{_AXES[num_axes]}] of one pixel or more")


def to_planes(frames_u8: UInt8[Tensor, "*b H W 3"]) -> UInt8[Tensor, "*b 3 H W"]:
    """Return frames [..., H, W, 3] as [..., 3, H, W]."""
    return frames_u8.movedim(-1, -3)


def pooled(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Return the mean over all positions, in float32."""
    return x.float().mean(dim=(2, 3))


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's parameters lie."""
    return next(module.parameters()).device
