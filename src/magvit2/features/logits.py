"""The distance that MAGVIT trains on: ResNet-50's logits of two images (arXiv 2212.05199; MAGVIT-v2 keeps it)."""

from pathlib import Path
from typing import Final

from jaxtyping import Float
from torch import Tensor

from magvit2.features.frozen import Frozen, normalize_imagenet, resize_images
from magvit2.features.resnet import ResNet50, load_resnet50

LOGIT_SIZE: Final = 224


class LogitDistance(Frozen):
    """Mean squared difference of the 1,000 logits of images brought to 224 x 224 (bilinear)."""

    def __init__(self, network: ResNet50, name: str, protocol: str) -> None:
        super().__init__()
        self.name = name
        self.protocol = protocol
        self.network = network
        self.freeze()

    def forward(self, images: Float[Tensor, "b 3 H W"], others: Float[Tensor, "b 3 H W"]) -> Float[Tensor, " b"]:
        """Return the distance of each pair of images in [-1, 1]; gradients pass to both."""
        return (self._logits(images) - self._logits(others)).square().mean(dim=1)

    def _logits(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1000"]:
        resized = resize_images((images + 1) / 2, LOGIT_SIZE, LOGIT_SIZE, antialias=False)
        logits: Tensor = self.network(normalize_imagenet(resized))
        return logits.float()


def load_resnet50_logits(nets: Path) -> LogitDistance:
    """Return the paper's distance on torchvision's ResNet-50. Raises MissingNetworkError, FormatError."""
    network, file = load_resnet50(nets)
    name = "resnet50-logits"
    return LogitDistance(network, name, f"{name}: {file.label}, bilinear to {LOGIT_SIZE} x {LOGIT_SIZE}")
