"""Lookup-free quantization (MAGVIT-v2, section 3.1): the sign of every latent channel is one bit of the id."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from magvit2.errors import ConfigError, InputError
from magvit2.quantizers.base import Quantized

MAX_BITS = 40


class LFQ(nn.Module):
    """Sign quantizer over the last axis: codes in {-1, +1}, ids least significant bit first (equations 3 and 4).

    It has no parameters. A latent of exactly 0 gives bit 0 and code -1. With `normalize`, latents are first brought to
    length sqrt(num_bits) at every position; signs, and so ids and codes, do not change, but the straight-through
    gradient and the losses see latents of unit scale, which keeps every bit alive in short trainings.

    Raises ConfigError unless 1 <= num_bits <= 40.
    """

    def __init__(self, num_bits: int, *, normalize: bool = False) -> None:
        super().__init__()
        if not 1 <= num_bits <= MAX_BITS:
            raise ConfigError(f"num_bits = {num_bits}: expected 1 to {MAX_BITS}")
        self.num_bits = num_bits
        self.normalize = normalize

    def forward(self, latents: Float[Tensor, "*positions k"]) -> Quantized:
        """Quantize latents [..., num_bits]. Raises InputError for another last axis."""
        if latents.shape[-1] != self.num_bits:
            raise InputError(f"latents {tuple(latents.shape)}: expected {self.num_bits} channels on the last axis")
        bits = latents > 0
        if self.normalize:
            latents = nn.functional.rms_norm(latents, (self.num_bits,), eps=1e-6)
        codes = _signs(bits, latents.dtype)
        if latents.requires_grad:  # straight through: the difference is exactly 0, so codes stay exactly +-1
            codes = codes + (latents - latents.detach())
        return Quantized(codes, self._bits_to_ids(bits), latents)

    def ids_to_codes(
        self, ids: Int[Tensor, "*positions"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*positions k"]:
        """Return the +-1 codes [..., num_bits] of ids in 0 .. 2^num_bits - 1; bits above are ignored."""
        shifts = torch.arange(self.num_bits, device=ids.device)
        return _signs((ids.unsqueeze(-1) >> shifts) & 1 == 1, dtype)

    def codes_to_ids(self, codes: Float[Tensor, "*positions k"]) -> Int[Tensor, "*positions"]:
        """Return int64 ids [...] of codes [..., num_bits]: bit i is 1 where channel i is positive."""
        return self._bits_to_ids(codes > 0)

    def _bits_to_ids(self, bits: Tensor) -> Tensor:
        weights = 2 ** torch.arange(self.num_bits, dtype=torch.int64, device=bits.device)
        return (bits * weights).sum(dim=-1)

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        return f"num_bits={self.num_bits}, normalize={self.normalize}"


def _signs(bits: Tensor, dtype: torch.dtype) -> Tensor:
    return bits.to(dtype) * 2 - 1
