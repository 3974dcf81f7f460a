"""Perceptual distances of pairs of frames as networks: LPIPS v0.1 (Zhang et al. 2018, arXiv 1801.03924) and `psq`.

Both compare unit-normalised features of a backbone layer by layer. LPIPS weighs the channels by linear heads and needs
the standard backbone, torchvision's. `psq` weighs all alike, on the ONNX model zoo's SqueezeNet: it is not LPIPS.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.errors import InputError
from magvit2.features.classic import VGG16, AlexNet, Backbone, SqueezeNet
from magvit2.features.files import (
    FoundFile,
    NetworkFile,
    find_network,
    load_into,
    read_arrays,
    read_state_dict,
)
from magvit2.features.frozen import Frozen, normalize_imagenet
from magvit2.features.resnet import load_resnet50_v2

LPIPSNet = Literal["alex", "vgg", "squeeze"]

PSQ_FILE: Final = NetworkFile(
    ("squeezenet1_1_onnxzoo.npz",), "6f6464225ae68d6aa9071a2022e1fdf64fc477a6b7b2c8abbb69eed3ef959f89"
)
HEAD_FILES: Final[dict[str, NetworkFile]] = {
    "alex": NetworkFile(
        ("lpips_v0.1_lin_alex.pth",), "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
    ),
    "vgg": NetworkFile(("lpips_v0.1_lin_vgg.pth",), "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
    "squeeze": NetworkFile(
        ("lpips_v0.1_lin_squeeze.pth",), "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"
    ),
}
BACKBONE_FILES: Final[dict[str, NetworkFile]] = {
    "alex": NetworkFile(("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth")),
    "vgg": NetworkFile(("vgg16-397923af.pth",)),
    "squeeze": NetworkFile(("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1-f364aa15.pth")),
}
BACKBONES: Final[dict[str, type[AlexNet] | type[VGG16] | type[SqueezeNet]]] = {
    "alex": AlexNet,
    "vgg": VGG16,
    "squeeze": SqueezeNet,
}

_EPSILON: Final = 1e-10


@runtime_checkable
class Sliced(Protocol):
    """A frozen network that gives maps at several depths, of `channels` each, for images of `min_side` or more."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of every map."""

    @property
    def min_side(self) -> int:
        """The least height and width, in pixels."""

    def slices(self, x: Float[Tensor, "b 3 H W"]) -> Iterator[Float[Tensor, "b c h w"]]:
        """Yield the maps of images that `normalize_imagenet` has normalised."""


class FrameDistance(Frozen):
    """Sum over a backbone's slices of the mean squared distance of unit vectors, channels weighed by `heads`.

    Without heads every weight is 1 / the number of slices. (LPIPS's shift and scale of images in [-1, 1] are exactly
    ImageNet's mean and standard deviation.)
    """

    def __init__(self, backbone: Sliced, heads: Sequence[Float[Tensor, " _"]] | None, name: str, protocol: str) -> None:
        super().__init__()
        self.name = name
        self.protocol = protocol
        self.backbone = backbone
        for number, channels in enumerate(backbone.channels):
            weights = torch.full((channels,), 1 / len(backbone.channels)) if heads is None else heads[number]
            self.register_buffer(f"weights{number}", weights.reshape(1, channels, 1, 1))
        self.freeze()

    def forward(self, images: Float[Tensor, "b 3 H W"], others: Float[Tensor, "b 3 H W"]) -> Float[Tensor, " b"]:
        """Return the distance of each pair of images in [-1, 1]; gradients pass to both.

        Raises InputError for images of two shapes, or too small for the network. NaN gives NaN.
        """
        if images.shape != others.shape:
            shapes = f"{list(images.shape)} and {list(others.shape)}"
            raise InputError(f"images of shapes {shapes}: {self.name} expects the same size")
        side = min(images.shape[2:])
        if side < self.backbone.min_side:
            raise InputError(f"frames of {side} pixels a side: {self.name} expects {self.backbone.min_side} or more")
        total = images.new_zeros(len(images))
        pairs = zip(self._slices(images), self._slices(others), strict=True)
        for number, (one, two) in enumerate(pairs):
            squared = (one - two).square()
            total = total + (squared * self.get_buffer(f"weights{number}")).sum(dim=1).mean(dim=(1, 2))
        return total

    def _slices(self, images: Float[Tensor, "b 3 H W"]) -> Iterator[Float[Tensor, "b c h w"]]:
        for features in self.backbone.slices(normalize_imagenet((images + 1) / 2)):
            yield _unit(features.float())


def load_psq(nets: Path) -> FrameDistance:
    """Return `psq`, the unweighted distance on the substitute SqueezeNet. Raises MissingNetworkError, FormatError."""
    file = find_network(nets, PSQ_FILE)
    backbone = SqueezeNet(classifier=False)
    load_into(backbone, read_arrays(file), file, ignore=("classifier.",))
    return FrameDistance(backbone, None, "psq", f"psq: {file.label}, mean of 7 layers, frames at their own size")


def load_lpips(nets: Path, net: LPIPSNet) -> FrameDistance:
    """Return LPIPS v0.1 on torchvision's backbone `net` with its official linear head.

    Raises MissingNetworkError where either file is not in `nets` (no other backbone will do), FormatError.
    """
    backbone_file, head_file = find_network(nets, BACKBONE_FILES[net]), find_network(nets, HEAD_FILES[net])
    backbone = BACKBONES[net](classifier=False)
    load_into(backbone, read_state_dict(backbone_file), backbone_file, ignore=("classifier.",))
    name = f"lpips-{net}"
    protocol = f"{name}: v0.1, {backbone_file.label}, {head_file.label}, frames at their own size"
    return FrameDistance(backbone, read_heads(head_file, backbone), name, protocol)


def load_resnet50_v2_distance(nets: Path) -> FrameDistance:
    """Return the unweighted distance on the substitute ResNet-50 v2, which no metric looks through: for training.

    Raises MissingNetworkError, FormatError.
    """
    network, file = load_resnet50_v2(nets)
    name = "resnet50v2"
    return FrameDistance(network, None, name, f"{name}: {file.label}, mean of 3 stages, frames at their own size")


def read_heads(file: FoundFile, backbone: Backbone) -> list[Float[Tensor, " _"]]:
    """Return LPIPS's weight of every channel, slice by slice. Raises FormatError where they are another network's."""
    expected = nn.Module()
    for number, channels in enumerate(backbone.channels):
        head = nn.Module()
        head.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))
        expected.add_module(f"lin{number}", head)
    load_into(expected, read_state_dict(file), file)
    return [weights.detach().flatten() for weights in expected.parameters()]


def _unit(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _EPSILON)  # its gradient is finite at 0
