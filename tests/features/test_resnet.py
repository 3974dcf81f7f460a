"""ResNet-50 and ResNet-50 v2: names, sizes, and the same numbers from plain function calls on the file's arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magvit2.data.frames import read_item, resize
from magvit2.data.items import find_items
from magvit2.errors import FormatError
from magvit2.features import MissingNetworkError, MobileNetEmbedding, load_resnet50, load_resnet50_v2
from magvit2.features.frozen import normalize_imagenet
from magvit2.features.mobilenet import load_mobilenet
from magvit2.features.resnet import RESNET50_V2_FILE, ResNet50

DEPTHS = (3, 4, 6, 3)


def test_resnet50_has_the_published_count_and_torchvision_s_names() -> None:
    with torch.device("meta"):
        network = ResNet50()
    names = {f"{norm}.{part}" for norm in ("bn1",) for part in _NORM} | {"conv1.weight", "fc.weight", "fc.bias"}
    for stage, depth in enumerate(DEPTHS, 1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}."
            names |= {f"{prefix}conv{i}.weight" for i in (1, 2, 3)}
            names |= {f"{prefix}bn{i}.{part}" for i in (1, 2, 3) for part in _NORM}
        names |= {f"layer{stage}.0.downsample.0.weight"} | {f"layer{stage}.0.downsample.1.{part}" for part in _NORM}
    assert set(network.state_dict()) == names
    assert sum(p.numel() for p in network.parameters()) == 25_557_032
    assert network.state_dict()["layer4.0.downsample.0.weight"].shape == (2048, 1024, 1, 1)


_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _norm(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """Batch norm written out."""
    mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    scale = w[f"{name}.weight"] / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][:, None, None]


def test_resnet50_by_plain_calls() -> None:
    network = ResNet50()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    w = dict(network.state_dict())
    x = torch.randn(2, 3, 64, 48)
    found = network(x)
    x = F.max_pool2d(F.relu(_norm(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), w, "bn1")), 3, 2, 1)
    for stage, depth in enumerate(DEPTHS, 1):
        for block in range(depth):
            p, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(_norm(F.conv2d(x, w[f"{p}.conv1.weight"]), w, f"{p}.bn1"))
            y = F.relu(_norm(F.conv2d(y, w[f"{p}.conv2.weight"], stride=stride, padding=1), w, f"{p}.bn2"))
            y = _norm(F.conv2d(y, w[f"{p}.conv3.weight"]), w, f"{p}.bn3")
            if block == 0:
                x = _norm(F.conv2d(x, w[f"{p}.downsample.0.weight"], stride=stride), w, f"{p}.downsample.1")
            x = F.relu(x + y)
    expected = F.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"])
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_standard_resnet50_is_never_replaced(data_dir: Path) -> None:
    with pytest.raises(MissingNetworkError, match=r"^needs resnet50-0676ba61.pth or "):
        load_resnet50(data_dir / "nets")


def test_a_file_called_resnet50_must_be_it(tmp_path: Path) -> None:
    torch.save(ResNet50().state_dict(), tmp_path / "resnet50-0676ba61.pth")
    with pytest.raises(FormatError, match="expected 0676ba61"):
        load_resnet50(tmp_path)


def test_resnet50_v2_by_plain_calls_on_the_file_s_arrays(data_dir: Path) -> None:
    network, file = load_resnet50_v2(data_dir / "nets")
    assert file.sha256 == RESNET50_V2_FILE.sha256
    with np.load(file.path) as archive:
        a = {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}

    def norm(x: Tensor, name: str) -> Tensor:
        parts = [a[f"{name}_{part}"] for part in ("running_mean", "running_var", "gamma", "beta")]
        return F.batch_norm(x, *parts, eps=1e-5)

    x = torch.randn(2, 3, 64, 48)
    found = list(network.slices(x))
    x = F.conv2d(norm(x, "batchnorm0"), a["conv0_weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(x, "batchnorm1")), 3, 2, 1)
    expected = []
    for stage, depth in ((1, 3), (2, 4), (3, 6)):
        conv = norms = 0
        for block in range(depth):
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(x, f"stage{stage}_batchnorm{norms}"))
            z = F.conv2d(y, a[f"stage{stage}_conv{conv}_weight"])
            z = F.relu(norm(z, f"stage{stage}_batchnorm{norms + 1}"))
            z = F.conv2d(z, a[f"stage{stage}_conv{conv + 1}_weight"], stride=stride, padding=1)
            z = F.relu(norm(z, f"stage{stage}_batchnorm{norms + 2}"))
            z = F.conv2d(z, a[f"stage{stage}_conv{conv + 2}_weight"])
            conv, norms = conv + 3, norms + 3
            if block == 0:
                x = F.conv2d(y, a[f"stage{stage}_conv{conv}_weight"], stride=stride)
                conv += 1
            x = x + z
        expected.append(x)
    expected[-1] = F.relu(norm(x, "stage4_batchnorm0"))
    for one, two in zip(found, expected, strict=True):
        assert (one - two).abs().max() < 1e-5 * two.abs().max()


def test_substitutes_tell_real_classes_apart(data_dir: Path) -> None:
    """Nearest class mean, 5 classes of Tiny-ImageNet, 6 pictures each to learn and 3 to ask: 20% is chance."""
    items = [item for item in find_items(data_dir, "train") if item.group == "tiny_imagenet50"]
    labels = sorted({item.label for item in items})[::10]
    chosen = [[item for item in items if item.label == label][:9] for label in labels]
    frames = np.stack([resize(read_item(item), 112, 112)[0] for group in chosen for item in group])
    network, _ = load_resnet50_v2(data_dir / "nets")
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        assert _nearest_mean(network(normalize_imagenet(images))) >= 0.7
    assert _nearest_mean(MobileNetEmbedding(*load_mobilenet(data_dir / "nets"), size=112)(frames)) >= 0.7


def _nearest_mean(features: Tensor) -> float:
    grouped = F.normalize(features, dim=1).unflatten(0, (5, 9))
    means = grouped[:, :6].mean(1)
    asked = grouped[:, 6:].flatten(0, 1)
    guesses = torch.cdist(asked, means).argmin(1)
    return float((guesses == torch.arange(5).repeat_interleave(3)).float().mean())
