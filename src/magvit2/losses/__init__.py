"""Losses: what the tokenizer is trained to make small."""

from magvit2.losses.tokenizer import LossTerms, LossWeights, commitment_loss, entropy_weight, tokenizer_loss

__all__ = ["LossTerms", "LossWeights", "commitment_loss", "entropy_weight", "tokenizer_loss"]
