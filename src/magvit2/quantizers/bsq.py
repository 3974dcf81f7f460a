"""Binary spherical quantization (BSQ-ViT, arXiv 2406.07548, section 4): signs of latents on the unit sphere."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from magvit2.quantizers.base import Quantized
from magvit2.quantizers.bits import bits_to_ids, check_channels, check_num_bits, ids_to_bits, signs, straight_through


class BSQ(nn.Module):
    """Project latents onto the unit sphere, then take the nearest corner: codes in {-1, +1} / sqrt(num_bits).

    Ids are least significant bit first and a latent of exactly 0 gives bit 0, as in `LFQ`. It has no parameters.
    Raises ConfigError unless 1 <= num_bits <= 40.
    """

    def __init__(self, num_bits: int) -> None:
        super().__init__()
        check_num_bits(num_bits)
        self.num_bits = num_bits

    @property
    def code_size(self) -> float:
        """Absolute value of every channel of a code, 1 / sqrt(num_bits)."""
        return self.num_bits**-0.5

    def forward(self, latents: Float[Tensor, "*positions k"]) -> Quantized:
        """Quantize latents [..., num_bits]; those returned have length 1. Raises InputError for another last axis."""
        check_channels(latents, self.num_bits)
        bits = latents > 0
        unit = nn.functional.normalize(latents, dim=-1, eps=1e-6)
        codes = signs(bits, unit.dtype) * self.code_size
        return Quantized(straight_through(codes, unit), bits_to_ids(bits), unit)

    def ids_to_codes(
        self, ids: Int[Tensor, "*positions"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*positions k"]:
        """Return the codes [..., num_bits] of ids in 0 .. 2^num_bits - 1; bits above are ignored."""
        return signs(ids_to_bits(ids, self.num_bits), dtype) * self.code_size

    def codes_to_ids(self, codes: Float[Tensor, "*positions k"]) -> Int[Tensor, "*positions"]:
        """Return int64 ids [...] of codes [..., num_bits]: bit i is 1 where channel i is positive."""
        return bits_to_ids(codes > 0)

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        return f"num_bits={self.num_bits}"
