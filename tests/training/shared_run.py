"""A training that several processes share: torchrun ... shared_run.py SOURCE FOLDER [vq]."""

import dataclasses
import sys
from pathlib import Path

import torch

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.losses import LossWeights
from magvit2.training import BitDropping, OptimizerConfig, TokenizerTraining, train_tokenizer
from tests.training.making import TINY

FULL = dataclasses.replace(
    TINY,
    batches=tuple(dataclasses.replace(batch, batch_size=4) for batch in TINY.batches),
    # A rate so low, and moments so forgetful, that rounding does not grow from step to step.
    optimizer=OptimizerConfig(lr=1e-4, warmup_steps=0, max_grad_norm=1.0),
    loss=LossWeights(temperature=1.0, entropy=0.05),
    adversarial=AdversarialWeights(start_step=1, r1_every=2),
    discriminator=DiscriminatorConfig(base_channels=2, channel_multipliers=(1, 2), head="pool"),
    discriminator_optimizer=OptimizerConfig(lr=1e-4, warmup_steps=0),
    bit_dropping=BitDropping(probability=0.5, least=2),
)
CODEBOOK = dataclasses.replace(
    FULL,
    model=dataclasses.replace(TINY.model, quantizer="vq", codebook_size=8, codebook_dim=4),
    bit_dropping=BitDropping(),
    loss=LossWeights(entropy=0.0),
    num_parts=2,
)
RUNS: dict[str, TokenizerTraining] = {"full": FULL, "codebook": CODEBOOK}

if __name__ == "__main__":
    torch.set_num_threads(1)
    train_tokenizer(RUNS[sys.argv[3]], Path(sys.argv[1]), Path(sys.argv[2]))
