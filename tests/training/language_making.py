"""Tiny language models and tokens for their trainings."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import torch

from magvit2.data.shards import TokenShardWriter
from magvit2.layers.transformer import TransformerConfig
from magvit2.tokenizer import Tokenizer, tokenizer_preset
from magvit2.tokens import Tokens
from magvit2.training import LanguageTraining, OptimizerConfig, TaskShare

SHAPE = TransformerConfig(width=16, num_layers=1, num_heads=2, mlp_width=16)
CALM = OptimizerConfig(lr=1e-3, beta1=0.9, beta2=0.96, weight_decay=0.045, warmup_steps=0, max_grad_norm=1.0)
TINY_LM = LanguageTraining(
    transformer=SHAPE,
    num_steps=6,
    batch_size=4,
    tasks=(TaskShare(), TaskShare("predict"), TaskShare("outpaint")),
    optimizer=CALM,
    precision="fp32",
    num_workers=0,
    log_every=1,
    sample_every=3,
    sample_steps=2,
    validate_every=3,
    validate_items=2,
    checkpoint_every=3,
)
CAUSAL_LM = dataclasses.replace(TINY_LM, kind="causal", tasks=(TaskShare(),))
BITS_LM = dataclasses.replace(TINY_LM, tokens="bits", num_factors=18, unit="factor")
CALM_LM = dataclasses.replace(TINY_LM, transformer=dataclasses.replace(SHAPE, dropout=0.0))
RUNS = {
    "masked": TINY_LM,
    "causal": CAUSAL_LM,
    "bits": BITS_LM,
    "calm": CALM_LM,
    "parts": dataclasses.replace(CALM_LM, num_parts=2),
}


def make_tokenizer(folder: Path) -> Tokenizer:
    """A small tokenizer of random weights, saved in `folder`."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(tokenizer_preset("tiny")).eval()
    tokenizer.save_pretrained(folder)
    return Tokenizer.from_pretrained(folder)


def write_tokens(folder: Path, tokenizer: Tokenizer, count: int, seed: int = 0, num_latents: int = 2) -> None:
    """Random ids of `count` clips of two classes."""
    generator = torch.Generator().manual_seed(seed)
    grid = (num_latents, 2, 2)
    with TokenShardWriter(folder, tokenizer.space, tokenizer.fingerprint) as writer:
        for index in range(count):
            ids = torch.randint(tokenizer.space.vocab_size, grid, generator=generator)
            size = tokenizer.space.size_for(grid)
            tokens = Tokens(ids, tokenizer.space, size, Fraction(25), tokenizer.fingerprint)
            writer.write(f"{seed}-clip{index}x", ("run", "walk")[index % 2], tokens)
