"""The 3-D convolutions. The causal one sees the past and the present, never the future:

`kernel[0] - 1` copies of the first frame go in front of a clip and nothing behind it; space is padded by its edge,
(k - 1) // 2 in front and k // 2 behind. With a `Memory`, later chunks take the frames before them from the chunk before
instead, so a clip in canonical chunks (`geometry.chunk_lengths`) gives what the whole clip gives.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.geometry import Size
from magvit2.layers.memory import Memory


class _Conv3d(nn.Module):
    """Weights of a convolution over [b, c, t, h, w]; `kernel` and `stride` are (t, h, w). Its children pad."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Size, stride: Size = (1, 1, 1), *, bias: bool = True
    ) -> None:
        super().__init__()
        assert kernel[0] >= stride[0], (kernel, stride)  # else a chunk would have to skip frames of the next
        self.kernel = kernel
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights from a normal of variance 1 / fan-in (the authors' framework's default) and zero the bias."""
        fan_in = self.weight[0].numel()
        nn.init.trunc_normal_(self.weight, std=fan_in**-0.5, a=-2 * fan_in**-0.5, b=2 * fan_in**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        out_channels, in_channels = self.weight.shape[:2]
        bias = self.bias is not None
        return f"{in_channels}, {out_channels}, kernel={self.kernel}, stride={self.stride}, bias={bias}"


class CausalConv3d(_Conv3d):
    """Convolution that is causal in time.

    A strided axis of n positions gives ceil(n / stride) in space and 1 + (n - 1) // stride in time.
    """

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b d u y x"]:
        """Convolve a whole clip, or with `memory` the next chunk of it."""
        padded = self._whole(x) if memory is None else self._continued(x, memory)
        return convolve(padded, self.weight, self.bias, self.stride)

    def _whole(self, x: Tensor) -> Tensor:
        time, rows, columns = self.kernel
        return _edge_padded(x, (*_centred(columns), *_centred(rows), time - 1, 0))

    def _continued(self, x: Tensor, memory: Memory) -> Tensor:
        """Return a chunk padded in space, behind the frames before it; `memory` keeps what the next one needs."""
        time, rows, columns = self.kernel
        if self.kernel == (1, 1, 1):
            memory.put(self, x[:, :, :0])
            return x
        tail = memory.get(self)
        before = time - 1 if tail is None else tail.shape[2]
        padded = _room_for(x, before, _centred(rows), _centred(columns))
        _write_with_edges(padded[:, :, before:], x, (rows - 1) // 2, (columns - 1) // 2)
        padded[:, :, :before] = padded[:, :, before : before + 1] if tail is None else tail
        memory.put(self, padded[:, :, padded.shape[2] - (time - self.stride[0]) :])
        return padded


class CentredConv3d(_Conv3d):
    """Convolution that looks as far ahead as back, in time as in space: of models that work in windows of frames.

    A strided axis of n positions gives ceil(n / stride). It remembers nothing from one window to the next.
    """

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b d u y x"]:
        """Convolve one window of a clip."""
        time, rows, columns = self.kernel
        padded = _edge_padded(x, (*_centred(columns), *_centred(rows), *_centred(time)))
        return convolve(padded, self.weight, self.bias, self.stride)


def conv_class(is_causal: bool) -> type[CausalConv3d] | type[CentredConv3d]:
    """Return the convolution of causal models, or that of models that work in windows."""
    return CausalConv3d if is_causal else CentredConv3d


def _centred(kernel: int) -> tuple[int, int]:
    return (kernel - 1) // 2, kernel // 2


def _edge_padded(x: Tensor, amounts: tuple[int, ...]) -> Tensor:
    return functional.pad(x, amounts, mode="replicate") if any(amounts) else x


def _room_for(x: Tensor, before: int, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Return an empty tensor for x, `before` frames and edges of so many rows and columns, in channels_last_3d."""
    batch, channels, t, h, w = x.shape
    return x.new_empty(batch, t + before, h + sum(rows), w + sum(columns), channels).permute(0, 4, 1, 2, 3)


def _write_with_edges(room: Tensor, x: Tensor, top: int, left: int) -> None:
    """Write x into `room` and repeat its edges around it; a `cat` and a `pad` would write every frame twice."""
    bottom, right = top + x.shape[3], left + x.shape[4]
    middle = room[:, :, :, top:bottom]
    middle[..., left:right] = x
    middle[..., :left] = x[..., :1]
    middle[..., right:] = x[..., -1:]
    room[:, :, :, :top] = middle[:, :, :, :1]
    room[:, :, :, bottom:] = middle[:, :, :, -1:]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Size) -> Tensor:
    """Convolve padded `x`; inference on a CPU goes to oneDNN directly.

    PyTorch hands small float32 inputs of batch 1 to a kernel that is up to 14 times slower and rounds differently, so
    that a clip's ids would depend on its size and batch.
    """
    if _onednn_applies(x):
        return torch.mkldnn_convolution(x, weight, bias, (0, 0, 0), stride, (1, 1, 1), 1)
    return functional.conv3d(x, weight, bias, stride)


def _onednn_applies(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )
