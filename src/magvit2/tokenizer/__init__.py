"""The causal tokenizer: frames to ids and back."""

from magvit2.tokenizer.audit import Audit, audit
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.inflation import inflate, is_inflatable
from magvit2.tokenizer.model import Reconstruction, Tokenizer
from magvit2.tokenizer.presets import TOKENIZER_PRESETS, tokenizer_preset

__all__ = [
    "TOKENIZER_PRESETS",
    "Audit",
    "Reconstruction",
    "Tokenizer",
    "TokenizerConfig",
    "audit",
    "inflate",
    "is_inflatable",
    "tokenizer_preset",
]
