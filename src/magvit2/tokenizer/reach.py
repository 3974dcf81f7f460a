"""How far a tokenizer's networks look: computed from the configuration, not measured.

A network is run once on the meta device, which computes nothing, and notes its convolutions and its changes of grid in
the order in which they run. Interval arithmetic then walks from an output back to the input. Residual skips, and the
codes that enter at every resolution of the decoder, lie inside what the convolutions beside them see.

A side of a span is None where only the frame's border ends it: GroupNorm takes its statistics from all of a frame. In
time every side is finite.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn

from magvit2.layers.conv import CausalConv3d, CentredConv3d
from magvit2.layers.resample import AveragePool, RepeatUpsample, Upsample
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.networks import Decoder, Encoder


class Span(NamedTuple):
    """How many positions before its own and behind it something depends on, along one axis; None: all there are."""

    before: int | None
    behind: int | None


class Reach(NamedTuple):
    """The spans of a network along time, rows and columns."""

    time: Span
    rows: Span
    columns: Span


@lru_cache
def encoder_reach(config: TokenizerConfig) -> Reach:
    """Return how many frames, rows and columns of pixels a latent position sees beyond those that it covers."""
    spans = []
    for axis, block in zip(zip(*_encoder_layers(config), strict=True), _own_blocks(config), strict=True):
        seen = _walk((0, 0), axis)
        spans.append(Span(block[0] - seen[0], seen[1] - block[1]))
    return _bounded(config, spans, window=(config.window or 0) - config.strides[0])


@lru_cache
def decoder_reach(config: TokenizerConfig) -> Reach:
    """Return on how many latents beyond their own the pixels that a latent position covers depend."""
    spans = []
    for axis, block in zip(zip(*_decoder_layers(config), strict=True), _own_blocks(config), strict=True):
        seen = _walk(block, axis)
        spans.append(Span(-seen[0], seen[1]))
    return _bounded(config, spans, window=(config.window or 0) // config.strides[0] - 1)


def encoder_halo(config: TokenizerConfig) -> tuple[Span, Span]:
    """Return what the encoder sees beyond some latents' own rows and columns, in latent positions, rounded up."""
    _, rows, columns = (_in_latents(*pair) for pair in zip(encoder_reach(config), config.strides, strict=True))
    return rows, columns


def decoder_halo(config: TokenizerConfig) -> tuple[Span, Span]:
    """Return on how many rows and columns of latents beyond some latents' own their decoded pixels depend."""
    return decoder_reach(config)[1:]


def latency_frames(config: TokenizerConfig) -> int:
    """Return how many frames must have come before their latents can be known: of a causal model those of one latent.

    The first frame of a causal model waits for none: it has a latent of its own. Of a model that works in windows, all
    frames of a window must be there.
    """
    return config.window or config.strides[0]


@lru_cache
def pre_roll(config: TokenizerConfig) -> int:
    """Return how many latent frames before a wanted one must be decoded, too, for the wanted one's frames to be exact.

    That is the decoder's reach into the past, or more: decoding that begins in the midst of a clip has, at every
    resolution, only the last frame of its first latent, as if that were a frame 0. Windows need nothing before them.
    """
    if not config.is_causal:
        return 0
    (first, _), scale = _own_blocks(config)[0], config.strides[0]
    earliest = first // scale
    for step, _, _ in reversed(_decoder_layers(config)):
        first, _ = step.sources(first, first)
        scale //= step.growth
        earliest = min(earliest, first // scale)
    return -earliest


_Interval = tuple[int, int]


class _Step(NamedTuple):
    """One layer along one axis: its output u sees its input from stride * v - before to stride * v + behind.

    v = (u + lead) // growth is u itself where the layer does not grow the grid.
    """

    stride: int = 1
    before: int = 0
    behind: int = 0
    growth: int = 1
    lead: int = 0

    def sources(self, first: int, last: int) -> _Interval:
        """Return the first and the last input that outputs `first` to `last` see."""
        low, high = ((position + self.lead) // self.growth for position in (first, last))
        return self.stride * low - self.before, self.stride * high + self.behind


_Layer = tuple[_Step, _Step, _Step]


def _walk(outputs: _Interval, steps: Sequence[_Step]) -> _Interval:
    for step in reversed(steps):
        outputs = step.sources(*outputs)
    return outputs


def _own_blocks(config: TokenizerConfig) -> tuple[_Interval, _Interval, _Interval]:
    """Return the first and the last frame, row and column that latent position 0 covers, but for the clip's start."""
    time, rows, columns = config.strides
    return (1 - time, 0) if config.is_causal else (0, time - 1), (0, rows - 1), (0, columns - 1)


def _bounded(config: TokenizerConfig, spans: Sequence[Span], window: int) -> Reach:
    """Return the spans with what normalisation adds; of models that work in windows, none reaches beyond its own."""
    time, rows, columns = spans
    if config.norm != "position":
        rows = columns = Span(None, None)
    if config.norm == "clip":
        time = Span(window, window)
    elif not config.is_causal:
        time = Span(*(min(side, window) for side in time if side is not None))
    return Reach(time, rows, columns)


def _in_latents(span: Span, stride: int) -> Span:
    before, behind = (None if side is None else -(-side // stride) for side in span)
    return Span(before, behind)


@lru_cache
def _encoder_layers(config: TokenizerConfig) -> tuple[_Layer, ...]:
    with torch.device("meta"):
        layers = _noted(Encoder(config), torch.empty(1, 3, *config.space.size_for((1, 1, 1))))
    patch = _Step(stride=config.patch_size, behind=config.patch_size - 1)
    return (_Step(), patch, patch), *layers


@lru_cache
def _decoder_layers(config: TokenizerConfig) -> tuple[_Layer, ...]:
    with torch.device("meta"):
        layers = _noted(Decoder(config), torch.empty(1, config.num_channels, 1, 1, 1))
    patch = _Step(growth=config.patch_size)
    return *layers, (_Step(), patch, patch)


def _noted(network: nn.Module, x: torch.Tensor) -> list[_Layer]:
    """Return the layers of a network that mix positions or change the grid, in the order in which they run."""
    layers: list[_Layer] = []

    def note(layer: nn.Module, *_: object) -> None:
        layers.append(_steps(layer))

    for layer in network.modules():
        if isinstance(layer, RepeatUpsample):
            layer.register_forward_pre_hook(note)  # repeats before it convolves
        elif isinstance(layer, CausalConv3d | CentredConv3d | AveragePool | Upsample):
            layer.register_forward_hook(note)
    with torch.no_grad():
        network(x)
    return layers


def _steps(layer: nn.Module) -> _Layer:
    """Return what a layer does along time, rows and columns."""
    if isinstance(layer, AveragePool):
        time, rows, columns = (_Step(stride=factor, behind=factor - 1) for factor in layer.factors)
    elif isinstance(layer, Upsample | RepeatUpsample):
        time, rows, columns = (_Step(growth=factor) for factor in layer.factors)
        if isinstance(layer, Upsample) and layer.is_causal:
            time = time._replace(lead=time.growth - 1)
    else:
        assert isinstance(layer, CausalConv3d | CentredConv3d), layer
        pairs = zip(layer.stride, layer.kernel, strict=True)
        time, rows, columns = (_Step(stride, (kernel - 1) // 2, kernel // 2) for stride, kernel in pairs)
        if isinstance(layer, CausalConv3d):
            time = time._replace(before=layer.kernel[0] - 1, behind=0)
    return time, rows, columns
