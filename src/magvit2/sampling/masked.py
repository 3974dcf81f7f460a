"""Masked sampling: all positions are guessed at once, the surest guesses stay, the others are masked and guessed again.

MaskGIT (arXiv 2202.04200) with the options of MAGVIT's released code. At step s of K, each unset factor is drawn from
its distribution; a unit's confidence is the log-probability of its guess before top-k and top-p (a token's is the sum
of its factors') plus T (1 - (s + 1) / K) Gumbel noise; floor(ratio((s + 1) / K) N) units, of the N that were unknown at
first, stay masked: at least one and not all, and none after the last step.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.lm.config import MaskedLMConfig
from magvit2.lm.masked import MaskedLM
from magvit2.lm.masking import Condition, mask_ratio, shown_condition
from magvit2.sampling.chance import Chance, gumbel_noise, sample_generators, uniform_noise
from magvit2.sampling.choice import draw, guided, likeliest
from magvit2.sampling.request import (
    Label,
    check_guidance,
    check_ids,
    count_samples,
    for_sampling,
    labels_of,
    with_changes,
)
from magvit2.sampling.settings import Guidance, MaskedSampling


class MaskedStep(NamedTuple):
    """The state after a step, which counts from 1: `ids` of all positions, guesses where they are still unset."""

    ids: Int[Tensor, "b t h w"]
    is_unset: Bool[Tensor, "b t h w"]
    step: int


def sample_masked(
    lm: MaskedLM,
    grid: Size,
    label: Label = None,
    num_steps: int | None = None,
    *,
    guidance: Guidance | None = None,
    settings: MaskedSampling | None = None,
    known: Int[Tensor, "b t h w"] | None = None,
    mask: Bool[Tensor, "... t h w"] | None = None,
    condition: Condition | None = None,
    task: str | None = None,
    num_samples: int | None = None,
    generator: Chance = None,
) -> Int[Tensor, "b t h w"]:
    """Return ids that a masked model generates on a grid (t, h, w), int64 on the model's device.

    `label` is the class of all samples or of each, none for no class; it, `known` and `condition` give the number of
    samples, else it is `num_samples`, or 1. `num_steps` and `guidance`, where given, take the place of those in
    `settings`. `known` ids stay where `mask` is False. Masked tokens show the ids of `condition` where that covers
    (COMMIT). `task` is one of `lm.config.tasks`, for models that have some; their first one unless said. A single
    `generator` gives each sample its seed: sample i is the same in a batch of any size. Raises InputError for what does
    not fit the model or together, ConfigError for impossible settings.
    """
    steps = sample_masked_steps(
        lm, grid, label, num_steps, guidance=guidance, settings=settings, known=known, mask=mask, condition=condition,
        task=task, num_samples=num_samples, generator=generator,
    )  # fmt: skip
    return deque(steps, maxlen=1).pop().ids


def sample_masked_steps(
    lm: MaskedLM,
    grid: Size,
    label: Label = None,
    num_steps: int | None = None,
    *,
    guidance: Guidance | None = None,
    settings: MaskedSampling | None = None,
    known: Int[Tensor, "b t h w"] | None = None,
    mask: Bool[Tensor, "... t h w"] | None = None,
    condition: Condition | None = None,
    task: str | None = None,
    num_samples: int | None = None,
    generator: Chance = None,
) -> Iterator[MaskedStep]:
    """Yield the state after every step of `sample_masked`; the last one has nothing unset, and is what that returns.

    There are fewer steps than `num_steps` where fewer positions are unknown. Raises as `sample_masked`, at the call.
    """
    settings = with_changes(settings or MaskedSampling(), num_steps=num_steps, guidance=guidance)
    lm.config.check_grid(grid)
    check_guidance(lm.config, label, settings.guidance)
    count = count_samples(label, num_samples, known=known, condition=None if condition is None else condition.ids)
    factors, is_masked = _given(lm.config, grid, count, known, mask)
    start = _Start(
        factors.to(lm.device),
        is_masked.to(lm.device),
        _seen_where_masked(lm, grid, condition),
        labels_of(lm.config, label, count).to(lm.device),
        _tasks_of(lm, task, count),
    )
    return _steps(lm, start, settings, sample_generators(generator, count))


class _Start(NamedTuple):
    """What sampling begins with: known factors, which to generate, and what the model sees in place of masked ones."""

    factors: Int[Tensor, "b t h w f"]
    is_masked: Bool[Tensor, "b t h w f"]
    seen: Int[Tensor, "... f"]
    labels: Int[Tensor, " b"]
    tasks: Int[Tensor, " b"] | None


def _given(
    config: MaskedLMConfig, grid: Size, count: int, known: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the known factors, 0 where unknown, and which factors to generate."""
    shape = (count, *grid, config.num_factors)
    if known is None and mask is None:
        return torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.bool)
    if known is None or mask is None:
        given, missing = ("mask", "known ids") if known is None else ("known ids", "a mask")
        raise InputError(f"{given} without {missing}: expected both, the mask True where to generate")
    check_ids("known ids", known, grid)
    if mask.dtype != torch.bool or tuple(mask.shape) not in (grid, (1, *grid), (count, *grid)):
        raise InputError(f"mask {list(mask.shape)} of {mask.dtype}: expected bool {list(known.shape)}, as the ids are")
    if not mask.any():
        raise InputError("mask: expected True where to generate, and it is nowhere")
    mask = mask.to(known.device).expand(count, *grid)
    factors = config.space.ids_to_factors(known.long().masked_fill(mask, 0), config.num_factors)
    return factors, mask[..., None].expand(shape)


