"""Embeddings: 8-bit frames or clips to one feature vector each, with the protocol that made it.

What enters is uint8 RGB, so that every number is one of frames as they would be stored, never of floats in between.
Sources: Inception and the StyleGAN-V detector as called in NVlabs/stylegan2-ada-pytorch and universome/stylegan-v;
the ported I3D as called in wilson1yan/VideoGPT and songweige/TATS.
"""

from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.errors import FormatError, InputError
from magvit2.features.files import FoundFile, NetworkFile, find_network, read_script
from magvit2.features.frozen import check_u8, device_of, normalize_imagenet, resize_images, to_planes
from magvit2.features.i3d import I3D, load_i3d
from magvit2.features.mobilenet import MobileNetV2, load_mobilenet

INCEPTION_FILE: Final = NetworkFile(("inception-2015-12-05.pt",))
SCRIPTED_I3D_FILE: Final = NetworkFile(("i3d_torchscript.pt",))
MOBILENET_SIZE: Final = 224
I3D_SIZE: Final = 224
_I3D_OPTIONS: Final = ("rescale", "resize", "return_features")


@runtime_checkable
class Embedding(Protocol):
    """Items (frames [H, W, 3] or clips [T, H, W, 3], uint8) to features; what a Fréchet distance is of.

    `name` is the metric's, `protocol` says how the features come about, `ddof` is what the metric's convention takes
    off the number of samples in a covariance, and `num_frames` is the length of its clips (1: frames, 0: any).
    """

    @property
    def name(self) -> str:
        """The metric's name."""

    @property
    def protocol(self) -> str:
        """Network, digest, preprocessing."""

    @property
    def ddof(self) -> int:
        """1 for covariances over n - 1, 0 over n."""

    @property
    def num_frames(self) -> int:
        """Frames of an item."""

    def __call__(self, items: UInt8[np.ndarray, "n *item"]) -> Float[Tensor, "n d"]:
        """Return one vector for each item, on the CPU."""


class MobileNetEmbedding:
    """`fd-mbv2`: 1,280 pooled MobileNetV2 features of frames; a substitute for FID's that must not be called FID."""

    name = "fd-mbv2"
    ddof = 1
    num_frames = 1

    def __init__(self, network: MobileNetV2, file: FoundFile, size: int = MOBILENET_SIZE) -> None:
        self._network = network
        self._size = size
        self.protocol = f"{self.name}: {file.label}, 1280-d pooled, 8-bit RGB, bilinear antialiased to {size}x{size}"

    def __call__(self, items: UInt8[np.ndarray, "n H W 3"]) -> Float[Tensor, "n 1280"]:
        """Return the features of frames of any size; they are squashed to size x size."""
        x = _planes(items).to(device_of(self._network))
        images = resize_images(x.float() / 255, self._size, self._size)
        with torch.inference_mode():
            return self._network(normalize_imagenet(images)).cpu()


