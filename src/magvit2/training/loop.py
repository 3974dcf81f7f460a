"""The one loop of all trainings: from a state and its batches to a folder with a model, however often interrupted."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from magvit2.errors import Magvit2Error, TrainingError, errors_as_output
from magvit2.schema import read_json, to_dict
from magvit2.store import Pretrained, remove_leftovers, write_text
from magvit2.training.checkpoint import (
    TrainingState,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    tidy_checkpoints,
)
from magvit2.training.distributed import any_rank, rank, wait_for_all
from magvit2.training.guard import BadSteps
from magvit2.training.interruption import Interruption
from magvit2.training.limit import TimeLimit

# What may change from one start of a run to the next: no step depends on it.
_FREE = ("num_workers", "checkpoint_activations", "validate_every", "tensorboard")


@runtime_checkable
class RunSettings(Protocol):
    """What the loop reads of a training's configuration, a frozen dataclass."""

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints."""

    @property
    def keep_checkpoints(self) -> int:
        """How many of them stay."""

    @property
    def max_bad_steps(self) -> int:
        """Steps in a row that may be left out."""


@runtime_checkable
class Report(Protocol):
    """What the loop reads of a step's report."""

    @property
    def problem(self) -> str:
        """What was not finite; "" where all was."""


@runtime_checkable
class Record(Protocol):
    """What the first process does beside training."""

    def note(self, step: int, batch: Any, report: Any, rate: float) -> None:
        """Write of a step what is to be written; `rate` is the learning rate."""

    def is_validated(self, step: int) -> bool:
        """Whether there is a validation after a step."""

    def validate(self, step: int, model: Any) -> None:
        """Score the average after a step."""


@dataclass(frozen=True)
class Training:
    """A training as the loop sees it.

    `batches(first)` yields those of the steps from `first` on, `take_step(step, batch)` takes one, `open_record(first)`
    is entered by the first process for the time of the run.
    """

    settings: Any
    state: TrainingState[Any]
    batches: Callable[[int], Iterator[Any]]
    take_step: Callable[[int, Any], Any]
    open_record: Callable[[int], AbstractContextManager[Any]]


def run(
    training: Training,
    folder: Path,
    device: torch.device,
    limit: TimeLimit,
    on_save: Callable[[], None] | None = None,
) -> Path:
    """Train in `folder`, which is claimed, from its last checkpoint on; return the folder of the model (the average).

    Raises KeyboardInterrupt after SIGINT or SIGTERM, once all is saved, and TrainingError where too many steps in a row
    have no finite loss.
    """
    settings: RunSettings = training.settings
    state = training.state
    checkpoint = latest_checkpoint(folder / "checkpoints")
    first_step = load_checkpoint(checkpoint, state) if checkpoint else 0
    guard = BadSteps(settings.max_bad_steps, folder / "checkpoints")
    recording: AbstractContextManager[Record | None] = contextlib.nullcontext()
    if rank() == 0:
        recording = training.open_record(first_step)
    with recording as record, Interruption() as interruption:
        for step, batch in enumerate(training.batches(first_step), first_step):
            report: Report = training.take_step(step, batch)
            is_last = step + 1 == settings.num_steps
            guard.check(step, report.problem, is_last=is_last)
            if record is not None:
                record.note(step, batch, report, state.optimizer.param_groups[0]["lr"])
                if guard.is_sound and record.is_validated(step):
                    with limit.validating():
                        record.validate(step, state.average)
            is_interrupted = any_rank(interruption.is_requested, device)
            must_stop = any_rank(limit.is_reached(), device) or is_interrupted
            is_due = is_last or must_stop or (step + 1) % settings.checkpoint_every == 0
            if is_due and guard.is_sound:
                with limit.saving():
                    _save(folder, step + 1, state, settings, on_save)
            if is_interrupted and not is_last:
                raise KeyboardInterrupt(f"interrupted after step {step}; all is saved, the same command goes on")
            if must_stop:
                break
    return folder / "model"


def _save(
    folder: Path, step: int, state: TrainingState[nn.Module], settings: RunSettings, on_save: Callable[[], None] | None
) -> None:
    """Have the first process write the model and a checkpoint of the state before `step`."""
    if rank() == 0:
        assert isinstance(state.average, Pretrained)
        state.average.save_pretrained(folder / "model")
        save_checkpoint(folder / "checkpoints", step, state, settings.keep_checkpoints)
        if on_save is not None:
            on_save()
    wait_for_all()


def claim(folder: Path, config: Any) -> None:
    """Have the first process write the run's configuration, or make sure that the run that lies there has the same.

    Raises TrainingError where it has not, or where `folder` is a file.
    """
    if rank() == 0:
        _claim(folder, config)
    wait_for_all()


def _claim(folder: Path, config: Any) -> None:
    path = folder / "training.json"
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder}: is a file; give a folder for the run")
    if path.exists():
        theirs, ours = to_dict(read_json(type(config), path)), to_dict(config)
        changed = [key for key in ours if theirs[key] != ours[key] and key not in _FREE]
        if changed:
            raise TrainingError(
                f"{folder} holds a run with other settings (it differs in {', '.join(changed)}); resume with those, or "
                "give another folder"
            )
    with errors_as_output(folder):
        for place in (folder, folder / "samples"):
            remove_leftovers(place)
        tidy_checkpoints(folder / "checkpoints", config.keep_checkpoints)
    write_text(path, json.dumps(to_dict(config), indent=2) + "\n")


def load_from(batches: Dataset[Any], first_step: int, num_steps: int, num_workers: int, device: str) -> Iterator[Any]:
    """Yield the batches of the steps from `first_step` on, made by so many processes."""
    loader = DataLoader(
        Subset(batches, range(first_step, num_steps)),
        batch_size=None,
        num_workers=num_workers,
        worker_init_fn=_quiet_worker,
        generator=torch.Generator(),  # else each start of a loader would take from the run's own chance
        prefetch_factor=4 if num_workers else None,
        pin_memory=torch.device(device).type == "cuda",
    )
    try:
        yield from loader
    except Magvit2Error as error:
        raise type(error)(_last_line(error)) from error


def _last_line(error: Magvit2Error) -> str:
    """Return the message alone: a worker's error comes with its whole traceback, whose last line is "type: message"."""
    *traceback, last = str(error).strip().splitlines()
    return last.partition(": ")[2] if traceback else last


def _quiet_worker(_: int) -> None:
    """One thread for each worker, and an interrupt is the trainer's to handle."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
