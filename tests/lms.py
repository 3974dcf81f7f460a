"""Untrained language models for the tokens of a small tokenizer, in folders."""

from pathlib import Path
from typing import Any

import torch

from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import CausalLM, CausalLMConfig, MaskedLM, MaskedLMConfig
from magvit2.tokenizer import Tokenizer

SHAPE = TransformerConfig(width=16, num_layers=1, num_heads=2, mlp_width=16, dropout=0.0)
CLASSES = ("run", "walk")


def settings_for(tokenizer: Path, **changes: Any) -> dict[str, Any]:
    """What a model for the tokens of `tokenizer` is told: 9 frames of 16 x 24 pixels, two classes."""
    loaded = Tokenizer.from_pretrained(tokenizer)
    return {
        "space": loaded.space,
        "grid": loaded.space.grid_for((9, 16, 24)),
        "num_classes": 2,
        "class_names": CLASSES,
        "tokenizer": loaded.fingerprint,
        "transformer": SHAPE,
    } | changes


def save_masked(folder: Path, tokenizer: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    MaskedLM(MaskedLMConfig(**settings_for(tokenizer, **changes))).save_pretrained(folder)
    return folder


def save_causal(folder: Path, tokenizer: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    CausalLM(CausalLMConfig(**settings_for(tokenizer, **changes))).save_pretrained(folder)
    return folder
