"""LPIPS and psq: the arithmetic in NumPy on other code's features, the official heads, files that must be there."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from magvit2.errors import FormatError, InputError
from magvit2.features import FrameDistance, MissingNetworkError, load_lpips, load_psq, perceptual
from magvit2.features.classic import VGG16, AlexNet, SqueezeNet
from magvit2.features.files import NetworkFile, find_network
from magvit2.features.perceptual import HEAD_FILES, read_heads
from tests.features.twins import alexnet_slices, squeezenet_slices, vgg_slices

SLICES = {"alex": alexnet_slices, "vgg": vgg_slices, "squeeze": squeezenet_slices}
BACKBONES = {"alex": AlexNet, "vgg": VGG16, "squeeze": SqueezeNet}
NETS = ("alex", "vgg", "squeeze")


def twin(net: str, state: dict[str, torch.Tensor], heads: list[np.ndarray], pair: list[torch.Tensor]) -> np.ndarray:
    """LPIPS v0.1 as its authors wrote it down, in NumPy float64 after the features."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    both = [SLICES[net](state, (x - shift[:, None, None]) / scale[:, None, None]) for x in pair]
    total = np.zeros(len(pair[0]))
    for one, two, head in zip(*both, heads, strict=True):
        units = []
        for features in (one.double().numpy(), two.double().numpy()):
            norm = np.sqrt(np.sum(features**2, axis=1, keepdims=True))
            units.append(features / (norm + 1e-10))
        squares = (units[0] - units[1]) ** 2
        total += np.einsum("bchw,c->bhw", squares, head.reshape(-1).astype(np.float64)).mean(axis=(1, 2))
    return total


def official_heads(data_dir: Path, net: str) -> list[np.ndarray]:
    path = data_dir / "nets" / f"lpips_v0.1_lin_{net}.pth"
    heads = torch.load(path, map_location="cpu", weights_only=True)
    return [heads[f"lin{number}.model.1.weight"].numpy() for number in range(len(heads))]


def images(size: tuple[int, int] = (64, 80)) -> list[torch.Tensor]:
    first = torch.rand(2, 3, *size) * 2 - 1
    return [first, (first + torch.randn_like(first) / 4).clamp(-1, 1)]


