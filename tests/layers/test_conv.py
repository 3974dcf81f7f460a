"""The causal convolution against numpy loops, and the path that inference takes on a CPU."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from magvit2.geometry import Size, chunk_lengths
from magvit2.layers.conv import CausalConv3d, convolve
from magvit2.layers.memory import Memory

KERNELS_AND_STRIDES = [
    ((3, 3, 3), (1, 1, 1)),
    ((1, 1, 1), (1, 1, 1)),
    ((4, 4, 4), (2, 2, 2)),
    ((4, 4, 4), (1, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((2, 2, 2), (2, 2, 2)),
    ((1, 4, 4), (1, 2, 2)),
]


def looped(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, stride: Size) -> np.ndarray:
    """The definition: every output is a sum over the frames up to its own and the pixels around, edges repeated."""
    kernel, (frames, rows, columns) = weight.shape[2:], x.shape[2:]
    grid = (1 + (frames - 1) // stride[0], -(-rows // stride[1]), -(-columns // stride[2]))
    out = np.zeros((x.shape[0], weight.shape[0], *grid))
    for u, v, w in np.ndindex(grid):
        for a, b, c in np.ndindex(kernel):
            t = min(max(u * stride[0] - (kernel[0] - 1) + a, 0), frames - 1)
            i = min(max(v * stride[1] - (kernel[1] - 1) // 2 + b, 0), rows - 1)
            j = min(max(w * stride[2] - (kernel[2] - 1) // 2 + c, 0), columns - 1)
            out[:, :, u, v, w] += x[:, :, t, i, j] @ weight[:, :, a, b, c].T
    return out if bias is None else out + bias[:, None, None, None]


def double_conv(kernel: Size, stride: Size, *, bias: bool = True) -> CausalConv3d:
    conv = CausalConv3d(3, 4, kernel, stride, bias=bias).double()
    if conv.bias is not None:
        torch.nn.init.normal_(conv.bias)
    return conv


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 4), (5, 6, 7), (4, 2, 3)])
@pytest.mark.parametrize(("kernel", "stride"), KERNELS_AND_STRIDES)
def test_convolution_equals_its_definition(kernel: Size, stride: Size, size: Size, generator: torch.Generator) -> None:
    conv = double_conv(kernel, stride)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    expected = looped(x.numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy(), stride)
    torch.testing.assert_close(conv(x), torch.from_numpy(expected))


@pytest.mark.parametrize(("kernel", "stride"), KERNELS_AND_STRIDES)
def test_canonical_chunks_with_a_memory_give_what_the_whole_clip_gives(
    kernel: Size, stride: Size, generator: torch.Generator
) -> None:
    conv = double_conv(kernel, stride, bias=False)
    x = torch.randn(2, 3, 9, 4, 5, generator=generator, dtype=torch.float64)
    memory = Memory()
    chunks = [conv(chunk, memory) for chunk in x.split(chunk_lengths(9, 4), dim=2)]
    assert [chunk.shape[2] for chunk in chunks] == [1, 4 // stride[0], 4 // stride[0]]
    torch.testing.assert_close(torch.cat(chunks, dim=2), conv(x))


def test_two_clips_do_not_share_a_memory(generator: torch.Generator) -> None:
    conv, x = double_conv((3, 3, 3), (1, 1, 1)), torch.randn(1, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
    used = Memory()
    conv(torch.ones_like(x), used)
    assert torch.equal(conv(x, Memory()), conv(x))
    assert not torch.equal(conv(x, used), conv(x))  # the second call goes on where the first left off


def test_a_strided_4x4x4_kernel_keeps_the_frame_rule() -> None:
    """1 + 2n frames become 1 + n, and frame 0 alone makes the first of them."""
    conv = double_conv((4, 4, 4), (2, 2, 2))
    for n in range(4):
        assert conv(torch.zeros(1, 3, 1 + 2 * n, 6, 8, dtype=torch.float64)).shape[2:] == (1 + n, 3, 4)
    x = torch.zeros(1, 3, 5, 4, 4, dtype=torch.float64, requires_grad=True)
    for latent, last_seen in enumerate([0, 2, 4]):
        (gradient,) = torch.autograd.grad(conv(x)[:, :, latent].sum(), x)
        seen = gradient.abs().sum(dim=(0, 1, 3, 4)) > 0
        assert seen.tolist() == [max(0, last_seen - 3) <= frame <= last_seen for frame in range(5)]


def test_a_kernel_shorter_than_its_stride_in_time_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        CausalConv3d(3, 4, (1, 4, 4), (2, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3, 3), (1, 1, 1)), ((4, 4, 4), (2, 2, 2)), ((1, 1, 1), (1, 1, 1))])
def test_inference_goes_to_onednn_and_equals_pytorch_s_convolution(
    kernel: Size, stride: Size, dtype: torch.dtype, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1, 8, 6, 7, 9, generator=generator).to(dtype)
    weight = (torch.randn(5, 8, *kernel, generator=generator) / (8 * kernel[1] ** 3) ** 0.5).to(dtype)
    bias = torch.randn(5, generator=generator).to(dtype)
    expected = functional.conv3d(x.double(), weight.double(), bias.double(), stride).to(dtype)
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.03, "rtol": 0.02}
    calls: list[object] = []
    monkeypatch.setattr(torch, "mkldnn_convolution", _recorded(torch.mkldnn_convolution, calls))
    with torch.no_grad():
        torch.testing.assert_close(convolve(x, weight, bias, stride), expected, **close)
        torch.testing.assert_close(convolve(x, weight, None, stride) + bias[:, None, None, None], expected, **close)
    assert len(calls) == (2 if torch.backends.mkldnn.is_available() else 0)
    torch.testing.assert_close(convolve(x, weight, bias, stride), expected, **close)  # training
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        convolve(x, weight, bias, stride)
    assert len(calls) <= 2  # neither training nor autocast takes that path


def _recorded(function: object, calls: list[object]) -> object:
    def call(*arguments: object) -> Tensor:
        calls.append(arguments)
        return function(*arguments)

    return call


def test_weights_start_with_a_variance_of_one_over_fan_in() -> None:
    conv = CausalConv3d(32, 64, (3, 3, 3))
    assert conv.weight.std().item() * (32 * 27) ** 0.5 == pytest.approx(0.88, abs=0.02)  # cut off at two deviations
    assert conv.bias.abs().max() == 0