def _seen_where_masked(lm: MaskedLM, grid: Size, condition: Condition | None) -> Tensor:
    """Return the factors that the model sees in place of masked ones."""
    if condition is None:
        return lm.mask_values()
    ids, is_covered = condition
    check_ids("condition", ids, grid)
    if is_covered.shape != ids.shape or is_covered.dtype != torch.bool:
        raise InputError(
            f"condition covers {list(is_covered.shape)} of {is_covered.dtype}: expected bool {list(ids.shape)}"
        )
    factors = lm.config.space.ids_to_factors(ids.to(lm.device), lm.config.num_factors)
    return shown_condition(factors, is_covered.to(lm.device), lm.mask_values())


def _tasks_of(lm: MaskedLM, task: str | None, count: int) -> Tensor | None:
    """Return the number of the task for each sample, None for a model without tasks."""
    tasks = lm.config.tasks
    if task is None and not tasks:
        return None
    task = tasks[0] if task is None else task
    if task not in tasks:
        raise InputError(
            f"task {task!r}: expected {'one of ' + ', '.join(tasks) if tasks else 'none'}, as this model has"
        )
    return torch.full((count,), tasks.index(task), device=lm.device)


def _steps(
    lm: MaskedLM, start: _Start, settings: MaskedSampling, generators: list[torch.Generator]
) -> Iterator[MaskedStep]:
    factors, is_masked = start.factors, start.is_masked
    num_unknown = num_unset = _count(_units(is_masked, settings))
    for step in range(settings.num_steps):
        with for_sampling(lm):
            logits = _logits(lm, start, factors, is_masked, settings.guidance.at(step / settings.num_steps))
            factors, confidence = _guess(logits, factors, is_masked, settings, generators)
            units = _units(is_masked, settings)
            noise = gumbel_noise(generators, tuple(units.shape[1:])).to(lm.device)
            warmth = settings.choice_temperature * (1 - (step + 1) / settings.num_steps)
            num_unset = [num_left(settings, step, *counts) for counts in zip(num_unknown, num_unset, strict=True)]
            is_masked = _least_sure(confidence + warmth * noise, units, num_unset).expand_as(is_masked)
            ids = lm.config.space.factors_to_ids(factors)
        yield MaskedStep(ids.clone(), is_masked.any(-1), step + 1)  # copied outside, for autograd to be able to use it
        if not any(num_unset):
            return


def _units(is_masked: Bool[Tensor, "b t h w f"], settings: MaskedSampling) -> Bool[Tensor, "b t h w u"]:
    """Return which units are masked: factors, or tokens, all factors of which are masked or none."""
    return is_masked if settings.unit == "factor" else is_masked[..., :1]


def _count(units: Bool[Tensor, "b t h w u"]) -> list[int]:
    return [int(count) for count in units.flatten(1).sum(1)]


def num_left(settings: MaskedSampling, step: int, num_unknown: int, num_unset: int) -> int:
    """Return how many of a sample's units stay masked after `step`, which counts from 0."""
    if num_unset == 0 or step + 1 == settings.num_steps:
        return 0
    ratio = mask_ratio(settings.schedule, (step + 1) / settings.num_steps, num_unknown)
    return min(max(1, math.floor(ratio * num_unknown)), num_unset - 1)


def _logits(
    lm: MaskedLM, start: _Start, factors: Tensor, is_masked: Tensor, scale: float
) -> list[Float[Tensor, "b t h w _k"]]:
    """Return the logits of each factor; guided ones by one pass of twice the batch."""
    x = torch.where(is_masked, start.seen, factors)
    if not scale:
        return [logits.float() for logits in lm(x, start.labels, start.tasks)]
    labels = torch.cat([start.labels, torch.full_like(start.labels, lm.config.num_classes)])
    tasks = None if start.tasks is None else start.tasks.repeat(2)
    return [guided(logits.float(), scale) for logits in lm(torch.cat([x, x]), labels, tasks)]


def _guess(
    logits: list[Tensor],
    factors: Tensor,
    is_masked: Tensor,
    settings: MaskedSampling,
    generators: list[torch.Generator],
) -> tuple[Int[Tensor, "b t h w f"], Float[Tensor, "b t h w u"]]:
    """Return factors with masked ones drawn, and the log-probability of each unit; 0 where nothing was masked."""
    noise = uniform_noise(generators, tuple(factors.shape[1:])).to(factors.device)
    guesses, confidence = factors.clone(), torch.zeros(factors.shape, device=factors.device)
    for i, each in enumerate(logits):
        here = is_masked[..., i]
        rows = each[here] / settings.temperature
        values = draw(likeliest(rows, settings.top_k, settings.top_p).softmax(-1), noise[..., i][here])
        guesses[..., i][here] = values
        confidence[..., i][here] = rows.log_softmax(-1).gather(-1, values[:, None])[:, 0]
    return guesses, confidence if settings.unit == "factor" else confidence.sum(-1, keepdim=True)


def _least_sure(
    confidence: Float[Tensor, "b t h w u"], is_unset: Bool[Tensor, "b t h w u"], counts: list[int]
) -> Bool[Tensor, "b t h w u"]:
    """Return which units are among the `counts` least sure of each sample's unset ones."""
    order = confidence.masked_fill(~is_unset, math.inf).flatten(1).argsort(dim=1, stable=True)
    places = torch.arange(order.shape[1], device=order.device)
    is_chosen = places < torch.tensor(counts, device=order.device)[:, None]
    return torch.zeros_like(is_chosen).scatter(1, order, is_chosen).view(is_unset.shape)