class InceptionNetwork:
    """FID's Inception in its TorchScript form: features as an embedding called `fid`, and probabilities for IS.

    The archive resizes by itself (bilinear on TensorFlow 1's grid, to 299 x 299) and takes uint8 planes.
    """

    name = "fid"
    ddof = 1
    num_frames = 1

    def __init__(self, file: FoundFile, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        self._file = file
        self._network = read_script(file, self._device, ("return_features", "no_output_bias"))

    @property
    def protocol(self) -> str:
        """Network, digest, preprocessing of the features."""
        return f"{self.name}: {self._file.label}, 2048-d pool, {self._preprocessing}"

    @property
    def probabilities_protocol(self) -> str:
        """Network, digest, preprocessing of the probabilities."""
        return f"{self._file.label}, softmax without bias, {self._preprocessing}"

    _preprocessing = "8-bit RGB, resized by the network (bilinear, 299x299)"

    def __call__(self, items: UInt8[np.ndarray, "n H W 3"]) -> Float[Tensor, "n 2048"]:
        """Return the features of frames. Raises FormatError where the archive gives something else."""
        with torch.inference_mode():
            features = self._network(_planes(items).contiguous().to(self._device), "return_features")
        return _checked(features, (len(items), 2048), self._file)

    def probabilities(self, items: UInt8[np.ndarray, "n H W 3"]) -> Float[Tensor, "n k"]:
        """Return class probabilities, the bias of the last layer left out as in the first Inception scores."""
        with torch.inference_mode():
            probabilities = self._network(_planes(items).contiguous().to(self._device), "no_output_bias")
        return _checked(probabilities, (len(items), None), self._file)


class ScriptedI3D:
    """`fvd-styleganv`: I3D's 400 logits from StyleGAN-V's TorchScript archive, which scales and resizes by itself.

    Covariances are over n, as StyleGAN-V computes them.
    """

    name = "fvd-styleganv"
    ddof = 0

    def __init__(self, file: FoundFile, device: str | torch.device = "cpu", num_frames: int = 16) -> None:
        self._device = torch.device(device)
        self._file = file
        self._network = read_script(file, self._device, _I3D_OPTIONS)
        self.num_frames = num_frames
        self.protocol = (
            f"{self.name}: {file.label}, 400 logits, {num_frames} frames, 8-bit RGB, "
            f"resized by the network (bilinear, {I3D_SIZE}x{I3D_SIZE})"
        )

    def __call__(self, items: UInt8[np.ndarray, "n T H W 3"]) -> Float[Tensor, "n 400"]:
        """Return the logits of clips. Raises InputError for another length, FormatError for another archive."""
        x = _clips(items, self.num_frames, self.name).to(self._device).float()  # 0 .. 255
        with torch.inference_mode():
            logits = self._network(x, *_I3D_OPTIONS)
        return _checked(logits, (len(items), 400), self._file)


class PortedI3D:
    """`fvd-videogpt`: I3D's 400 logits from the ported state dict, frames resized here as VideoGPT and TATS do.

    Bilinear without antialiasing to 224 x 224, then [-1, 1]; covariances over n - 1.
    """

    name = "fvd-videogpt"
    ddof = 1

    def __init__(self, network: I3D, file: FoundFile, num_frames: int = 16) -> None:
        self._network = network
        self.num_frames = num_frames
        self.protocol = (
            f"{self.name}: {file.label}, 400 logits, {num_frames} frames, 8-bit RGB, "
            f"bilinear without antialiasing to {I3D_SIZE}x{I3D_SIZE}"
        )

    def __call__(self, items: UInt8[np.ndarray, "n T H W 3"]) -> Float[Tensor, "n 400"]:
        """Return the logits of clips. Raises InputError for another length."""
        x = _clips(items, self.num_frames, self.name).to(device_of(self._network))
        with torch.inference_mode():
            return self._network(prepare_i3d(x)).cpu()


def prepare_i3d(clips_u8: UInt8[Tensor, "n 3 T H W"]) -> Float[Tensor, "n 3 T 224 224"]:
    """Return clips resized frame by frame (bilinear, no antialiasing, half-pixel centres), in [-1, 1]."""
    n, _, T, H, W = clips_u8.shape
    frames = clips_u8.movedim(2, 1).reshape(n * T, 3, H, W).float()
    frames = resize_images(frames, I3D_SIZE, I3D_SIZE, antialias=False)
    return frames.unflatten(0, (n, T)).movedim(1, 2) * 2 / 255 - 1


def load_mobilenet_embedding(nets: Path, device: str | torch.device = "cpu") -> MobileNetEmbedding:
    """Return `fd-mbv2`'s embedding. Raises MissingNetworkError, FormatError."""
    network, file = load_mobilenet(nets)
    return MobileNetEmbedding(network.to(device), file)


def load_inception(nets: Path, device: str | torch.device = "cpu") -> InceptionNetwork:
    """Return FID's Inception from `inception-2015-12-05.pt`. Raises MissingNetworkError, FormatError."""
    return InceptionNetwork(find_network(nets, INCEPTION_FILE), device)


def load_scripted_i3d(nets: Path, device: str | torch.device = "cpu") -> ScriptedI3D:
    """Return StyleGAN-V's I3D from `i3d_torchscript.pt`. Raises MissingNetworkError, FormatError."""
    return ScriptedI3D(find_network(nets, SCRIPTED_I3D_FILE), device)


def load_ported_i3d(nets: Path, device: str | torch.device = "cpu") -> PortedI3D:
    """Return VideoGPT's and TATS's I3D from `i3d_pretrained_400.pt`. Raises MissingNetworkError, FormatError."""
    network, file = load_i3d(nets)
    return PortedI3D(network.to(device), file)


def _planes(items: UInt8[np.ndarray, "n H W 3"]) -> UInt8[Tensor, "n 3 H W"]:
    check_u8(items, 4)
    return to_planes(torch.from_numpy(np.ascontiguousarray(items)))


def _clips(items: UInt8[np.ndarray, "n T H W 3"], num_frames: int, name: str) -> UInt8[Tensor, "n 3 T H W"]:
    check_u8(items, 5)
    if items.shape[1] != num_frames:
        raise InputError(f"clips of {items.shape[1]} frames: {name} expects {num_frames}")
    return torch.from_numpy(np.ascontiguousarray(items)).movedim(-1, 1).contiguous()


def _checked(found: object, expected: tuple[int, int | None], file: FoundFile) -> Float[Tensor, "n d"]:
    shape = tuple(found.shape) if isinstance(found, Tensor) else None
    if (
        shape is None
        or len(shape) != 2
        or any(want not in (None, got) for got, want in zip(shape, expected, strict=True))
    ):
        wanted = ["any" if size is None else size for size in expected]
        raise FormatError(f"{file.path}: gave {type(found).__name__} {shape}; expected a tensor of shape {wanted}")
    assert isinstance(found, Tensor)
    return found.float().cpu()
