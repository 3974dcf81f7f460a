"""Training: one loop, its checkpoints and its journal."""

from magvit2.training.config import BitDropping, ImagePretraining, OptimizerConfig, TokenizerTraining
from magvit2.training.language import train_language
from magvit2.training.language_config import LanguageTraining, TaskShare
from magvit2.training.tokenizer import train_tokenizer

__all__ = [
    "BitDropping",
    "ImagePretraining",
    "LanguageTraining",
    "OptimizerConfig",
    "TaskShare",
    "TokenizerTraining",
    "train_language",
    "train_tokenizer",
]
