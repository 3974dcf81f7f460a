"""Losses: what the tokenizer is trained to make small."""

from magvit2.losses.perceptual import Distance, PerceptualWeights, open_perceptual, perceptual_loss, pick_frames
from magvit2.losses.tokenizer import LossTerms, LossWeights, commitment_loss, entropy_weight, tokenizer_loss

__all__ = [
    "Distance",
    "LossTerms",
    "LossWeights",
    "PerceptualWeights",
    "commitment_loss",
    "entropy_weight",
    "open_perceptual",
    "perceptual_loss",
    "pick_frames",
    "tokenizer_loss",
]
