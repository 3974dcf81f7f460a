"""Embeddings: what exactly reaches the networks. TorchScript archives are stubs that tell what they were given."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from magvit2.errors import FormatError, InputError
from magvit2.features import (
    Embedding,
    MissingNetworkError,
    MobileNetEmbedding,
    PortedI3D,
    load_inception,
    load_mobilenet_embedding,
    load_ported_i3d,
    load_scripted_i3d,
)
from magvit2.features.embeddings import prepare_i3d
from magvit2.features.files import FoundFile, open_network
from magvit2.features.i3d import I3D
from magvit2.features.mobilenet import MobileNetV2, load_mobilenet


class StubInception(nn.Module):
    """Takes uint8 planes only; a feature is a pixel, a probability comes from the channels' means."""

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        assert img.dtype == torch.uint8
        assert img.shape[1] == 3
        if return_features:
            return img.flatten(1)[:, :2048].float()
        logits = img.float().mean(dim=[2, 3])
        if not no_output_bias:
            logits = logits + 1000.0
        return torch.softmax(logits - logits.max(dim=1, keepdim=True)[0], dim=1)


class StubI3D(nn.Module):
    """Takes floats of 0 to 255 and must be asked to scale and resize; a feature is a pixel."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features
        assert x.dtype == torch.float32
        assert x.shape[1] == 3
        return x.flatten(1)[:, :400]


class StubWrongSize(nn.Module):
    """Something else under the same name."""

    def forward(
        self,
        x: Tensor,
        return_features: bool = False,
        no_output_bias: bool = False,
        rescale: bool = False,
        resize: bool = False,
    ) -> Tensor:
        return torch.zeros(x.shape[0], 7)


def save(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path.parent


def random_u8(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_inception_gets_planes_of_bytes(tmp_path: Path) -> None:
    frames = random_u8(2, 27, 26, 3)
    network = load_inception(save(StubInception(), tmp_path / "inception-2015-12-05.pt"))
    assert isinstance(network, Embedding)
    assert np.array_equal(network(frames).numpy(), frames.transpose(0, 3, 1, 2).reshape(2, -1)[:, :2048])
    means = frames.mean(axis=(1, 2))
    expected = np.exp(means - means.max(axis=1, keepdims=True))
    assert network.probabilities(frames).numpy() == pytest.approx(
        expected / expected.sum(axis=1, keepdims=True), rel=1e-4
    )
    digest = open_network(tmp_path / "inception-2015-12-05.pt").sha256[:8]
    assert network.protocol.startswith(f"fid: inception-2015-12-05.pt sha256:{digest}, 2048-d pool, 8-bit RGB, resized")
    assert "softmax without bias" in network.probabilities_protocol


def test_styleganv_s_i3d_gets_clips_from_0_to_255(tmp_path: Path) -> None:
    clips = random_u8(2, 16, 8, 9, 3)
    embed = load_scripted_i3d(save(StubI3D(), tmp_path / "i3d_torchscript.pt"))
    assert isinstance(embed, Embedding)
    assert np.array_equal(embed(clips).numpy(), clips.transpose(0, 4, 1, 2, 3).reshape(2, -1)[:, :400])
    assert (embed.name, embed.ddof, embed.num_frames) == ("fvd-styleganv", 0, 16)
    assert "400 logits, 16 frames" in embed.protocol
    with pytest.raises(InputError, match="clips of 17 frames: fvd-styleganv expects 16"):
        embed(random_u8(1, 17, 8, 8, 3))


@pytest.mark.parametrize(
    ("name", "shape"), [("inception-2015-12-05.pt", (2, 9, 9, 3)), ("i3d_torchscript.pt", (2, 16, 9, 9, 3))]
)
def test_an_archive_of_something_else_is_refused(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    folder = save(StubWrongSize(), tmp_path / name)
    embed = load_inception(folder) if name.startswith("inception") else load_scripted_i3d(folder)
    with pytest.raises(FormatError, match=r"gave Tensor \(2, 7\); expected a tensor of shape \[2, (2048|400)\]"):
        embed(random_u8(*shape))


class StubOther(nn.Module):
    """A network that knows nothing of features."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("name", ["inception-2015-12-05.pt", "i3d_torchscript.pt"])
def test_an_archive_whose_network_knows_no_features_is_refused_at_once(tmp_path: Path, name: str) -> None:
    folder = save(StubOther(), tmp_path / name)
    load = load_inception if name.startswith("inception") else load_scripted_i3d
    with pytest.raises(FormatError, match=rf"{name}: an archive of another network, without .*return_features"):
        load(folder)


class SeenI3D(I3D):
    """Keeps what it is given."""

    def forward(self, clips: Tensor) -> Tensor:
        self.seen = clips
        return torch.zeros(len(clips), 400)


def bilinear(frame: np.ndarray, size: int) -> np.ndarray:
    """Bilinear by hand: half-pixel centres, the border repeated, no antialiasing."""
    for axis in (0, 1):
        length = frame.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
        frame = np.take(frame, low, axis) * (1 - share) + np.take(frame, high, axis) * share
    return frame


