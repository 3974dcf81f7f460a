"""One step of a language model's training, in equal parts whose gradients are averaged."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from magvit2.lm import LMConfig
from magvit2.losses import bits_per_token
from magvit2.training.checkpoint import TrainingState
from magvit2.training.distributed import mean_over_ranks, without_averaging
from magvit2.training.language_config import LanguageTraining
from magvit2.training.language_objective import Draws, Objective, draw
from magvit2.training.language_source import TokenBatch
from magvit2.training.schedule import learning_rate, update_ema
from magvit2.training.step import clip_gradients, first_problem


class LanguageReport(NamedTuple):
    """What a step saw: its batch, its values, and what was not finite ("": all was)."""

    batch: TokenBatch
    values: dict[str, float]
    problem: str


def language_step(
    step: int,
    batch: TokenBatch,
    state: TrainingState[Any],
    objective: Objective,
    config: LanguageTraining,
    model: LMConfig,
) -> LanguageReport:
    """Take a step on this process's share of a batch."""
    _prepare(step, state, config)
    draws = draw(config, model, step, batch)
    parts = list(_parts(batch, draws, config.num_parts))
    losses = []
    for number, part in enumerate(parts, 1):
        with contextlib.nullcontext() if number == len(parts) else without_averaging(state.network):
            losses.append(_compute(*part, state, objective, config))
    mean = torch.stack(losses).mean(0)
    state.scalers.own.unscale_(state.optimizer)
    norm = clip_gradients(state.model, config.optimizer)
    numbers = _numbers(mean_over_ranks(mean), mean_over_ranks(norm.detach().float()))
    if not first_problem(numbers):
        state.scalers.own.step(state.optimizer)
        update_ema(state.average, state.model, config.ema_decay, step)
    overflows = state.scalers.settle(numbers, judged=False)
    numbers = {name: number for name, number in numbers.items() if name not in overflows}
    return LanguageReport(batch, numbers, first_problem(numbers))


def _prepare(step: int, state: TrainingState[Any], config: LanguageTraining) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config.optimizer, step, config.num_steps)
    state.optimizer.zero_grad(set_to_none=True)


def _parts(batch: TokenBatch, draws: Draws, count: int) -> Iterator[tuple[TokenBatch, Draws]]:
    """Return pairs of a part of a batch and of its draws."""
    clips = [None] * count if batch.clips_u8 is None else batch.clips_u8.chunk(count)
    cuts = zip(batch.ids.chunk(count), batch.labels.chunk(count), clips, strict=True)
    parts = [batch._replace(ids=ids, labels=labels, clips_u8=pixels) for ids, labels, pixels in cuts]
    return zip(parts, map(Draws, *(field.chunk(count) for field in draws)), strict=True)


def _compute(
    batch: TokenBatch, draws: Draws, state: TrainingState[Any], objective: Objective, config: LanguageTraining
) -> Tensor:
    """Add the gradients of a part of a batch; return the cross-entropy of each factor."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
    with torch.autocast(state.model.device.type, dtype=dtype, enabled=config.precision != "fp32"):
        losses = objective(state.network, batch, draws)
    state.scalers.own.scale(losses.sum() / config.num_parts).backward()
    return losses.detach()


def _numbers(losses: Tensor, norm: Tensor) -> dict[str, float]:
    values = {"loss": float(losses.sum()), "bits": float(bits_per_token(losses))}
    if len(losses) > 1:
        values |= {f"loss_{factor}": loss for factor, loss in enumerate(losses.tolist())}
    return values | {"grad_norm": float(norm)}
