"""Learning rates and the moving average of parameters."""

import math

import torch
from torch import nn

from magvit2.training.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """Return the rate of a step: linear warm-up from lr / warmup_steps, then `schedule` down to `final_lr`."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps))
    shares = {"cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}
    return config.final_lr + (config.lr - config.final_lr) * shares[config.schedule]


def ema_weight(decay: float, step: int) -> float:
    """Return the share of the old average that stays at a step; young averages forget faster."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move every parameter of `average` towards that of `model`, and copy what is no parameter (a codebook)."""
    old = [parameter.detach() for parameter in average.parameters()]
    new = [parameter.detach() for parameter in model.parameters()]
    torch._foreach_lerp_(old, new, 1 - ema_weight(decay, step))
    for old_buffer, new_buffer in zip(average.buffers(), model.buffers(), strict=True):
        old_buffer.copy_(new_buffer)
