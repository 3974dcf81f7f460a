"""What a language model is told at construction: its token space, its grid, its classes and its shape."""

import math
from dataclasses import dataclass, field
from typing import Literal

from magvit2.errors import ConfigError, InputError
from magvit2.geometry import Size
from magvit2.layers.transformer import TransformerConfig
from magvit2.schema import did_you_mean
from magvit2.tokens import TokenSpace

_LFQ_18 = TokenSpace((2,) * 18, (4, 8, 8))


@dataclass(frozen=True)
class LMConfig:
    """What masked and causal models have in common.

    `space` is that of the ids, which are predicted as `num_factors` sub-ids (MAGVIT-v2, section 3.2: 2^18 as 2 x 2^9;
    one factor is the whole id). `grid` (t, h, w) is the largest that the model was made for. `num_classes` may be 0;
    there is always one class more, "none", for guidance and unlabelled clips. `class_names` are given for all or not
    at all. `tokenizer` is the fingerprint of the tokenizer whose ids these are, "" where nobody knows.
    Raises ConfigError for what cannot be.
    """

    space: TokenSpace = _LFQ_18
    grid: Size = (5, 16, 16)
    num_factors: int = 2
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    tokenizer: str = ""
    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    def __post_init__(self) -> None:
        if min(self.grid) < 1 or self.num_classes < 0:
            raise ConfigError(f"grid {self.grid}, {self.num_classes} classes: expected 1 or more and 0 or more")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ConfigError(f"{len(self.class_names)} class names for {self.num_classes} classes")
        if not 1 <= self.num_factors <= len(self.space.radices):
            raise ConfigError(f"num_factors = {self.num_factors}: expected 1 to {len(self.space.radices)}")

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor, least significant first."""
        return self.space.factor_sizes(self.num_factors)

    @property
    def num_tokens(self) -> int:
        """Positions of the largest grid."""
        return math.prod(self.grid)

    def class_index(self, name: str) -> int:
        """Return the number of a class given by its name or number. Raises InputError, naming the classes."""
        if name in self.class_names:
            return self.class_names.index(name)
        if name.isdecimal() and int(name) < self.num_classes:
            return int(name)
        if not self.num_classes:
            raise InputError(f"class {name!r}: this model knows no classes; generate without one")
        known = ", ".join(self.class_names) or f"0 to {self.num_classes - 1}"
        raise InputError(f"class {name!r}: expected one of {known}{did_you_mean(name, self.class_names)}")

    def check_grid(self, grid: Size) -> None:
        """Raise InputError for a grid larger than the model's."""
        if min(grid) < 1 or any(side > most for side, most in zip(grid, self.grid, strict=True)):
            raise InputError(
                f"grid {grid}: expected at most {self.grid}, which this model was made for "
                f"({self.space.size_for(self.grid)} frames and pixels)"
            )


@dataclass(frozen=True)
class MaskedLMConfig(LMConfig):
    """A masked model. `tokens` "factors": embeddings, summed, and tied heads; "bits": a linear map of +-1 and back.

    `tasks` names what the model may be asked to do, each with an embedding of its own; none: it must see that from what
    it is given. Frequencies of rotary positions fall to 1 / `rotary_base`.
    """

    tokens: Literal["factors", "bits"] = "factors"
    tasks: tuple[str, ...] = ()
    rotary_base: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens == "bits" and set(self.factor_sizes) != {2}:
            raise ConfigError(
                f"tokens = 'bits' with {self.num_factors} factors of {self.factor_sizes} values: expected one factor "
                f"for each bit of an id, num_factors = {len(self.space.radices)}, all radices 2"
            )


@dataclass(frozen=True)
class CausalLMConfig(LMConfig):
    """A causal model of the ids in raster order, each of them as its factors in sequence (one factor: whole ids).

    `is_tied`: one matrix embeds and predicts; the paper's does not tie. Frequencies of rotary positions fall to
    1 / `rotary_base`.
    """

    is_tied: bool = False
    rotary_base: float = 10000.0

    @property
    def vocab_size(self) -> int:
        """Values of a sequence's tokens: those of every factor one after another, then the classes, then "none"."""
        return sum(self.factor_sizes) + self.num_classes + 1

    @property
    def sequence_length(self) -> int:
        """Tokens of the largest grid as a sequence, the class in front included."""
        return 1 + self.num_tokens * self.num_factors
