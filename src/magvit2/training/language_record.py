"""What the first process of a language model's run does beside training: notes, validates, samples, keeps the best."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magvit2.lm import CausalLM, LMConfig, MaskedLM
from magvit2.losses import bits_per_token
from magvit2.sampling import sample_causal, sample_masked
from magvit2.tokenizer import Tokenizer
from magvit2.training.best import Best
from magvit2.training.board import open_board
from magvit2.training.journal import Journal
from magvit2.training.language_config import LanguageTraining
from magvit2.training.language_objective import Objective, draws_of
from magvit2.training.language_source import TokenBatch, TokenSource
from magvit2.training.language_step import LanguageReport
from magvit2.training.samples import MAX_CLIPS, is_sampled
from magvit2.training.starts import Data, note_start

_NUM_MASKS = 4
"""Masks that each held-out clip is scored with."""


class LanguageRecord:
    """Keeps a run's folder, but for its settings and what is saved to go on from."""

    def __init__(
        self,
        folder: Path,
        config: LanguageTraining,
        model: LMConfig,
        journal: Journal,
        held_out: Sequence[TokenBatch],
        objective: Objective,
        average: MaskedLM | CausalLM,
        tokenizer: Tokenizer | None,
    ) -> None:
        self._config, self._model, self._journal = config, model, journal
        self._held_out, self._objective = held_out, objective
        self._average, self._tokenizer = average, tokenizer
        self._best = Best(folder, "val_bits", is_cost=True)

    def note(self, step: int, batch: TokenBatch, report: LanguageReport, rate: float) -> None:
        """Write of a step what the journal and the samples are to have; `rate` is the learning rate."""
        num_done = step + 1
        self._journal.advance(step)
        self._journal.skip(step, batch.skipped)
        is_last = num_done == self._config.num_steps
        if report.problem:
            self._journal.warn(step, f"{report.problem}: the step is left out")
        elif step % self._config.log_every == 0 or is_last:
            values = {**report.values, "lr": rate}
            shown = f"loss {values['loss']:.3f}  {values['bits']:.2f} bits a token"
            self._journal.log(step, batch.kind, values, shown)
        if self._tokenizer is not None and (is_sampled(num_done, self._config.sample_every) or is_last):
            self._sample(step, batch)

    def is_validated(self, step: int) -> bool:
        """Whether there is a validation after a step: after every `validate_every`-th, and the last."""
        every, num_done = self._config.validate_every, step + 1
        return len(self._held_out) > 0 and (num_done % every == 0 or num_done == self._config.num_steps)

    def validate(self, step: int, model: MaskedLM | CausalLM) -> None:
        """Score a model after a step, and keep it if it is the best."""
        values = validate_language(model, self._held_out, self._objective, self._config)
        is_best = self._best.offer(model, step + 1, values["val_bits"])
        self._journal.log_validation(step, values, f"{values['val_bits']:.2f} bits a token", is_best=is_best)

    def _sample(self, step: int, batch: TokenBatch) -> None:
        """Write clips of a batch, as their tokens show them, above what the average makes of their classes."""
        assert self._tokenizer is not None
        ids, labels = batch.ids[:MAX_CLIPS], batch.labels[:MAX_CLIPS].to(self._average.device)
        made = sample_of(self._average, ids, labels, self._config.sample_steps)
        originals, samples = (self._tokenizer.decode(each.to(self._tokenizer.device)).float() for each in (ids, made))
        self._journal.samples(step, batch.kind, originals, samples)


def sample_of(lm: MaskedLM | CausalLM, ids: Tensor, labels: Tensor, num_steps: int) -> Tensor:
    """Return samples of classes on the grid of `ids`, the same ones for the same model."""
    grid = ids.shape[1], ids.shape[2], ids.shape[3]
    generator = torch.Generator().manual_seed(0)
    if isinstance(lm, CausalLM):
        return sample_causal(lm, grid, labels, generator=generator)
    task = lm.config.tasks[0] if lm.config.tasks else None
    return sample_masked(lm, grid, labels, num_steps, task=task, generator=generator)


@torch.inference_mode()
def validate_language(
    model: MaskedLM | CausalLM, held_out: Sequence[TokenBatch], objective: Objective, config: LanguageTraining
) -> dict[str, float]:
    """Return scores on held-out clips, with their classes; always the same masks, of all tasks.

    `val_bits`: what a token costs in bits, of a masked model those that are masked; `val_loss_F` in nats, by factor.
    """
    losses: list[Tensor] = []
    counts: list[int] = []
    num_masks = _NUM_MASKS if config.kind == "masked" else 1
    for number, batch in enumerate(held_out):
        for turn in range(num_masks):
            rng = np.random.default_rng((number, turn))
            draws = draws_of(config, model.config, rng, batch.ids, len(batch.ids))
            losses.append(objective(model, batch, draws._replace(labels=batch.labels)).float())
            counts.append(len(batch.ids))
    mean = (torch.stack(losses) * torch.tensor(counts, device=losses[0].device)[:, None]).sum(0) / sum(counts)
    values = {"val_bits": float(bits_per_token(mean))}
    return values | {f"val_loss_{factor}": loss for factor, loss in enumerate(mean.tolist())}


@contextmanager
def open_language_record(
    folder: Path,
    source: TokenSource,
    data: Data,
    config: LanguageTraining,
    objective: Objective,
    average: MaskedLM | CausalLM,
    tokenizer: Tokenizer | None,
    first_step: int,
    device: str,
) -> Iterator[LanguageRecord]:
    """Note a start of the run in `folder` and give, for the block, the record that it goes on with."""
    warning = note_start(folder / "run.json", data, first_step, device)
    with (
        open_board(folder / "tensorboard", first_step, is_wanted=config.tensorboard) as board,
        Journal(folder, first_step, config.num_steps, board) as journal,
    ):
        if warning:
            journal.warn(first_step, warning)
        wanted = config.validate_every > 0 and first_step < config.num_steps
        held_out = list(source.held_out()) if wanted else []
        if wanted and not held_out:
            journal.warn(first_step, "no validation, and no best model: nothing is held out")
        yield LanguageRecord(folder, config, average.config, journal, held_out, objective, average, tokenizer)
