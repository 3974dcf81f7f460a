"""MobileNetV2 without its classifier, batch norms folded: images to 1,280 pooled features (arXiv 1801.04381)."""

from pathlib import Path
from typing import Final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.features.files import FoundFile, NetworkFile, find_network, load_into, read_arrays
from magvit2.features.frozen import Frozen, pooled

MOBILENET_FILE: Final = NetworkFile(
    ("mobilenetv2_features_onnxzoo.npz",), "2f8993d36373417530e7c1255aa6893dc655d1a521fec64fa4dc9f4545e4e5f6"
)

# Expansion, channels, blocks and the stride of the first block (the paper's table 2).
_GROUPS: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand by 1x1 (not where the factor is 1), filter each channel by 3x3, project by 1x1; ReLU6 but for the last."""

    def __init__(self, convs: list[nn.Conv2d], *, has_shortcut: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.has_shortcut = has_shortcut

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """Return the block's output."""
        *rest, project = self.convs
        y = x
        for conv in rest:
            y = functional.relu6(conv(y))
        return x + project(y) if self.has_shortcut else project(y)


class MobileNetV2(Frozen):
    """MobileNetV2 1.0 up to its pooled features: 2,206,816 parameters in 52 convolutions.

    Their names are `conv0` to `conv51`, in the order in which they are applied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*_blocks())
        self.head = nn.Conv2d(320, 1280, 1)
        self.freeze()

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1280"]:
        """Return the pooled features of images that `normalize_imagenet` has normalised."""
        x = self.blocks(functional.relu6(self.stem(x)))
        return pooled(functional.relu6(self.head(x)))


def load_mobilenet(nets: Path) -> tuple[MobileNetV2, FoundFile]:
    """Return the ONNX model zoo's MobileNetV2 and its file. Raises MissingNetworkError, FormatError."""
    file = find_network(nets, MOBILENET_FILE)
    network = MobileNetV2()
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    numbers = {f"conv{number}": name for number, name in enumerate(names)}
    tensors = {}
    for name, array in read_arrays(file).items():
        layer, _, part = name.rpartition(".")
        tensors[f"{numbers.get(layer, layer)}.{part}"] = array
    load_into(network, tensors, file)
    return network, file


def _blocks() -> list[InvertedResidual]:
    blocks, width = [], 32
    for expansion, channels, depth, first_stride in _GROUPS:
        for index in range(depth):
            stride = first_stride if index == 0 else 1
            inner = expansion * width
            convs = [nn.Conv2d(width, inner, 1)] if expansion > 1 else []
            convs += [nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner), nn.Conv2d(inner, channels, 1)]
            blocks.append(InvertedResidual(convs, has_shortcut=stride == 1 and width == channels))
            width = channels
    return blocks
