"""Training: one loop, its checkpoints and its journal."""

from magvit2.training.config import BitDropping, ImagePretraining, OptimizerConfig, TokenizerTraining
from magvit2.training.tokenizer import train_tokenizer

__all__ = ["BitDropping", "ImagePretraining", "OptimizerConfig", "TokenizerTraining", "train_tokenizer"]
