"""Losses: what tokenizers and language models are trained to make small."""

from magvit2.losses.language import bits_per_token, causal_losses, masked_losses
from magvit2.losses.perceptual import Distance, PerceptualWeights, open_perceptual, perceptual_loss, pick_frames
from magvit2.losses.tokenizer import LossTerms, LossWeights, commitment_loss, entropy_weight, tokenizer_loss

__all__ = [
    "Distance",
    "LossTerms",
    "LossWeights",
    "PerceptualWeights",
    "bits_per_token",
    "causal_losses",
    "commitment_loss",
    "entropy_weight",
    "masked_losses",
    "open_perceptual",
    "perceptual_loss",
    "pick_frames",
    "tokenizer_loss",
]
