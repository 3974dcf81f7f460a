"""Training: one loop, its checkpoints and its journal."""

from magvit2.training.config import OptimizerConfig, TokenizerTraining
from magvit2.training.tokenizer import train_tokenizer

__all__ = ["OptimizerConfig", "TokenizerTraining", "train_tokenizer"]
