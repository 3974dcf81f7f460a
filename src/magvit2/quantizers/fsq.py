"""Finite scalar quantization (arXiv 2309.15505): every channel is rounded to one of a few levels."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from magvit2.errors import ConfigError
from magvit2.quantizers.base import Quantized
from magvit2.quantizers.bits import check_channels, straight_through

_MARGIN = 1e-3


class FSQ(nn.Module):
    """Bound channel i by a hyperbolic tangent, then round it to `levels[i]` values; codes lie evenly in [-1, 1].

    With an even number of levels they are -1, -1 + 2/L, .., 1 - 2/L, as in the paper's code. Ids are mixed-radix
    numbers, least significant digit first. It has no parameters. Raises ConfigError unless there are levels, all of 3
    or more: of two, the hyperbolic tangent hardly ever reaches the lower one.
    """

    code_size = None  # no binary codes, and so no entropy penalty

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise ConfigError(f"levels = {levels}: expected one count of 3 or more for each channel")
        self.levels = tuple(levels)
        self._weights = [math.prod(levels[:i]) for i in range(len(levels))]

    def forward(self, latents: Float[Tensor, "*positions k"]) -> Quantized:
        """Quantize latents [..., len(levels)]; those returned are bounded. Raises InputError for another last axis."""
        check_channels(latents, len(self.levels))
        bounded = self._bound(latents.to(torch.promote_types(latents.dtype, torch.float32)))
        digits = bounded.round() + self._half(bounded)
        codes = self._digits_to_codes(digits).to(latents.dtype)
        scaled = (bounded / self._half(bounded)).to(latents.dtype)
        return Quantized(straight_through(codes, scaled), self._digits_to_ids(digits), scaled)

    def ids_to_codes(
        self, ids: Int[Tensor, "*positions"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*positions k"]:
        """Return the codes [..., len(levels)] of ids in 0 .. prod(levels) - 1."""
        weights, levels = (torch.tensor(values, device=ids.device) for values in (self._weights, self.levels))
        return self._digits_to_codes((ids.unsqueeze(-1) // weights % levels).to(dtype))

    def codes_to_ids(self, codes: Float[Tensor, "*positions k"]) -> Int[Tensor, "*positions"]:
        """Return int64 ids [...] of codes [..., len(levels)]."""
        half = self._half(codes)
        return self._digits_to_ids((codes * half + half).round())

    def _bound(self, latents: Tensor) -> Tensor:
        """Squash every channel into the interval whose integers are its levels (the paper's `bound`)."""
        levels = latents.new_tensor(self.levels)
        reach = (levels - 1) * (1 + _MARGIN) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(latents.dtype)
        shift = torch.atanh(offset / reach)
        return torch.tanh(latents + shift) * reach - offset

    def _half(self, like: Tensor) -> Tensor:
        return like.new_tensor([level // 2 for level in self.levels])

    def _digits_to_codes(self, digits: Tensor) -> Tensor:
        half = self._half(digits)
        return (digits - half) / half

    def _digits_to_ids(self, digits: Tensor) -> Tensor:
        return (digits.long() * torch.tensor(self._weights, device=digits.device)).sum(dim=-1)

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        return f"levels={self.levels}"
