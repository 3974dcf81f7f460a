"""One step of a tokenizer's training: both sides' gradients at the same parameters, then both optimizers.

A batch is computed in equal parts whose gradients are averaged. Where something is not finite nothing moves: the step
is left out, and its report says what was to blame. Gradients that were only scaled too high for float16 are nobody's
fault: nothing moves either, their norm is left out of the report, and the scale falls.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.adversarial import Adversary, DiscriminatorTerms
from magvit2.data.batches import Batch
from magvit2.quantizers import VQ, Quantized
from magvit2.tokenizer import Tokenizer
from magvit2.training.checkpoint import TrainingState
from magvit2.training.config import OptimizerConfig
from magvit2.training.distributed import average_gradients, gather, mean_over_ranks, without_averaging
from magvit2.training.objective import Draws, Objective, judge_name, last_layer_norms
from magvit2.training.schedule import learning_rate, update_ema

_TO_BLAME_LAST = ("loss", "judge_loss", "grad_norm", "judge_grad_norm")
"""Sums of other values: where these are not finite, a part of them is the cause."""


class StepReport(NamedTuple):
    """What a step saw: clips in [-1, 1], what they became, terms unweighted, and what was not finite ("": all was)."""

    clips: Float[Tensor, "b 3 T H W"]
    decoded: Float[Tensor, "b 3 T H W"]
    quantized: Quantized
    values: dict[str, float]
    problem: str


class _Part(NamedTuple):
    """A part of a batch after its backward passes, without graphs."""

    clips: Tensor
    decoded: Tensor
    quantized: Quantized
    values: dict[str, Tensor]


def train_step(
    step: int, batch: Batch, state: TrainingState[Tokenizer], objective: Objective, *, in_detail: bool = False
) -> StepReport:
    """Take a step; `in_detail` also measures each term's gradient norm at the decoder's last layer (`pull_NAME`)."""
    judge = _judge(step, batch, state, objective)
    _prepare(step, state, objective)
    num_parts = objective.config.num_parts
    cuts = zip(batch.clips_u8.chunk(num_parts), objective.draw(step, batch.clips_u8).chunk(num_parts), strict=True)
    parts = []
    for number, cut in enumerate(cuts, 1):
        with contextlib.nullcontext() if number == num_parts else without_averaging(state.network):
            parts.append(_compute(step, *cut, state, judge, objective, in_detail=in_detail))
    values = {name: torch.stack([part.values[name] for part in parts]).mean() for name in parts[0].values}
    values |= _finish_gradients(state, judge, objective)
    means = mean_over_ranks(torch.stack(list(values.values())))
    numbers = dict(zip(values, means.tolist(), strict=True))
    quantized = Quantized(*(_joined(pieces) for pieces in zip(*(part.quantized for part in parts), strict=True)))
    if in_detail or isinstance(state.model.quantizer, VQ):
        quantized = Quantized(*(gather(tensor) for tensor in quantized))
    if not first_problem(numbers):
        _move(step, state, judge, quantized, values, objective)
    overflows = state.scalers.settle(numbers, judged=judge is not None)
    numbers = {name: number for name, number in numbers.items() if name not in overflows}
    problem = first_problem(numbers)
    if in_detail:
        numbers |= state.scalers.values()
    clips, decoded = _joined([part.clips for part in parts]), _joined([part.decoded for part in parts])
    return StepReport(clips, decoded, quantized, numbers, problem)


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    """Return the tensors of all parts as one, of a single part its own: a batch of clips is large."""
    return torch.cat(list(pieces)) if len(pieces) > 1 else pieces[0]


def _judge(step: int, batch: Batch, state: TrainingState[Tokenizer], objective: Objective) -> Adversary | None:
    """Return the adversary of a batch; None where there is none, or its time has not come."""
    name = judge_name(batch.clips_u8.shape[2])
    if name not in state.adversaries or step < objective.config.adversarial.start_step:
        return None
    judge = state.adversaries[name]
    assert isinstance(judge, Adversary)
    return judge


def _prepare(step: int, state: TrainingState[Tokenizer], objective: Objective) -> None:
    """Set both learning rates, and forget the gradients of the step before."""
    config = objective.config
    sides = ((state.optimizer, config.optimizer), (state.adversary_optimizer, config.discriminator_optimizer))
    for optimizer, settings in sides:
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step, config.num_steps)
            optimizer.zero_grad(set_to_none=True)


def _compute(
    step: int,
    clips_u8: Tensor,
    draws: Draws,
    state: TrainingState[Tokenizer],
    judge: Adversary | None,
    objective: Objective,
    *,
    in_detail: bool,
) -> _Part:
    """Add the gradients of a part of a batch to both sides."""
    share = 1 / objective.config.num_parts
    done = objective.forward(step, clips_u8, draws, state, judge)
    values = {"loss": done.total, **done.values}
    if in_detail:
        norms = last_layer_norms(state.model, done, state.scalers.own.get_scale())
        values |= {f"pull_{name}": norm for name, norm in norms.items()}
    state.scalers.own.scale(done.total * share).backward()
    if judge is not None:
        verdict = objective.judge(step, done, judge)
        state.scalers.judge.scale(verdict.total * share).backward()
        values |= _judge_values(verdict)
    return _Part(
        done.clips,
        done.decoded.detach().float(),
        Quantized(*(tensor.detach() for tensor in done.quantized)),
        {name: value.detach().float() for name, value in values.items()},
    )


def _judge_values(verdict: DiscriminatorTerms) -> dict[str, Tensor]:
    values = {"judge_loss": verdict.total, "lecam": verdict.lecam}
    values |= {"real_logit": verdict.real_mean, "fake_logit": verdict.fake_mean}
    return values if verdict.r1 is None else {**values, "r1": verdict.r1}


def _finish_gradients(
    state: TrainingState[Tokenizer], judge: Adversary | None, objective: Objective
) -> dict[str, Tensor]:
    """Make both sides' gradients those of the whole batch, without scales, and clipped; return their norms before."""
    state.scalers.own.unscale_(state.optimizer)
    norms = {"grad_norm": clip_gradients(state.model, objective.config.optimizer)}
    if judge is not None and state.adversary_optimizer is not None:
        average_gradients(judge)
        state.scalers.judge.unscale_(state.adversary_optimizer)
        norms["judge_grad_norm"] = clip_gradients(judge, objective.config.discriminator_optimizer)
    return norms