@pytest.fixture
def folder(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The official heads with backbones of random weights, whose files cannot have the official names."""
    for net, backbone in BACKBONES.items():
        network = backbone(classifier=False)
        extra = {"classifier.1.weight": torch.zeros(3)}
        torch.save(dict(network.state_dict()) | extra, tmp_path / f"{net}.pth")
        monkeypatch.setitem(perceptual.BACKBONE_FILES, net, NetworkFile((f"{net}.pth",)))
        name = f"lpips_v0.1_lin_{net}.pth"
        (tmp_path / name).write_bytes((data_dir / "nets" / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("net", NETS)
def test_lpips_by_hand_on_random_backbones(folder: Path, data_dir: Path, net: perceptual.LPIPSNet) -> None:
    distance = load_lpips(folder, net)
    state = torch.load(folder / f"{net}.pth", weights_only=True)
    pair = images()
    found = distance(*pair).numpy()
    expected = twin(net, state, official_heads(data_dir, net), pair)
    print(net, found, np.abs(found / expected - 1).max())
    assert found == pytest.approx(expected, rel=2e-5)
    assert distance.protocol.startswith(f"lpips-{net}: v0.1, {net}.pth sha256:")
    assert f"lpips_v0.1_lin_{net}.pth sha256:{HEAD_FILES[net].sha256[:8]}" in distance.protocol  # type: ignore[index]


@pytest.mark.parametrize("net", NETS)
def test_the_heads_are_the_official_ones(data_dir: Path, net: str) -> None:
    file = find_network(data_dir / "nets", HEAD_FILES[net])
    heads = read_heads(file, BACKBONES[net](classifier=False))
    assert [tuple(head.shape) for head in heads] == [(width,) for width in BACKBONES[net].channels]
    assert all((head >= 0).all() for head in heads)
    for head, wanted in zip(heads, official_heads(data_dir, net), strict=True):
        assert np.array_equal(head.numpy(), wanted.reshape(-1))


def test_heads_of_another_network_are_refused(data_dir: Path) -> None:
    file = find_network(data_dir / "nets", HEAD_FILES["alex"])
    with pytest.raises(FormatError, match=r"the first that differs is lin1.model.1.weight"):
        read_heads(file, VGG16(classifier=False))
    with pytest.raises(FormatError, match=r"the first that differs is lin5.model.1.weight"):
        read_heads(file, SqueezeNet(classifier=False))


@pytest.mark.parametrize(
    ("net", "name"),
    [("alex", "alexnet-owt-7be5be79"), ("vgg", "vgg16-397923af"), ("squeeze", "squeezenet1_1-b8a52dc0")],
)
def test_lpips_takes_no_substitute(data_dir: Path, net: perceptual.LPIPSNet, name: str) -> None:
    with pytest.raises(MissingNetworkError, match=rf"^needs {name}.pth .*in {data_dir / 'nets'}$"):
        load_lpips(data_dir / "nets", net)


def test_a_random_file_is_no_official_backbone(tmp_path: Path, data_dir: Path) -> None:
    torch.save(AlexNet(classifier=False).state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    name = "lpips_v0.1_lin_alex.pth"
    (tmp_path / name).write_bytes((data_dir / "nets" / name).read_bytes())
    with pytest.raises(FormatError, match="expected 7be5be79"):
        load_lpips(tmp_path, "alex")


def random_distance() -> FrameDistance:
    return FrameDistance(SqueezeNet(classifier=False), None, "psq", "psq: random")


def test_a_distance_is_zero_symmetric_and_has_a_gradient() -> None:
    distance = random_distance()
    one, two = images((32, 40))
    assert distance(one, one).abs().max() == 0
    assert torch.allclose(distance(one, two), distance(two, one))
    two.requires_grad_(True)
    distance(one, two).sum().backward()
    assert two.grad is not None and two.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in distance.parameters())


@pytest.mark.usefixtures("unchecked_shapes")
def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"^images of shapes \[2, 3, 32, 40\] and \[1, 3.*: psq expects the same"):
        random_distance()(torch.zeros(2, 3, 32, 40), torch.zeros(1, 3, 32, 40))


def test_frames_that_are_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="frames of 16 pixels a side: psq expects 17 or more"):
        random_distance()(torch.zeros(1, 3, 40, 16), torch.zeros(1, 3, 40, 16))


def test_psq_by_hand(data_dir: Path) -> None:
    distance = load_psq(data_dir / "nets")
    pair = images((48, 64))
    with np.load(data_dir / "nets" / "squeezenet1_1_onnxzoo.npz") as archive:
        state = {name: torch.from_numpy(archive[name]) for name in archive.files}
    expected = twin("squeeze", state, [np.full(width, 1 / 7) for width in SqueezeNet.channels], pair)
    assert distance(*pair).numpy() == pytest.approx(expected, rel=2e-5)


# What the data's README gives for Kodak: it is the mean over every second picture (01, 03, ... 23); that over all 24
# is up to 0.026 more.
PUBLISHED = {
    "jpeg": {95: 0.027, 75: 0.122, 50: 0.216, 30: 0.331, 10: 0.663, 5: 0.842},
    "blur": {1: 0.188, 2: 0.440, 4: 0.693},
}


def damaged(picture: Image.Image, kind: str, amount: int) -> Image.Image:
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(amount))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=amount)
    return Image.open(stream)


def plane(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1


def check_on_kodak(data_dir: Path, table: dict[tuple[str, int], float]) -> None:
    distance = load_psq(data_dir / "nets")
    values: dict[tuple[str, int], list[float]] = {key: [] for key in table}
    for path in sorted((data_dir / "kodak24").glob("*.png"))[::2]:
        picture = Image.open(path).convert("RGB")
        for kind, amount in table:
            with torch.inference_mode():
                values[kind, amount].append(float(distance(plane(picture), plane(damaged(picture, kind, amount)))))
    means = {key: float(np.mean(value)) for key, value in values.items()}
    print({key: round(value, 4) for key, value in means.items()})
    assert means == pytest.approx(table, abs=0.0005)


@pytest.mark.slow
def test_psq_on_kodak(data_dir: Path) -> None:
    check_on_kodak(data_dir, {("jpeg", 50): PUBLISHED["jpeg"][50]})


@pytest.mark.soak
def test_psq_s_table_on_kodak(data_dir: Path) -> None:
    check_on_kodak(data_dir, {(kind, amount): row[amount] for kind, row in PUBLISHED.items() for amount in row})
