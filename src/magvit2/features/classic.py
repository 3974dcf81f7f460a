"""AlexNet, VGG-16 and SqueezeNet 1.1 with torchvision's parameter names, and the layers that LPIPS looks at.

Sources: Krizhevsky 2014 (arXiv 1404.5997, one tower), Simonyan & Zisserman 2015 (arXiv 1409.1556, configuration D),
Iandola et al. 2016 (arXiv 1602.07360, version 1.1).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.features.frozen import Frozen


class Backbone(Frozen):
    """Convolutions in one sequence, `features`, with ends of LPIPS's slices (`taps`) and their channels.

    `min_side` is the least height and width, in pixels, for which every slice has an output.
    """

    taps: ClassVar[tuple[int, ...]]
    channels: ClassVar[tuple[int, ...]]
    min_side: ClassVar[int]
    features: nn.Sequential

    def slices(self, x: Float[Tensor, "b 3 H W"]) -> Iterator[Float[Tensor, "b c h w"]]:
        """Yield the output of every slice for normalised images."""
        for start, end in pairwise((0, *self.taps)):
            x = self.features[start:end](x)
            yield x


class AlexNet(Backbone):
    """AlexNet (one tower); without a classifier it has the 2,469,696 parameters of `features` alone."""

    taps = (2, 5, 8, 10, 12)
    channels = (64, 192, 384, 256, 256)
    min_side = 31

    def __init__(self, *, classifier: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        if classifier:
            self.avgpool = nn.AdaptiveAvgPool2d(6)
            self.classifier = nn.Sequential(
                *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
                *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
            )
        self.freeze()

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1000"]:
        """Return logits of normalised images; only with the classifier."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class VGG16(Backbone):
    """VGG-16 (no batch norm); without a classifier it has the 14,714,688 parameters of `features` alone."""

    taps = (4, 9, 16, 23, 30)
    channels = (64, 128, 256, 512, 512)
    min_side = 16

    def __init__(self, *, classifier: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for depth, channels in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(depth):
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
                width = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        if classifier:
            self.avgpool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()),
                *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)),
            )
        self.freeze()

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1000"]:
        """Return logits of normalised images; only with the classifier."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class Fire(nn.Module):
    """SqueezeNet's module: squeeze to few channels, expand by 1x1 and 3x3 side by side."""

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return 2 * expanded channels."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], dim=1)


class SqueezeNet(Backbone):
    """SqueezeNet 1.1, with its classifier 1,235,496 parameters."""

    taps = (2, 5, 8, 10, 11, 12, 13)
    channels = (64, 128, 256, 384, 384, 512, 512)
    min_side = 17

    def __init__(self, *, classifier: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
        )
        if classifier:
            self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.freeze()

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1000"]:
        """Return logits of normalised images; only with the classifier."""
        return self.classifier(self.features(x)).flatten(1)
