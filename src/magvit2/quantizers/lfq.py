"""Lookup-free quantization (MAGVIT-v2, section 3.1): the sign of every latent channel is one bit of the id."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from magvit2.quantizers.base import Quantized
from magvit2.quantizers.bits import bits_to_ids, check_channels, check_num_bits, ids_to_bits, signs, straight_through


class LFQ(nn.Module):
    """Sign quantizer over the last axis: codes in {-1, +1}, ids least significant bit first (equations 3 and 4).

    It has no parameters. A latent of exactly 0 gives bit 0 and code -1. With `normalize`, latents are first brought to
    length sqrt(num_bits) at every position; signs, and so ids and codes, do not change, but the straight-through
    gradient and the losses see latents of unit scale, which keeps every bit alive in short trainings.

    Raises ConfigError unless 1 <= num_bits <= 40.
    """

    code_size = 1.0

    def __init__(self, num_bits: int, *, normalize: bool = False) -> None:
        super().__init__()
        check_num_bits(num_bits)
        self.num_bits = num_bits
        self.normalize = normalize

    def forward(self, latents: Float[Tensor, "*positions k"]) -> Quantized:
        """Quantize latents [..., num_bits]. Raises InputError for another last axis."""
        check_channels(latents, self.num_bits)
        bits = latents > 0
        if self.normalize:
            latents = nn.functional.rms_norm(latents, (self.num_bits,), eps=1e-6)
        return Quantized(straight_through(signs(bits, latents.dtype), latents), bits_to_ids(bits), latents)

    def ids_to_codes(
        self, ids: Int[Tensor, "*positions"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*positions k"]:
        """Return the +-1 codes [..., num_bits] of ids in 0 .. 2^num_bits - 1; bits above are ignored."""
        return signs(ids_to_bits(ids, self.num_bits), dtype)

    def codes_to_ids(self, codes: Float[Tensor, "*positions k"]) -> Int[Tensor, "*positions"]:
        """Return int64 ids [...] of codes [..., num_bits]: bit i is 1 where channel i is positive."""
        return bits_to_ids(codes > 0)

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        return f"num_bits={self.num_bits}, normalize={self.normalize}"
