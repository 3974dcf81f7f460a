"""The masked language model: all positions at once, some of them known (MAGVIT-v2, section 3.2).

Its input are factors [b, t, h, w, f]; a factor that is to be predicted holds its number of values, one more than it can
be: so masked. Whole tokens or single factors may be masked.
"""

import math
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.layers.rotary import Rotation, grid_positions, rotation
from magvit2.layers.transformer import Transformer, TransformerConfig, initialize, make_norm
from magvit2.lm.config import MaskedLMConfig
from magvit2.store import Pretrained

FactorLogits = tuple[Float[Tensor, "b t h w _values"], ...]
"""Logits of each factor; factors may differ in their number of values."""


class FactorEmbedding(nn.Module):
    """Sum of the factors' embeddings; each table has a row more, for what is masked."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size + 1, width) for size in sizes)

    def forward(self, factors: Int[Tensor, "b n f"]) -> Float[Tensor, "b n c"]:
        """Embed tokens."""
        return torch.stack([table(factors[..., i]) for i, table in enumerate(self.tables)]).sum(0)


class FactorHead(nn.Module):
    """A factor's own transform (linear, GELU, norm), then the product with its embedding, which is tied, and a bias."""

    def __init__(self, size: int, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = make_norm(config)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, hidden: Float[Tensor, "b n c"], table: Float[Tensor, "k c"]) -> Float[Tensor, "b n k"]:
        """Return logits; `table` is the factor's embedding without the row of what is masked."""
        return functional.linear(self.norm(functional.gelu(self.dense(hidden))), table, self.bias)


class FactorTokens(nn.Module):
    """Tokens as factors: a sum of embeddings in, one tied head a factor out."""

    def __init__(self, config: MaskedLMConfig) -> None:
        super().__init__()
        self.embedding = FactorEmbedding(config.factor_sizes, config.transformer.width)
        self.heads = nn.ModuleList(FactorHead(size, config.transformer) for size in config.factor_sizes)

    def embed(self, factors: Int[Tensor, "b n f"]) -> Float[Tensor, "b n c"]:
        """Embed tokens."""
        return self.embedding(factors)

    def predict(self, hidden: Float[Tensor, "b n c"]) -> tuple[Float[Tensor, "b n _k"], ...]:
        """Return the logits of each factor."""
        tables = [table[:-1] for table in self.embedding.parameters()]
        return tuple(head(hidden, table) for head, table in zip(self.heads, tables, strict=True))


