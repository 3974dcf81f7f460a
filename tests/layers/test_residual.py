"""The residual block against figure 7, written out with PyTorch's own layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from magvit2.layers.residual import ResBlock


@pytest.mark.parametrize("out_channels", [8, 12])
def test_block_is_norm_swish_conv_twice_plus_its_input(out_channels: int, generator: torch.Generator) -> None:
    block = ResBlock(8, out_channels, (1, 1, 1), "position").double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 8, 3, 4, 5, generator=generator, dtype=torch.float64)

    def half(y: torch.Tensor, norm: nn.Module, conv: nn.Module) -> torch.Tensor:
        y = functional.layer_norm(y, y.shape[-1:], norm.weight, norm.bias, 1e-6)
        return functional.linear(y * torch.sigmoid(y), conv.weight.flatten(1))

    last = x.permute(0, 2, 3, 4, 1)
    y = half(half(last, block.norm1, block.conv1), block.norm2, block.conv2)
    y = y + (last if block.skip is None else functional.linear(last, block.skip.weight.flatten(1)))
    torch.testing.assert_close(block(x), y.permute(0, 4, 1, 2, 3))


def test_only_a_change_of_width_has_a_skip_convolution_and_no_convolution_has_a_bias() -> None:
    names = {name for name, _ in ResBlock(8, 8, (3, 3, 3), "frame").named_parameters()}
    assert names == {"norm1.weight", "norm1.bias", "conv1.weight", "norm2.weight", "norm2.bias", "conv2.weight"}
    wider = ResBlock(8, 16, (3, 3, 3), "frame")
    assert {name for name, _ in wider.named_parameters()} == names | {"skip.weight"}
    assert wider.skip.weight.shape == (16, 8, 1, 1, 1)
