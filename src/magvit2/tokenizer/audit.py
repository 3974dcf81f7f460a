"""What a tokenizer costs, counted on the meta device: nothing is allocated or computed, whatever its size."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from magvit2.geometry import Size
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.networks import Decoder, Encoder


class Audit(NamedTuple):
    """Parameters of the networks, and their work for a long clip in MFLOP (2 x multiply-add) per pixel of the clip."""

    num_parameters: int
    encoder_parameters: int
    decoder_parameters: int
    encoder_mflop_per_pixel: float
    decoder_mflop_per_pixel: float


def audit(config: TokenizerConfig) -> Audit:
    """Return the size and the work of the tokenizer that `config` describes.

    Work is that of one more latent frame over the pixels it covers, which is what a clip's rate tends to; frame 0,
    which has a latent of its own, costs more. Of an image model, every frame is an image.
    """
    with torch.device("meta"):
        encoder, decoder = Encoder(config), Decoder(config)
        clips = [torch.empty(1, 3, *config.space.size_for((length, 1, 1))) for length in (2, 3)]
        codes = [torch.empty(1, config.num_channels, length, 1, 1) for length in (2, 3)]
    pixels = clips[1][0, 0].numel() - clips[0][0, 0].numel()
    encoding, decoding = _num_parameters(encoder), _num_parameters(decoder)
    work = _added(encoder, clips) / pixels, _added(decoder, codes) / pixels
    return Audit(encoding + decoding, encoding, decoding, *work)


def clip_mflop(config: TokenizerConfig, size: Size) -> tuple[float, float]:
    """Return the work of encoding and of decoding one clip of `size` (T, H, W) in MFLOP, padding included."""
    grid = config.space.grid_for(size)
    with torch.device("meta"):
        encoder, decoder = Encoder(config), Decoder(config)
        clip = torch.empty(1, 3, *config.space.size_for(grid))
        codes = torch.empty(1, config.num_channels, *grid)
    return _mflop(encoder, clip), _mflop(decoder, codes)


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _added(network: nn.Module, inputs: list[Tensor]) -> float:
    """Return how many MFLOP the longer of two inputs takes beyond the shorter."""
    shorter, longer = (_mflop(network, x) for x in inputs)
    return longer - shorter


def _mflop(network: nn.Module, x: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() / 1e6