@pytest.mark.parametrize("size", [(30, 40), (300, 225)])
def test_the_ported_i3d_gets_frames_resized_by_hand(tmp_path: Path, size: tuple[int, int]) -> None:
    clips = random_u8(2, 16, *size, 3)
    network = SeenI3D()
    embed = PortedI3D(network, FoundFile(tmp_path / "i3d_pretrained_400.pt", "0" * 64))
    assert isinstance(embed, Embedding)
    embed(clips)
    assert network.seen.shape == (2, 3, 16, 224, 224)
    for clip, frame in ((0, 0), (1, 5)):
        expected = bilinear(clips[clip, frame].astype(np.float64), 224) * 2 / 255 - 1
        assert np.abs(network.seen[clip, :, frame].permute(1, 2, 0).numpy() - expected).max() < 1e-4  # float32 places
    assert "fvd-videogpt" in embed.protocol and "without antialiasing to 224x224" in embed.protocol


def test_frames_at_i3d_s_size_are_only_scaled() -> None:
    clips = torch.from_numpy(random_u8(1, 3, 2, 224, 224))
    assert torch.allclose(prepare_i3d(clips), clips.float() / 127.5 - 1, atol=1e-6)


def test_the_ported_i3d_is_read_from_its_state_dict(tmp_path: Path) -> None:
    state = I3D().state_dict()
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    embed = load_ported_i3d(tmp_path)
    assert torch.equal(embed._network.state_dict()["logits.conv3d.bias"], state["logits.conv3d.bias"])
    torch.save({name: value for name, value in state.items() if "5c" not in name}, tmp_path / "i3d_pretrained_400.pt")
    with pytest.raises(FormatError, match="the first that differs is Mixed_5c"):
        load_ported_i3d(tmp_path)


def test_missing_networks_are_named(tmp_path: Path) -> None:
    wanted = {
        load_inception: "inception-2015-12-05.pt",
        load_scripted_i3d: "i3d_torchscript.pt",
        load_ported_i3d: "i3d_pretrained_400.pt",
        load_mobilenet_embedding: "mobilenetv2_features_onnxzoo.npz",
    }
    for load, name in wanted.items():
        with pytest.raises(MissingNetworkError, match=f"^needs {name} in {tmp_path}$"):
            load(tmp_path)


def test_mobilenet_has_the_published_count_less_classifier_and_folded_norms() -> None:
    with torch.device("meta"):
        network = MobileNetV2()
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    normed = sum(conv.out_channels for conv in convs)  # a batch norm has two numbers a channel, a bias one
    assert len(convs) == 52
    assert sum(p.numel() for p in network.parameters()) == 3_504_872 - (1280 * 1000 + 1000) - normed


def test_mobilenet_by_plain_calls_on_the_file_s_arrays(data_dir: Path) -> None:
    network, file = load_mobilenet(data_dir / "nets")
    with np.load(file.path) as archive:
        arrays = {name: torch.from_numpy(archive[name]) for name in archive.files}
    x = 8 * torch.randn(2, 3, 64, 48)  # enough for the last layer to be cut off at 6
    found = network(x)
    shortcut = x
    for number in range(52):
        weight, bias = arrays[f"conv{number}.weight"], arrays[f"conv{number}.bias"]
        depthwise = weight.shape[1] == 1
        if not depthwise and weight.shape[0] > weight.shape[1] and number > 0:
            shortcut = x  # an expansion: a block begins
        stride = 2 if number == 0 or number in _STRIDED else 1
        x = F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2, groups=weight.shape[0] if depthwise else 1)
        if number == 51 or depthwise or number == 0 or weight.shape[0] > weight.shape[1]:
            x = x.clamp(0, 6)
        elif x.shape == shortcut.shape and number > 2:
            x = x + shortcut
    expected = x.mean(dim=(2, 3))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


_STRIDED = (4, 10, 19, 40)


def test_mobilenet_s_frames_are_squashed_and_normalised(data_dir: Path) -> None:
    class Seen(MobileNetV2):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return torch.zeros(len(x), 1280)

    network = Seen()
    _, file = load_mobilenet(data_dir / "nets")
    MobileNetEmbedding(network, file)(np.full((2, 40, 60, 3), (255, 0, 102), np.uint8))
    assert network.seen.shape == (2, 3, 224, 224)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.4 - 0.406) / 0.225]
    assert network.seen[1, :, 100, 7].tolist() == pytest.approx(expected, abs=1e-5)


def test_frames_shrink_for_mobilenet_as_pillow_shrinks_them(data_dir: Path) -> None:
    """Pillow rounds to bytes after each axis, one grey level at most; without antialiasing it would be 60 and more."""

    class Seen(MobileNetV2):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return torch.zeros(len(x), 1280)

    frame = random_u8(300, 410, 3)
    network = Seen()
    _, file = load_mobilenet(data_dir / "nets")
    MobileNetEmbedding(network, file)(frame[None])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = (network.seen[0].permute(1, 2, 0) * std + mean).numpy() * 255
    expected = np.asarray(Image.fromarray(frame).resize((224, 224), Image.Resampling.BILINEAR), dtype=np.float64)
    assert np.abs(seen - expected).max() < 1.01


def test_shrinking_for_mobilenet_is_antialiased(data_dir: Path) -> None:
    """A chessboard of single pixels becomes grey, which bilinear samples alone would not make it."""
    board = np.indices((448, 448)).sum(0) % 2 * 255
    frames = np.repeat(board[None, :, :, None], 3, axis=3).astype(np.uint8)
    embed = load_mobilenet_embedding(data_dir / "nets")
    grey = embed(np.full((1, 224, 224, 3), 128, np.uint8))
    assert math.dist(embed(frames)[0].tolist(), grey[0].tolist()) < 0.15 * float(grey.norm())
