"""One token at a time through `llama` blocks: the transformer's equation in few calls, for decoding with a cache.

On a single token a step costs what its calls cost and what its weights weigh, hardly its arithmetic. So there are no
modules and two dimensions; norms' weights are inside the matrices behind them; matrices lie as a row times a matrix
reads them, which on a CPU takes half the time; queries, keys and values are turned at once; the cache is cut up once.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from magvit2.layers.rotary import Rotation
from magvit2.layers.transformer import RMS_EPS, KVCache, LlamaBlock, RMSNorm, Transformer


class StepCache(KVCache):
    """A cache that takes steps of one token behind those in it, with the blocks' weights as they are now: copies."""

    @torch.no_grad()
    def __init__(self, transformer: Transformer, batch_size: int, max_tokens: int) -> None:
        weight = next(transformer.parameters())
        super().__init__(transformer.config, batch_size, max_tokens, weight.device, weight.dtype)
        self._blocks = [_matrices(block) for block in transformer.blocks if isinstance(block, LlamaBlock)]
        assert len(self._blocks) == transformer.config.num_layers
        self._output_norm = transformer.output_norm
        self._shape = batch_size, 3, transformer.config.num_heads, transformer.config.head_width
        self._still = torch.ones(1, transformer.config.head_width, device=weight.device, dtype=weight.dtype)
        self._least = torch.tensor(math.sqrt(transformer.config.width * RMS_EPS), device=weight.device)

    def step(self, x: Float[Tensor, "b c"], turn: Rotation) -> Float[Tensor, "b c"]:
        """Return the hidden states of an embedded token behind those that are there; `turn` is its rotation."""
        cos, sin = self._turn(turn)
        slots = self._store.select(4, self.length).transpose(1, 2).unbind(0)
        seen = self._store.narrow(4, 0, self.length + 1).flatten(0, 1).unbind(0)
        for layer, block in enumerate(self._blocks):
            heads = torch.mm(self._normed(x), block.qkv).view(self._shape)
            heads = torch.addcmul(heads * cos, heads.roll(self._shape[-1] // 2, -1), sin)
            slots[layer].copy_(heads.narrow(1, 1, 2))
            queries, keys, values = heads.select(1, 0).unsqueeze(2), seen[2 * layer], seen[2 * layer + 1]
            mixed = functional.scaled_dot_product_attention(queries, keys, values)
            x = torch.mm(mixed.flatten(1), block.out).add_(x)
            gate, up = torch.mm(self._normed(x), block.gate_up).chunk(2, dim=-1)
            x = torch.mm(functional.silu(gate) * up, block.down).add_(x)
        self.length += 1
        return self._output_norm(x)

    def _turn(self, turn: Rotation) -> tuple[Float[Tensor, "3 1 d"], Float[Tensor, "3 1 d"]]:
        """Return cosines, and sines with their signs, of queries, keys and values, which do not turn."""
        cos, (first, second) = turn.cos.to(self._still.dtype), turn.sin.to(self._still.dtype).chunk(2, dim=1)
        sin = torch.cat([-first, second], dim=1)
        return torch.stack([cos, cos, self._still]), torch.stack([sin, sin, torch.zeros_like(sin)])

    def _normed(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return x / sqrt(sum of squares + width eps): RMSNorm but for its weight and sqrt(width)."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x / torch.hypot(length, self._least)).to(x.dtype)


class _Matrices(NamedTuple):
    """A block's matrices [inputs, outputs]; those behind a norm are times its weight and sqrt(inputs)."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


def _matrices(block: LlamaBlock) -> _Matrices:
    return _Matrices(
        _behind(block.attention_norm, block.attention.qkv.weight),
        block.attention.out.weight.t().contiguous(),
        _behind(block.mlp_norm, block.mlp.gate_up.weight),
        block.mlp.down.weight.t().contiguous(),
    )


def _behind(norm: RMSNorm, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "inputs outputs"]:
    assert norm.weight is not None
    return (weight * (norm.weight * math.sqrt(weight.shape[1]))).t().contiguous()