class BitTokens(nn.Module):
    """Tokens as bits: a linear map of +-1, 0 where masked, and a logit for each bit; no table (arXiv 2409.16211)."""

    def __init__(self, config: MaskedLMConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self.read = nn.Linear(config.num_factors, width)
        self.dense = nn.Linear(width, width)
        self.norm = make_norm(config.transformer)
        self.write = nn.Linear(width, config.num_factors)

    def embed(self, factors: Int[Tensor, "b n f"]) -> Float[Tensor, "b n c"]:
        """Embed tokens."""
        signs = torch.where(factors == 2, 0, 2 * factors - 1)  # a masked bit holds 2
        return self.read(signs.to(self.read.weight.dtype))

    def predict(self, hidden: Float[Tensor, "b n c"]) -> tuple[Float[Tensor, "b n _k"], ...]:
        """Return the logits of each bit's two values; that of 0 is 0."""
        logits = self.write(self.norm(functional.gelu(self.dense(hidden))))
        return tuple(functional.pad(bit, (1, 0)) for bit in logits.split(1, dim=-1))


class TablePositions(nn.Module):
    """A learned vector for each prefix and each position of the largest grid, as BERT has them."""

    def __init__(self, num_prefixes: int, grid: Size, width: int) -> None:
        super().__init__()
        self.num_prefixes, self.grid = num_prefixes, grid
        self.table = nn.Embedding(num_prefixes + math.prod(grid), width)

    def forward(self, grid: Size) -> Float[Tensor, "n c"]:
        """Return those of all prefixes, then of a grid's positions: a corner of the largest."""
        inside = self.table.weight[self.num_prefixes :].unflatten(0, self.grid)[: grid[0], : grid[1], : grid[2]]
        return torch.cat([self.table.weight[: self.num_prefixes], inside.flatten(0, 2)])


class AxisPositions(nn.Module):
    """A learned vector for each time, row and column, summed; prefixes have none.

    Rotations alone tell positions apart by what is around them: where all is masked, there is nothing.
    """

    def __init__(self, num_prefixes: int, grid: Size, width: int) -> None:
        super().__init__()
        self.num_prefixes = num_prefixes
        self.axes = nn.ModuleList(nn.Embedding(side, width) for side in grid)

    def forward(self, grid: Size) -> Float[Tensor, "n c"]:
        """Return zeros for the prefixes, then those of a grid's positions."""
        time, rows, columns = (table[:side] for table, side in zip(self.axes.parameters(), grid, strict=True))
        inside = time[:, None, None] + rows[:, None] + columns
        return functional.pad(inside.flatten(0, 2), (0, 0, self.num_prefixes, 0))


class MaskedLM(Pretrained[MaskedLMConfig], nn.Module):
    """A bidirectional transformer over a grid of tokens behind its class and, if it has tasks, its task."""

    kind = "masked-lm"
    config_class = MaskedLMConfig

    def __init__(self, config: MaskedLMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.tokens = BitTokens(config) if config.tokens == "bits" else FactorTokens(config)
        self.classes = nn.Embedding(config.num_classes + 1, width)
        self.tasks = nn.Embedding(len(config.tasks), width) if config.tasks else None
        self.is_rotary = config.transformer.style == "llama"
        positions = AxisPositions if self.is_rotary else TablePositions
        self.positions = positions(self.num_prefixes, config.grid, width)
        self.transformer = Transformer(config.transformer)
        for part in (self.tokens, self.classes, self.tasks, self.positions):
            if part is not None:
                part.apply(initialize)

    @property
    def num_prefixes(self) -> int:
        """Tokens in front of the grid's."""
        return 1 if self.tasks is None else 2

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.classes.weight.device

    def mask_values(self) -> Int[Tensor, " f"]:
        """Return what a masked factor holds, for each factor."""
        return torch.tensor(self.config.factor_sizes, device=self.device)

    def forward(
        self,
        factors: Int[Tensor, "b t h w f"],
        labels: Int[Tensor, " b"],
        tasks: Int[Tensor, " b"] | None = None,
    ) -> FactorLogits:
        """Return the logits of every factor at every position, known or masked.

        `labels` from 0 to num_classes, which means "none"; `tasks` are numbers of `config.tasks`, and must be given
        where there are some. Raises InputError for a grid larger than the model's, or where tasks are missing.
        """
        grid: Size = factors.shape[1], factors.shape[2], factors.shape[3]
        self.config.check_grid(grid)
        x = torch.cat([*self._prefixes(labels, tasks), self.tokens.embed(factors.flatten(1, 3))], dim=1)
        hidden = self.transformer(x + self.positions(grid), self._turn(grid))[:, self.num_prefixes :]
        return tuple(logits.unflatten(1, grid) for logits in self.tokens.predict(hidden))

    def _prefixes(self, labels: Tensor, tasks: Tensor | None) -> list[Tensor]:
        if self.tasks is None:
            return [self.classes(labels)[:, None]]
        if tasks is None:
            raise InputError(f"this model asks for a task: expected one of {', '.join(self.config.tasks)}")
        return [self.tasks(tasks)[:, None], self.classes(labels)[:, None]]

    def _turn(self, grid: Size) -> Rotation | None:
        """Return the rotation of all tokens; None for blocks that know positions from what is added alone."""
        if not self.is_rotary:
            return None
        config = self.config
        turn = _rotation(self.num_prefixes, grid, config.transformer.head_width, config.rotary_base)
        return turn.to(self.device)


@cache
def _rotation(num_prefixes: int, grid: Size, head_width: int, base: float) -> Rotation:
    """Return the rotation of prefixes, which do not turn, and of a grid's positions."""
    positions = torch.cat([torch.zeros(num_prefixes, 3, dtype=torch.long), grid_positions(grid)])
    return rotation(positions, head_width, base)
