"""What every quantizer returns."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Quantized(NamedTuple):
    """Codes for the decoder, ids for everybody else, and the latents that the losses look at.

    `codes` float [..., k], gradients pass straight through to the latents; `ids` int64 [...], one for each position;
    `latents` float [..., k], what was rounded (after any normalisation): commitment and entropy are functions of these.
    """

    codes: Float[Tensor, "*positions k"]
    ids: Int[Tensor, "*positions"]
    latents: Float[Tensor, "*positions k"]
