"""Bits of an id as signs of channels, least significant bit first: what the binary quantizers share."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magvit2.errors import ConfigError, InputError

MAX_BITS = 40


def check_num_bits(num_bits: int) -> None:
    """Raise ConfigError unless 1 <= num_bits <= 40."""
    if not 1 <= num_bits <= MAX_BITS:
        raise ConfigError(f"num_bits = {num_bits}: expected 1 to {MAX_BITS}")


def check_channels(latents: Tensor, num_channels: int) -> None:
    """Raise InputError unless the last axis of `latents` has `num_channels`."""
    if latents.shape[-1] != num_channels:
        raise InputError(f"latents {tuple(latents.shape)}: expected {num_channels} channels on the last axis")


def signs(bits: Bool[Tensor, "*shape k"], dtype: torch.dtype) -> Float[Tensor, "*shape k"]:
    """Return +1 for a bit of 1 and -1 for a bit of 0."""
    return bits.to(dtype) * 2 - 1


def bits_to_ids(bits: Bool[Tensor, "*shape k"]) -> Int[Tensor, "*shape"]:
    """Return int64 ids: channel i is the bit of weight 2^i."""
    weights = 2 ** torch.arange(bits.shape[-1], dtype=torch.int64, device=bits.device)
    return (bits * weights).sum(dim=-1)


def ids_to_bits(ids: Int[Tensor, "*shape"], num_bits: int) -> Bool[Tensor, "*shape {num_bits}"]:
    """Return the lowest `num_bits` bits of ids; bits above are ignored."""
    shifts = torch.arange(num_bits, device=ids.device)
    return (ids.unsqueeze(-1) >> shifts) & 1 == 1


def straight_through(codes: Float[Tensor, "*shape k"], latents: Float[Tensor, "*shape k"]) -> Float[Tensor, "*shape k"]:
    """Return `codes` with the gradient of `latents`; the values stay exactly those of `codes`."""
    return codes + (latents - latents.detach()) if latents.requires_grad else codes
