"""The causal language model: ids in raster order, each as its factors in sequence, predicted one after another.

A sequence is its class and then its tokens; factor f's value v is the token v + (values of the factors before f). With
`llama` blocks and untied matrices it is a stock Llama, and exports as one. With one factor and `bert` blocks it is the
paper's AR-LM (table 8): whole ids of 2^18 values, not tied, 840M parameters.
"""

import itertools
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from magvit2.geometry import Size
from magvit2.layers.decoding import StepCache
from magvit2.layers.rotary import Rotation, rotation
from magvit2.layers.transformer import KVCache, Transformer, initialize
from magvit2.lm.config import CausalLMConfig
from magvit2.store import Pretrained


class CausalLM(Pretrained[CausalLMConfig], nn.Module):
    """A causal transformer over sequences of tokens."""

    kind = "causal-lm"
    config_class = CausalLMConfig

    def __init__(self, config: CausalLMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.embedding = nn.Embedding(config.vocab_size, width)
        is_bert = config.transformer.style == "bert"
        self.positions = nn.Embedding(config.sequence_length, width) if is_bert else None
        self.transformer = Transformer(config.transformer)
        self.head = None if config.is_tied else nn.Linear(width, config.vocab_size, bias=False)
        for part in (self.embedding, self.positions, self.head):
            if part is not None:
                part.apply(initialize)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.embedding.weight.device

    def forward(self, sequence: Int[Tensor, "b s"], cache: KVCache | None = None) -> Float[Tensor, "b s v"]:
        """Return at each token the logits of the next. With a `cache` the tokens come behind those that it holds."""
        return self.logits(self.hidden(sequence, cache))

    def hidden(self, sequence: Int[Tensor, "b s"], cache: KVCache | None = None) -> Float[Tensor, "b s c"]:
        """Return the hidden states of tokens."""
        first = 0 if cache is None else cache.length
        here = slice(first, first + sequence.shape[1])
        x = self.embedding(sequence)
        if self.positions is not None:
            return self.transformer(x + self.positions.weight[here], None, cache, is_causal=True)
        config = self.config
        turn = _rotation(config.sequence_length, config.transformer.head_width, config.rotary_base)
        turn = turn.at(here).to(x.device)
        if isinstance(cache, StepCache) and first:
            assert x.shape[1] == 1
            return cache.step(x[:, 0], turn)[:, None]
        return self.transformer(x, turn, cache, is_causal=True)

    def logits(self, hidden: Float[Tensor, "*n c"]) -> Float[Tensor, "*n v"]:
        """Return the logits of the whole vocabulary."""
        matrix = self.embedding.weight if self.head is None else self.head.weight
        return functional.linear(hidden, matrix)

    def factor_logits(self, hidden: Float[Tensor, "*n c"], factor: int) -> Float[Tensor, "*n k"]:
        """Return the logits of one factor's values alone."""
        matrix = self.embedding.weight if self.head is None else self.head.weight
        return functional.linear(hidden, matrix[self.offsets[factor] : self.offsets[factor + 1]])

    @property
    def offsets(self) -> tuple[int, ...]:
        """Return the first token of each factor and, behind them, that of the classes."""
        return (0, *itertools.accumulate(self.config.factor_sizes))

    def class_tokens(self, labels: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """Return the tokens of classes, from 0 to num_classes ("none")."""
        return self.offsets[-1] + labels

    def to_sequence(self, ids: Int[Tensor, "b t h w"]) -> Int[Tensor, "b n"]:
        """Return ids as tokens in sequence, without a class. Raises InputError for ids outside the space."""
        factors = self.config.space.ids_to_factors(ids, self.config.num_factors)
        return (factors + torch.tensor(self.offsets[:-1], device=ids.device)).flatten(1)

    def to_ids(self, sequence: Int[Tensor, "b n"], grid: Size) -> Int[Tensor, "b t h w"]:
        """Return the ids of tokens in sequence; the inverse of `to_sequence`."""
        factors = sequence.unflatten(1, (*grid, self.config.num_factors))
        return self.config.space.factors_to_ids(factors - torch.tensor(self.offsets[:-1], device=sequence.device))

    def new_cache(self, batch_size: int, num_tokens: int | None = None) -> KVCache:
        """Return an empty cache for so many tokens; of a whole sequence of the largest grid unless said.

        It is for the weights as they are now.
        """
        most = self.config.sequence_length if num_tokens is None else num_tokens
        if self.config.transformer.style == "llama":
            return StepCache(self.transformer, batch_size, most)
        weight = self.embedding.weight
        return KVCache(self.config.transformer, batch_size, most, weight.device, weight.dtype)


@cache
def _rotation(num_tokens: int, head_width: int, base: float) -> Rotation:
    return rotation(torch.arange(num_tokens)[:, None], head_width, base)
