"""AlexNet, VGG-16 and SqueezeNet 1.1: torchvision's sizes and names, and the same numbers from plain function calls."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.features.classic import VGG16, AlexNet, Backbone, SqueezeNet
from magvit2.features.files import find_network, load_into, read_arrays
from magvit2.features.perceptual import PSQ_FILE
from tests.features.twins import alexnet_logits, alexnet_slices, squeezenet_slices, vgg_slices

VGG_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def num_parameters(backbone: type[AlexNet | VGG16 | SqueezeNet], *, classifier: bool = True) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in backbone(classifier=classifier).parameters())


def shapes(backbone: type[AlexNet | VGG16 | SqueezeNet]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in backbone().state_dict().items()}


def test_published_parameter_counts() -> None:
    assert num_parameters(AlexNet) == 61_100_840
    assert num_parameters(AlexNet, classifier=False) == 2_469_696
    assert num_parameters(VGG16) == 138_357_544
    assert num_parameters(VGG16, classifier=False) == 14_714_688
    assert num_parameters(SqueezeNet) == 1_235_496


def test_alexnet_has_torchvision_s_names() -> None:
    weights = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    }
    assert shapes(AlexNet) == _with_biases(weights)


def test_vgg16_has_torchvision_s_names() -> None:
    weights: dict[str, tuple[int, ...]] = {
        f"features.{index}": (wide, narrow, 3, 3)
        for index, (narrow, wide) in zip(VGG_CONVS, pairwise(VGG_WIDTHS), strict=True)
    }
    weights |= {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}
    assert shapes(VGG16) == _with_biases(weights)


def test_squeezenet_has_the_names_of_the_file(data_dir: Path) -> None:
    arrays = read_arrays(find_network(data_dir / "nets", PSQ_FILE))
    assert shapes(SqueezeNet) == {name: tuple(array.shape) for name, array in arrays.items()}


def test_squeezenet_gives_the_output_that_came_with_its_file(data_dir: Path) -> None:
    file = find_network(data_dir / "nets", PSQ_FILE)
    network = SqueezeNet()
    load_into(network, read_arrays(file), file)
    vectors = np.load(data_dir / "nets" / "squeezenet1_1_testvec.npz")
    output = network(torch.from_numpy(vectors["input"])).numpy()
    assert np.abs(output - vectors["output"]).max() < 1.4e-4  # of values up to 272


@pytest.mark.parametrize(
    ("backbone", "twin"), [(AlexNet, alexnet_slices), (VGG16, vgg_slices), (SqueezeNet, squeezenet_slices)]
)
@pytest.mark.parametrize("size", [(64, 64), (70, 47)])
def test_every_slice_by_plain_calls(backbone, twin, size) -> None:  # type: ignore[no-untyped-def]
    network: Backbone = backbone(classifier=False)
    x = torch.randn(2, 3, *size)
    slices = list(network.slices(x))
    expected = twin(dict(network.state_dict()), x)
    assert [y.shape[1] for y in slices] == list(network.channels)
    for found, wanted in zip(slices, expected, strict=True):
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_alexnet_s_logits_by_plain_calls() -> None:
    network = AlexNet()
    x = torch.randn(1, 3, 224, 224)
    assert torch.allclose(network(x), alexnet_logits(dict(network.state_dict()), x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", [AlexNet, VGG16, SqueezeNet])
def test_min_side_is_the_least_that_works(backbone: type[AlexNet | VGG16 | SqueezeNet]) -> None:
    network = backbone(classifier=False)
    side = network.min_side
    assert all(0 not in y.shape for y in network.slices(torch.zeros(1, 3, side, side)))
    with pytest.raises(RuntimeError, match="too small"):
        list(network.slices(torch.zeros(1, 3, side - 1, side - 1)))


def test_frozen_networks_stay_frozen() -> None:
    network = torch.nn.Sequential(SqueezeNet(classifier=False)).train()
    assert not any(module.training for module in network[0].modules())
    assert not any(p.requires_grad for p in network.parameters())


def _with_biases(weights: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.{part}": shape if part == "weight" else shape[:1]
        for name, shape in weights.items()
        for part in ("weight", "bias")
    }
