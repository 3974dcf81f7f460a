"""Single steps of a tiny training with an adversary and R1, without data on a disk."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.data.batches import Batch
from magvit2.losses import LossWeights
from magvit2.training import OptimizerConfig, TokenizerTraining
from magvit2.training.checkpoint import TrainingState
from magvit2.training.distributed import rank, world_size
from magvit2.training.objective import Objective, make_objective
from magvit2.training.step import StepReport, train_step
from magvit2.training.tokenizer import start
from tests.training.making import TINY

# A rate so low, and moments so forgetful, that rounding does not grow from step to step.
_CALM = OptimizerConfig(lr=1e-4, warmup_steps=0, max_grad_norm=1.0)
JUDGED = dataclasses.replace(
    TINY,
    batches=TINY.batches[:1],
    optimizer=_CALM,
    loss=LossWeights(temperature=1.0, entropy=0.05),
    adversarial=AdversarialWeights(r1_every=2),
    discriminator=DiscriminatorConfig(base_channels=2, channel_multipliers=(1, 2), head="pool"),
    discriminator_optimizer=_CALM,
)


def begun(config: TokenizerTraining) -> tuple[TrainingState, Objective]:
    return start(config, "cpu"), make_objective(config, None, "cpu")


def batch(step: int = 0) -> Batch:
    """Of two clips that depend on the step, smooth as pictures are, this process's share."""
    coarse = torch.from_numpy(np.random.default_rng(step).random((2, 3, 2, 4, 4), dtype=np.float32))
    clips = torch.nn.functional.interpolate(coarse, (5, 16, 16), mode="trilinear")
    return Batch(clips.mul(255).byte().chunk(world_size())[rank()], "video")


def take_steps(state: TrainingState, objective: Objective, num_steps: int) -> list[StepReport]:
    return [train_step(step, batch(step), state, objective, in_detail=True) for step in range(num_steps)]


def weights(state: TrainingState) -> dict[str, Tensor]:
    """Copies of all that moves in a step, both sides."""
    sides = {"model": state.model, "average": state.average, "adversaries": state.adversaries}
    found = {f"{side}.{key}": value for side, module in sides.items() for key, value in module.state_dict().items()}
    return {key: value.clone() for key, value in found.items()}