def clip_gradients(side: nn.Module, settings: OptimizerConfig) -> Tensor:
    """Clip one side's gradients as its settings say, and return the norm that they had."""
    return torch.nn.utils.clip_grad_norm_(side.parameters(), settings.max_grad_norm or math.inf)


def first_problem(numbers: dict[str, float]) -> str:
    """Return "commitment is nan" for the first value that is not finite, parts before sums; "" where all are."""
    for name in sorted(numbers, key=lambda name: name in _TO_BLAME_LAST):
        if not math.isfinite(numbers[name]):
            return f"{name.replace('_', ' ')} is {numbers[name]}"
    return ""


def _move(
    step: int,
    state: TrainingState[Tokenizer],
    judge: Adversary | None,
    quantized: Quantized,
    values: dict[str, Tensor],
    objective: Objective,
) -> None:
    """Let both optimizers and everything that follows them take the step."""
    state.scalers.own.step(state.optimizer)
    if judge is not None and state.adversary_optimizer is not None:
        state.scalers.judge.step(state.adversary_optimizer)
        judge.update(values["real_logit"], values["fake_logit"])
    if isinstance(state.model.quantizer, VQ) and objective.config.trained == "all":
        state.model.quantizer.update(quantized)
    update_ema(state.average, state.model, objective.config.ema_decay, step)
