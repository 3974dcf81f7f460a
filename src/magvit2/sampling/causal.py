"""Causal sampling: one factor after another in raster order, each from its own values alone, with a cache."""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.lm.causal import CausalLM
from magvit2.runtime import small_products
from magvit2.sampling.chance import Chance, sample_generators, uniform_noise
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
from magvit2.sampling.settings import CausalSampling, Guidance


class CausalStep(NamedTuple):
    """The state after a row of the grid: `ids`, of which the first `num_set` in raster order are set, others are 0."""

    ids: Int[Tensor, "b t h w"]
    num_set: int


def sample_causal(
    lm: CausalLM,
    grid: Size,
    label: Label = None,
    *,
    top_k: int | None = None,
    guidance: Guidance | None = None,
    settings: CausalSampling | None = None,
    prefix: Int[Tensor, "b t0 h w"] | None = None,
    num_samples: int | None = None,
    generator: Chance = None,
) -> Int[Tensor, "b t h w"]:
    """Return ids that a causal model generates on a grid (t, h, w), int64 on the model's device.

    `label` is the class of all samples or of each, none for no class; it and `prefix` give the number of samples, else
    it is `num_samples`, or 1. `top_k` and `guidance`, where given, take the place of those in `settings`. `prefix` are
    ids of the first latents, less than t of them. A single `generator` gives each sample its seed: sample i is the same
    in a batch of any size. Raises InputError for what does not fit the model or together, ConfigError for impossible
    settings.
    """
    steps = sample_causal_steps(
        lm, grid, label, top_k=top_k, guidance=guidance, settings=settings, prefix=prefix, num_samples=num_samples,
        generator=generator,
    )  # fmt: skip
    return deque(steps, maxlen=1).pop().ids


def sample_causal_steps(
    lm: CausalLM,
    grid: Size,
    label: Label = None,
    *,
    top_k: int | None = None,
    guidance: Guidance | None = None,
    settings: CausalSampling | None = None,
    prefix: Int[Tensor, "b t0 h w"] | None = None,
    num_samples: int | None = None,
    generator: Chance = None,
) -> Iterator[CausalStep]:
    """Yield the state after every row of the grid of `sample_causal`; the last one's ids are what that returns.

    Raises as `sample_causal`, at the call.
    """
    settings = with_changes(settings or CausalSampling(), top_k=top_k, guidance=guidance)
    lm.config.check_grid(grid)
    check_guidance(lm.config, label, settings.guidance)
    count = count_samples(label, num_samples, prefix=prefix)
    first = torch.zeros((count, 0, *grid[1:]), dtype=torch.int64) if prefix is None else prefix.long()
    check_ids("prefix", first, (first.shape[1], *grid[1:]))
    if first.shape[1] >= grid[0]:
        raise InputError(f"prefix of {first.shape[1]} latents on a grid {grid}: expected at most {grid[0] - 1}")
    lm.config.space.check(first)
    labels = labels_of(lm.config, label, count).to(lm.device)
    return _steps(lm, grid, labels, first.to(lm.device), settings, sample_generators(generator, count))


def _steps(
    lm: CausalLM, grid: Size, labels: Tensor, first: Tensor, settings: CausalSampling, generators: list[torch.Generator]
) -> Iterator[CausalStep]:
    num_factors, (_, height, width) = lm.config.num_factors, grid
    rows = torch.cat([first, first.new_zeros(len(first), grid[0] - first.shape[1], height, width)], 1).flatten(1, 2)
    noise = uniform_noise(generators, (math.prod(grid) * num_factors,)).to(lm.device)
    writer = _Writer(lm, labels, first, settings, grid)
    for row in range(first.shape[1] * height, grid[0] * height):
        start = row * width * num_factors
        with for_sampling(lm), small_products(lm.device):
            tokens = writer.write(noise[:, start : start + width * num_factors])
            rows[:, row] = lm.to_ids(tokens, (1, 1, width))[:, 0, 0]
        yield CausalStep(rows.unflatten(1, grid[:2]).clone(), (row + 1) * width)


class _Writer:
    """A sequence that grows by tokens; with guidance its second half, of the batch, has no class."""

    def __init__(self, lm: CausalLM, labels: Tensor, first: Tensor, settings: CausalSampling, grid: Size) -> None:
        self.lm, self.settings = lm, settings
        self.is_guided = settings.guidance.scale > 0
        none = torch.full_like(labels, lm.config.num_classes)
        classes = lm.class_tokens(torch.cat([labels, none]) if self.is_guided else labels)
        written = lm.to_sequence(first)
        self.num_written = written.shape[1]
        self.num_tokens = math.prod(grid) * lm.config.num_factors
        self.unread = torch.cat([classes[:, None], self._for_both(written)], dim=1)
        self.cache = lm.new_cache(len(self.unread), 1 + self.num_tokens)

    def write(self, noise: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """Return the next tokens, one for each column of the noise; the first is one of factor 0."""
        lm, offsets = self.lm, self.lm.offsets
        tokens = []
        for i, column in enumerate(noise.unbind(1)):
            factor = i % lm.config.num_factors
            hidden = lm.hidden(self.unread, self.cache)[:, -1]
            token = self._drawn(lm.factor_logits(hidden, factor).float(), column) + offsets[factor]
            self.unread = self._for_both(token[:, None])
            self.num_written += 1
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    def _drawn(self, logits: Float[Tensor, "rows k"], noise: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
        settings = self.settings
        if self.is_guided:
            logits = guided(logits, settings.guidance.at(self.num_written / self.num_tokens))
        kept = likeliest(logits / settings.temperature, settings.top_k, settings.top_p)
        return draw(kept.softmax(-1), noise)

    def _for_both(self, tokens: Int[Tensor, "b n"]) -> Int[Tensor, "rows n"]:
        return tokens.repeat(2, 1) if self.is_guided else tokens
