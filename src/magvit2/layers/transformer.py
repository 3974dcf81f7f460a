"""The transformer of all language models: attention that sees everything or only what came before, two styles of block.

`llama`: pre-norm, RMSNorm, SwiGLU, no biases, rotary positions. `bert`: the paper's (appendix A.1; the authors' BERT):
post-norm LayerNorm, GELU, biases, no rotation: whoever owns the embedding adds positions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import ConfigError
from magvit2.layers.rotary import Rotation, rotate

RMS_EPS = 1e-6
_LAYER_NORM_EPS = 1e-12
_INIT_STD = 0.02


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a stack of blocks: `width` channels a token, heads of `width / num_heads`, MLPs of `mlp_width`.

    `dropout` is that of hidden states, `attention_dropout` that of attention's weights, which takes fused attention
    away. Raises ConfigError where heads do not share the width evenly, or a number is below 1.
    """

    style: Literal["llama", "bert"] = "llama"
    width: int = 192
    num_layers: int = 6
    num_heads: int = 6
    mlp_width: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.width, self.num_layers, self.num_heads, self.mlp_width) < 1 or not self._drops_are_shares:
            raise ConfigError(f"{self}: expected sizes of 1 or more and a dropout of 0 to 1")
        if self.width % (2 * self.num_heads):
            raise ConfigError(f"width = {self.width}: expected a multiple of twice num_heads, {2 * self.num_heads}")

    @property
    def _drops_are_shares(self) -> bool:
        return all(0 <= share < 1 for share in (self.dropout, self.attention_dropout))

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        return self.width // self.num_heads


class KVCache:
    """Keys and values of the tokens that a causal transformer has seen, with room for `max_tokens` of each of b clips.

    `length` is how many there are; setting it to less forgets the last ones. It is for use without gradients.
    """

    def __init__(
        self, config: TransformerConfig, batch_size: int, max_tokens: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.num_layers, 2, batch_size, config.num_heads, max_tokens, config.head_width)
        self._store = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's new keys and values [b, heads, n, d] behind `length`; return all of them up to there."""
        count = keys.shape[2]
        all_keys, all_values = self._store[layer].unbind(0)
        all_keys.narrow(2, self.length, count).copy_(keys)
        all_values.narrow(2, self.length, count).copy_(values)
        end = self.length + count
        return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)


class RMSNorm(nn.RMSNorm):
    """RMSNorm over a token's channels, eps 1e-6, in the type of its input: autocast would leave it to slow code."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=RMS_EPS)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        """Normalise every token."""
        assert self.weight is not None
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one matrix."""

    def __init__(self, config: TransformerConfig, *, bias: bool) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.attention_dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=bias)
        self.out = nn.Linear(config.width, config.width, bias=bias)

    def forward(
        self, x: Float[Tensor, "b n c"], layer: int, turn: Rotation | None, cache: KVCache | None, *, is_causal: bool
    ) -> Float[Tensor, "b n c"]:
        """Attend. With a `cache` the tokens come behind those in it: all of them if it is empty, else one."""
        heads = self.qkv(x).view(*x.shape[:2], 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.unbind(0)
        if turn is not None:
            queries, keys = rotate(heads[:2], turn).unbind(0)
        if cache is not None:
            assert cache.length == 0 or x.shape[1] == 1
            keys, values = cache.extend(layer, keys, values)
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal and x.shape[1] > 1,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), gate and up from one matrix."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply it to every token."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class LlamaBlock(nn.Module):
    """x + attention(norm(x)), then x + swiglu(norm(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width)
        self.attention = Attention(config, bias=False)
        self.mlp_norm = RMSNorm(config.width)
        self.mlp = SwiGLU(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "b n c"], layer: int, turn: Rotation | None, cache: KVCache | None, *, is_causal: bool
    ) -> Float[Tensor, "b n c"]:
        """Apply the block to all tokens."""
        x = x + self.drop(self.attention(self.attention_norm(x), layer, turn, cache, is_causal=is_causal))
        return x + self.drop(self.mlp(self.mlp_norm(x)))


class BertBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + mlp(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = Attention(config, bias=True)
        self.attention_norm = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.mlp_width), nn.GELU(), nn.Linear(config.mlp_width, config.width)
        )
        self.mlp_norm = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "b n c"], layer: int, turn: Rotation | None, cache: KVCache | None, *, is_causal: bool
    ) -> Float[Tensor, "b n c"]:
        """Apply the block to all tokens."""
        x = self.attention_norm(x + self.drop(self.attention(x, layer, turn, cache, is_causal=is_causal)))
        return self.mlp_norm(x + self.drop(self.mlp(x)))


_BLOCKS: dict[str, Callable[[TransformerConfig], nn.Module]] = {"llama": LlamaBlock, "bert": BertBlock}


class Transformer(nn.Module):
    """A stack of blocks between embeddings and heads; a norm enters (`bert`) or leaves (`llama`) it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        is_bert = config.style == "bert"
        self.input_norm = make_norm(config) if is_bert else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_BLOCKS[config.style](config) for _ in range(config.num_layers))
        self.output_norm = nn.Identity() if is_bert else make_norm(config)
        self.apply(initialize)
        if not is_bert:  # the branches of a deep sum begin small
            for name, parameter in self.named_parameters():
                if name.endswith(("attention.out.weight", "mlp.down.weight")):
                    nn.init.normal_(parameter, std=_INIT_STD * (2 * config.num_layers) ** -0.5)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        turn: Rotation | None = None,
        cache: KVCache | None = None,
        *,
        is_causal: bool = False,
    ) -> Float[Tensor, "b n c"]:
        """Return the hidden states of embedded tokens; `turn` is the rotation of those n. A cache grows by them."""
        x = self.drop(self.input_norm(x))
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, turn, cache, is_causal=is_causal)
        if cache is not None:
            cache.length += x.shape[1]
        return self.output_norm(x)


def make_norm(config: TransformerConfig) -> nn.Module:
    """Return the norm of a style: RMSNorm (eps 1e-6), or BERT's LayerNorm (eps 1e-12)."""
    if config.style == "bert":
        return nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
    return RMSNorm(config.width)


def initialize(module: nn.Module) -> None:
    """Draw a linear layer's or an embedding's weights from a normal cut at 2 sigma, sigma 0.02; biases are 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD, a=-2 * _INIT_STD, b=2 * _INIT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
