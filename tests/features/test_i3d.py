"""I3D: the ported state dict's names, TensorFlow's padding, and the same numbers from plain function calls."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magvit2.errors import InputError
from magvit2.features.i3d import I3D, pad_same

BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
MODULES = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")


def test_names_and_count_are_the_port_s() -> None:
    with torch.device("meta"):
        network = I3D()
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [f"Mixed_{module}.{branch}" for module in MODULES for branch in BRANCHES]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"{unit}.conv3d.weight" for unit in units} | {f"{unit}.bn.{part}" for unit in units for part in norm}
    assert set(network.state_dict()) == names | {"logits.conv3d.weight", "logits.conv3d.bias"}
    assert network.state_dict()["Mixed_5c.b1b.conv3d.weight"].shape == (384, 192, 3, 3, 3)
    assert network.state_dict()["logits.conv3d.weight"].shape == (400, 1024, 1, 1, 1)
    assert sum(p.numel() for p in network.parameters()) == 12_697_264


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1)])
def test_padding_is_tensorflow_s(length: int, kernel: int, stride: int) -> None:
    """The port's own rule: kernel - stride where the stride divides the length, kernel - rest elsewhere."""
    total = max(kernel - (length % stride or stride), 0)
    x = torch.arange(1.0, length + 1).reshape(1, 1, length, 1, 1)
    padded = pad_same(x, (kernel, 1, 1), (stride, 1, 1)).flatten().tolist()
    assert padded == [0.0] * (total // 2) + list(range(1, length + 1)) + [0.0] * (total - total // 2)
    assert (len(padded) - kernel) // stride + 1 == -(-length // stride)


def twin(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def pad(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        totals = [max(k - (n % s or s), 0) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
        return F.pad(x, [side for total in reversed(totals) for side in (total // 2, total - total // 2)])

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = w[f"{name}.conv3d.weight"]
        x = F.conv3d(pad(x, tuple(weight.shape[2:]), (stride,) * 3), weight, stride=stride)
        parts = [w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *parts, eps=1e-3))

    def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
        return F.max_pool3d(pad(x, kernel, stride), kernel, stride)

    def mixed(x: Tensor, name: str) -> Tensor:
        name = f"Mixed_{name}"
        second = unit(unit(x, f"{name}.b1a"), f"{name}.b1b")
        third = unit(unit(x, f"{name}.b2a"), f"{name}.b2b")
        fourth = unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b")
        return torch.cat([unit(x, f"{name}.b0"), second, third, fourth], 1)

    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    x = pool(mixed(mixed(x, "3b"), "3c"), (3, 3, 3), (2, 2, 2))
    for module in ("4b", "4c", "4d", "4e", "4f"):
        x = mixed(x, module)
    x = mixed(mixed(pool(x, (2, 2, 2), (2, 2, 2)), "5b"), "5c")
    x = F.avg_pool3d(x, (2, 7, 7), 1)
    logits = F.conv3d(x, w["logits.conv3d.weight"], w["logits.conv3d.bias"])
    return logits.squeeze(3).squeeze(3).mean(2)


def test_logits_by_plain_calls() -> None:
    network = I3D()
    for name, buffer in network.named_buffers():  # small variances: what a layer sees reaches the next one
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn_like(buffer) * 0.01)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand_like(buffer) * 0.1 + 0.1)
    network.logits.conv3d.bias.zero_()
    clips = torch.rand(1, 3, 10, 224, 224) * 2 - 1
    with torch.inference_mode():
        found, expected = network(clips), twin(dict(network.state_dict()), clips)
    assert float(expected.std()) > 0.01
    assert np.abs((found - expected).numpy()).max() < 1e-4 * float(expected.abs().max())


def test_a_clip_that_is_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="clips of 8 frames: I3D expects 9 or more"):
        I3D()(torch.zeros(1, 3, 8, 224, 224))
