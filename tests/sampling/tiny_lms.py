"""The smallest language models, and stand-ins whose logits are known."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from magvit2.layers.transformer import KVCache, TransformerConfig
from magvit2.lm import CausalLM, CausalLMConfig, MaskedLM, MaskedLMConfig
from magvit2.tokens import TokenSpace

SHAPE = TransformerConfig(width=16, num_layers=1, num_heads=2, mlp_width=16, dropout=0.5)
SPACE = TokenSpace((2,) * 6, (4, 8, 8))
GRID = (3, 2, 2)
T = TypeVar("T", bound=nn.Module)


def loud(make: Callable[[], T]) -> T:
    """Make a model whose logits differ by several nats, so that what it sees decides what it says; always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = make().eval()
    for parameter in lm.parameters():
        parameter.data *= 8
    return lm


def masked_lm(**changes: object) -> MaskedLM:
    """A masked model of 6 bits as 2 factors, on 3 x 2 x 2 positions, with 3 classes."""
    settings = {"space": SPACE, "grid": GRID, "num_classes": 3, "transformer": SHAPE} | changes
    return loud(lambda: MaskedLM(MaskedLMConfig(**settings)))  # type: ignore[arg-type]


def causal_lm(**changes: object) -> "WatchedCausalLM":
    """A causal model of the same."""
    settings = {"space": SPACE, "grid": GRID, "num_classes": 3, "transformer": SHAPE} | changes
    return loud(lambda: WatchedCausalLM(CausalLMConfig(**settings)))  # type: ignore[arg-type]


class KnownMaskedLM(MaskedLM):
    """Says the same of whatever it is given, and keeps that: `logits` are those of each factor, [t, h, w, k]."""

    def __init__(self, config: MaskedLMConfig, *logits: Tensor) -> None:
        super().__init__(config)
        self.known_logits = logits
        self.seen: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, factors: Tensor, labels: Tensor, tasks: Tensor | None = None) -> tuple[Tensor, ...]:
        self.seen.append((factors, labels, tasks))
        _, t, h, w, _ = factors.shape
        return tuple(each[:t, :h, :w].expand(len(factors), t, h, w, -1) for each in self.known_logits)


class WatchedCausalLM(CausalLM):
    """Keeps every run of tokens that it is given."""

    def __init__(self, config: CausalLMConfig) -> None:
        super().__init__(config)
        self.seen: list[Tensor] = []

    def hidden(self, sequence: Tensor, cache: KVCache | None = None) -> Tensor:
        self.seen.append(sequence)
        return super().hidden(sequence, cache)
