"""What a language model is scored on: masked tokens under one of its tasks, or each next token.

Everything that chance decides is a pure function of (seed, step), so a run that resumes, or is shared by several
processes, draws what it would have drawn anyway.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from magvit2.data.conditions import given_pixels, padded
from magvit2.errors import InputError
from magvit2.lm import CausalLM, LMConfig, MaskedLM
from magvit2.lm.masking import corrupted, known_positions, mask_ratio, random_mask, shown_condition
from magvit2.losses import causal_losses, masked_losses
from magvit2.tokenizer import Tokenizer
from magvit2.training.distributed import rank, world_size
from magvit2.training.language_config import LanguageTraining, TaskShare
from magvit2.training.language_source import TokenBatch
from magvit2.training.objective import to_range

_CHANCE = 2
"""Sets these draws apart from those of batches, which have the same seed and step."""


class Draws(NamedTuple):
    """What chance says of each clip of a batch: its task by number, what that gives, what is masked, its class."""

    tasks: Int[Tensor, " b"]
    known: Bool[Tensor, "b t h w"]
    is_masked: Bool[Tensor, "b t h w f"]
    labels: Int[Tensor, " b"]


Objective = Callable[[nn.Module, TokenBatch, Draws], Float[Tensor, " f"]]
"""Cross-entropy of each factor, in nats, of a batch."""


def draw(config: LanguageTraining, model: LMConfig, step: int, batch: TokenBatch) -> Draws:
    """Return this process's share of the draws of a step; `batch` is its share of the batch."""
    rng = np.random.default_rng((config.seed, step, _CHANCE))
    count = len(batch.ids) * world_size()
    loses_class = rng.random(count) < config.label_dropout
    drawn = draws_of(config, model, rng, batch.ids, count)
    mine = slice(rank() * len(batch.ids), (rank() + 1) * len(batch.ids))
    labels = torch.where(torch.from_numpy(loses_class[mine]), model.num_classes, batch.labels)
    return Draws(drawn.tasks[mine], drawn.known[mine], drawn.is_masked[mine], labels)


def draws_of(
    config: LanguageTraining, model: LMConfig, rng: np.random.Generator, ids: Int[Tensor, "b t h w"], count: int
) -> Draws:
    """Return the draws of `count` clips like those of `ids`; the labels are all "none"."""
    grid = ids.shape[1], ids.shape[2], ids.shape[3]
    weights = np.array([share.weight for share in config.tasks])
    possible = np.array([_is_possible(share, grid[0]) for share in config.tasks])
    if not possible.any():
        raise InputError(f"clips of {grid[0]} latents in time: too few for {', '.join(config.task_names)}")
    chances = weights * possible / (weights * possible).sum()
    tasks, known, masked = [], [], []
    for _ in range(count):
        tasks.append(int(rng.choice(len(weights), p=chances)))
        share = config.tasks[tasks[-1]]
        known.append(known_positions(share.task, grid, rng))
        ratio = mask_ratio(config.schedule, rng.random(), int(np.prod(grid)))
        target = np.zeros(grid, dtype=bool) if share.commit else known[-1]
        masked.append(random_mask(target, ratio, model.num_factors, rng, by_factor=config.unit == "factor"))
    return Draws(
        torch.tensor(tasks),
        torch.from_numpy(np.stack(known)),
        torch.from_numpy(np.stack(masked)),
        torch.full((count,), model.num_classes),
    )


def _is_possible(share: TaskShare, num_latents: int) -> bool:
    return num_latents >= {"predict": 2, "interpolate": 3}.get(share.task, 1)


def make_objective(config: LanguageTraining, model: LMConfig, tokenizer: Tokenizer | None) -> Objective:
    """Return what a model is scored by; a tokenizer is needed where a task shows the ids of padded pixels."""
    if config.kind == "causal":
        return _causal(config)
    return _masked(config, model, tokenizer)


def _causal(config: LanguageTraining) -> Objective:
    def losses(network: nn.Module, batch: TokenBatch, draws: Draws) -> Tensor:
        lm = _inner(network)
        assert isinstance(lm, CausalLM)
        tokens = lm.to_sequence(batch.ids.to(lm.device))
        start = lm.class_tokens(draws.labels.to(lm.device))[:, None]
        logits = network(torch.cat([start, tokens[:, :-1]], dim=1))
        return causal_losses(logits, tokens, lm.config.num_factors, config.label_smoothing if network.training else 0)

    return losses


def _masked(config: LanguageTraining, model: LMConfig, tokenizer: Tokenizer | None) -> Objective:
    is_commit = torch.tensor([share.commit for share in config.tasks])
    space, num_factors = model.space, model.num_factors

    def losses(network: nn.Module, batch: TokenBatch, draws: Draws) -> Tensor:
        lm = _inner(network)
        assert isinstance(lm, MaskedLM)
        factors = space.ids_to_factors(batch.ids.to(lm.device), num_factors)
        shows = is_commit[draws.tasks][:, None, None, None]
        shown = None
        if bool(shows.any()):
            condition = space.ids_to_factors(_condition_ids(batch, draws, tokenizer).to(lm.device), num_factors)
            shown = shown_condition(condition, (draws.known & shows).to(lm.device), lm.mask_values())
        is_masked = draws.is_masked.to(lm.device)
        tasks = draws.tasks.to(lm.device) if lm.config.tasks else None
        logits = network(corrupted(factors, is_masked, lm.mask_values(), shown), draws.labels.to(lm.device), tasks)
        scored = is_masked if config.scored == "masked" else (~draws.known | shows)[..., None].to(lm.device)
        weights = scored.expand_as(factors).float()
        return masked_losses(logits, factors, weights, config.label_smoothing if network.training else 0.0)

    return losses


def _condition_ids(batch: TokenBatch, draws: Draws, tokenizer: Tokenizer | None) -> Tensor:
    """Return the ids of the pixels that are given of each clip, padded to whole clips."""
    assert tokenizer is not None and batch.clips_u8 is not None  # a source of tokens alone was refused before
    size = batch.clips_u8.shape[2], batch.clips_u8.shape[3], batch.clips_u8.shape[4]
    clips = padded(batch.clips_u8, given_pixels(draws.known, tokenizer.space, size))
    return tokenizer.encode(to_range(clips, tokenizer.device).to(tokenizer.dtype))


def _inner(network: nn.Module) -> nn.Module:
    """Return the model within what averages its gradients."""
    return getattr(network, "module", network)
