"""Vector quantization (VQ-VAE, arXiv 1711.00937): the nearest vector of a learned codebook.

The codebook follows the latents as an exponential moving average (appendix A.1), which takes no gradient: the trainer
calls `update` after each step. Codes that nobody uses any more start again at a latent of the batch (Jukebox, arXiv
2005.00341, section 3.1); the codebook begins the same way, at latents of the first batch.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from magvit2.errors import ConfigError
from magvit2.quantizers.base import Quantized
from magvit2.quantizers.bits import check_channels, straight_through


class VQ(nn.Module):
    """Nearest of `codebook_size` vectors of `dim` channels, by squared distance; ids are their numbers.

    `decay` is the share of the old average that stays at an update. A code that is used less than `restart_below` times
    as often as it would be if all were used evenly starts again (0: never). Raises ConfigError for less than 2 codes or
    1 channel, or a share outside 0 .. 1.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    code_size = None  # no binary codes, and so no entropy penalty

    def __init__(self, codebook_size: int, dim: int, *, decay: float = 0.99, restart_below: float = 0.03) -> None:
        super().__init__()
        if codebook_size < 2 or dim < 1:
            raise ConfigError(f"codebook_size = {codebook_size}, dim = {dim}: expected 2 codes and 1 channel or more")
        if not (0 <= decay < 1 and 0 <= restart_below < 1):
            raise ConfigError(f"decay = {decay}, restart_below = {restart_below}: expected 0 or more and less than 1")
        self.decay = decay
        self.restart_below = restart_below
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("counts", torch.zeros(codebook_size))
        self.register_buffer("sums", torch.zeros(codebook_size, dim))

    def forward(self, latents: Float[Tensor, "*positions k"]) -> Quantized:
        """Quantize latents [..., dim]. Raises InputError for another last axis."""
        check_channels(latents, self.codebook.shape[1])
        ids = self._nearest(latents.detach())
        codes = self.ids_to_codes(ids, latents.dtype)
        return Quantized(straight_through(codes, latents), ids, latents)

    def ids_to_codes(
        self, ids: Int[Tensor, "*positions"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*positions k"]:
        """Return the codes [..., dim] of ids in 0 .. codebook_size - 1."""
        return nn.functional.embedding(ids, self.codebook).to(dtype)

    def codes_to_ids(self, codes: Float[Tensor, "*positions k"]) -> Int[Tensor, "*positions"]:
        """Return int64 ids [...] of codes [..., dim]."""
        return self._nearest(codes)

    @torch.no_grad()
    def update(self, quantized: Quantized) -> None:
        """Move the codebook towards the latents that were just quantized, and restart codes that are out of use.

        Chance comes from the global CPU generator.
        """
        latents = quantized.latents.detach().reshape(-1, self.codebook.shape[1]).to(self.sums.dtype)
        ids = quantized.ids.reshape(-1)
        counts, sums = torch.zeros_like(self.counts), torch.zeros_like(self.sums)
        self.counts.lerp_(counts.index_add_(0, ids, counts.new_ones(len(ids))), 1 - self.decay)
        self.sums.lerp_(sums.index_add_(0, ids, latents), 1 - self.decay)
        self._restart(latents)
        self.codebook.copy_(torch.where(self.counts[:, None] > 0, self.sums / self.counts[:, None], self.codebook))

    def _restart(self, latents: Tensor) -> None:
        """Put codes out of use at random latents, with the count of an even use: they get time to find their own."""
        even = self.counts.mean()
        is_dead = self.counts < self.restart_below * even
        chosen = latents[torch.randint(len(latents), (len(is_dead),)).to(latents.device)]
        self.counts.copy_(torch.where(is_dead, even, self.counts))
        self.sums.copy_(torch.where(is_dead[:, None], chosen * even, self.sums))

    def _nearest(self, latents: Tensor) -> Tensor:
        """Return ids of the least squared distance |e|^2 - 2 z.e (+ |z|^2, the same for all); float32 or better."""
        with torch.autocast(latents.device.type, enabled=False):
            dtype = torch.promote_types(latents.dtype, torch.float32)
            flat, codebook = latents.reshape(-1, latents.shape[-1]).to(dtype), self.codebook.to(dtype)
            distances = torch.addmm(codebook.square().sum(dim=1), flat, codebook.T, alpha=-2)
            return distances.argmin(dim=1).reshape(latents.shape[:-1])

    def extra_repr(self) -> str:
        """Show the settings in a printed model."""
        size, dim = self.codebook.shape
        return f"codebook_size={size}, dim={dim}, decay={self.decay}, restart_below={self.restart_below}"
