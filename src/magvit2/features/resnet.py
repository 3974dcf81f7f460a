"""ResNet-50 with torchvision's names (the paper's perceptual loss), and ResNet-50 v2 up to stage 3 (our substitute).

Sources: He et al. 2016 (arXiv 1512.03385; the stride is in the 3x3, as torchvision has it) and He et al. 2016
(arXiv 1603.05027, pre-activation, as in MXNet and the ONNX model zoo). Neither enters a reported metric: the loss and
the yardstick must differ.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jaxtyping import Float
from torch import Tensor, nn

from magvit2.features.files import FoundFile, NetworkFile, find_network, load_into, read_arrays, read_state_dict
from magvit2.features.frozen import Frozen, pooled

RESNET50_FILE: Final = NetworkFile(("resnet50-0676ba61.pth", "resnet50-19c8e357.pth", "resnet50-11ad3fa6.pth"))
RESNET50_V2_FILE: Final = NetworkFile(
    ("resnet50v2_stages1to3_fp16_onnxzoo.npz",), "58f8862adbb3d2483a8abe8211f2d05d35525b271313a7e891fd3d2d032751be"
)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 to four times the width, each normalised; ReLU after the sum."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Sequential()
        if in_channels != out_channels:
            self.downsample.append(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """Return the block's output, `stride` times smaller."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()


class ResNet50(Frozen):
    """ResNet-50, 25,557,032 parameters: images of any size from 32 pixels a side to 1,000 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, depth=3, stride=1)
        self.layer2 = _stage(256, 128, depth=4, stride=2)
        self.layer3 = _stage(512, 256, depth=6, stride=2)
        self.layer4 = _stage(1024, 512, depth=3, stride=2)
        self.fc = nn.Linear(2048, 1000)
        self.freeze()

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1000"]:
        """Return logits of images that `normalize_imagenet` has normalised."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(pooled(x).to(x.dtype))


def load_resnet50(nets: Path) -> tuple[ResNet50, FoundFile]:
    """Return torchvision's ResNet-50 and its file. Raises MissingNetworkError, FormatError."""
    file = find_network(nets, RESNET50_FILE)
    network = ResNet50()
    load_into(network, read_state_dict(file), file)
    return network, file


def _stage(in_channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1) for _ in range(depth - 1)))


class PreActivation(nn.Module):
    """Normalise and ReLU before each of 1x1, 3x3 (with the stride), 1x1; the sum goes on as it is."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, project: bool) -> None:
        super().__init__()
        width = out_channels // 4
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False) if project else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """Return the block's output, `stride` times smaller."""
        y = self.bn1(x).relu()
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.bn2(self.conv1(y)).relu()
        y = self.bn3(self.conv2(y)).relu()
        return shortcut + self.conv3(y)


class ResNet50V2Stages(Frozen):
    """The stem and stages 1 to 3 of ResNet-50 v2: images to maps of 256, 512 and 1,024 channels."""

    channels = (256, 512, 1024)
    min_side = 32

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(3)
        self.conv0 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.stage1 = _v2_stage(64, 256, depth=3, stride=1)
        self.stage2 = _v2_stage(256, 512, depth=4, stride=2)
        self.stage3 = _v2_stage(512, 1024, depth=6, stride=2)
        self.last = nn.BatchNorm2d(1024)
        self.freeze()

    def slices(self, x: Float[Tensor, "b 3 H W"]) -> Iterator[Float[Tensor, "b c h w"]]:
        """Yield the maps after stages 1, 2 and 3 (the last normalised and rectified) of normalised images."""
        x = self.maxpool(self.bn1(self.conv0(self.bn0(x))).relu())
        first = self.stage1(x)
        second = self.stage2(first)
        yield from (first, second, self.last(self.stage3(second)).relu())

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1024"]:
        """Return the pooled features of images that `normalize_imagenet` has normalised."""
        *_, last = self.slices(x)
        return pooled(last)


def load_resnet50_v2(nets: Path) -> tuple[ResNet50V2Stages, FoundFile]:
    """Return the ONNX model zoo's ResNet-50 v2 up to stage 3 and its file. Raises MissingNetworkError, FormatError."""
    file = find_network(nets, RESNET50_V2_FILE)
    network = ResNet50V2Stages()
    load_into(network, _renamed(read_arrays(file)), file)
    return network, file


def _v2_stage(in_channels: int, out_channels: int, depth: int, stride: int) -> nn.Sequential:
    first = PreActivation(in_channels, out_channels, stride, project=True)
    return nn.Sequential(
        first, *(PreActivation(out_channels, out_channels, 1, project=False) for _ in range(depth - 1))
    )


_V2_PARTS: Final = {"gamma": "weight", "beta": "bias"}


def _renamed(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return MXNet's running numbers (stage2_conv3_weight) as ours (stage2.0.downsample.weight)."""
    tensors: dict[str, Tensor] = {}
    names = {"batchnorm0": "bn0", "batchnorm1": "bn1", "stage4_batchnorm0": "last"}
    for stage, depth in ((1, 3), (2, 4), (3, 6)):
        convs = [f"{block}.{conv}" for block in range(depth) for conv in _v2_convs(block)]
        norms = [f"{block}.{norm}" for block in range(depth) for norm in ("bn1", "bn2", "bn3")]
        names |= {f"stage{stage}_conv{number}": f"stage{stage}.{name}" for number, name in enumerate(convs)}
        names |= {f"stage{stage}_batchnorm{number}": f"stage{stage}.{name}" for number, name in enumerate(norms)}
    for name, array in arrays.items():
        layer, _, part = name.rpartition("_running_") if "_running_" in name else name.rpartition("_")
        part = f"running_{part}" if "_running_" in name else _V2_PARTS.get(part, part)
        if layer != "batchnorm2":  # the classifier's, whose stage 4 is not in the file
            tensors[f"{names.get(layer, layer)}.{part}"] = array
    return tensors


def _v2_convs(block: int) -> tuple[str, ...]:
    return ("conv1", "conv2", "conv3", "downsample") if block == 0 else ("conv1", "conv2", "conv3")
