"""What the first process of a run does beside training: it notes, shows, validates, and keeps the best model.

Nothing here takes from the run's chance or moves its state: a training is the same, bit for bit, without it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from magvit2.data.batches import Batch
from magvit2.data.items import MediaItem
from magvit2.errors import InputError
from magvit2.metrics import CodeUsage
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import TokenSpace
from magvit2.training.best import Best
from magvit2.training.board import open_board
from magvit2.training.config import TokenizerTraining
from magvit2.training.journal import Journal
from magvit2.training.samples import MAX_CLIPS, is_sampled
from magvit2.training.starts import Data, data_hash, note_start
from magvit2.training.step import StepReport
from magvit2.training.usage import UsageWindow
from magvit2.training.validation import Clips, read_held_out, validate


class Record:
    """Keeps a run's folder, but for its settings and what is saved to go on from."""

    def __init__(self, folder: Path, config: TokenizerTraining, journal: Journal, held_out: Clips) -> None:
        self._config = config
        self._journal = journal
        self._held_out = held_out
        self._best = Best(folder, "val_psnr")
        self._usage = UsageWindow(config.model.space.vocab_size)

    def note(self, step: int, batch: Batch, report: StepReport, rate: float) -> None:
        """Write of a step what the journal and the samples are to have; `rate` is the learning rate."""
        journal, num_done = self._journal, step + 1
        journal.advance(step)
        journal.skip(step, batch.skipped)
        if report.problem:
            journal.warn(step, f"{report.problem}: the step is left out")
        elif is_logged(step, self._config):
            self._usage.add(report.quantized.ids)
            values = {**_journal_values(report, self._config.model.space), "lr": rate}
            shown = f"loss {values['loss']:.4f}  psnr {values['psnr']:.2f}  codes {self._usage.share:.0%}"
            journal.log(step, batch.kind, values, shown)
        if is_sampled(num_done, self._config.sample_every) or num_done == self._config.num_steps:
            journal.samples(step, batch.kind, report.clips[:MAX_CLIPS], report.decoded[:MAX_CLIPS])

    def is_validated(self, step: int) -> bool:
        """Whether there is a validation after a step: after every `validate_every`-th, and the last."""
        every, num_done = self._config.validate_every, step + 1
        return len(self._held_out) > 0 and (num_done % every == 0 or num_done == self._config.num_steps)

    def validate(self, step: int, model: Tokenizer) -> None:
        """Score a model after a step, and keep it if it is the best."""
        values = validate(model, self._held_out)
        psnr = values["val_psnr"]
        is_best = self._best.offer(model, step + 1, psnr)
        self._journal.log_validation(step, values, f"psnr {psnr:.2f} dB", is_best=is_best)


@contextmanager
def open_record(
    folder: Path, source: Path, items: Sequence[MediaItem], config: TokenizerTraining, first_step: int, device: str
) -> Iterator[Record]:
    """Note a start of the run in `folder` and give, for the block, the record that it goes on with."""
    warning = note_start(folder / "run.json", Data(source, len(items), data_hash(source, items)), first_step, device)
    with (
        open_board(folder / "tensorboard", first_step, is_wanted=config.tensorboard) as board,
        Journal(folder, first_step, config.num_steps, board) as journal,
    ):
        if warning:
            journal.warn(first_step, warning)
        has_ends = config.validate_every > 0 and first_step < config.num_steps
        held_out = _held_out(source, items, config, first_step, journal) if has_ends else []
        yield Record(folder, config, journal, held_out)


def is_logged(step: int, config: TokenizerTraining) -> bool:
    """Whether a step has a line in the journal: every `log_every`-th, and the last."""
    return step % config.log_every == 0 or step + 1 == config.num_steps


def _held_out(
    source: Path, items: Sequence[MediaItem], config: TokenizerTraining, first_step: int, journal: Journal
) -> Clips:
    """Return the clips to validate on; where there are none that is said."""
    try:
        found = read_held_out(source, items, config.batches, config.validate_items)
    except InputError as error:
        journal.warn(first_step, f"no validation, and no best model: {error}")
        return []
    journal.skip(first_step, found.skipped)
    if not found.clips:
        journal.warn(first_step, "no validation, and no best model: no held-out item could be read")
    return found.clips


def _journal_values(report: StepReport, space: TokenSpace) -> dict[str, float]:
    """Return what a line of the journal says of a step."""
    values = dict(report.values)
    usage = CodeUsage(space)
    usage.add(report.quantized.ids)
    return {
        "loss": values.pop("loss"),
        "psnr": -10 * math.log10(max(values.pop("reconstruction"), 1e-12)),
        **values,
        "least_digit_entropy": usage.digit_entropies.min().item(),
        "distinct_ids": usage.num_distinct / usage.num_tokens,
    }
