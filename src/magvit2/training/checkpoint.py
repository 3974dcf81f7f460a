"""Checkpoints: everything a run needs to go on as if it had never stopped, in a folder that is complete or absent."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from magvit2.errors import FormatError, OutputError, errors_as_output
from magvit2.store import read_tensors, remove_folder, remove_leftovers, write_tensors, write_text
from magvit2.training.scaling import Scalers, make_scalers

_NAME = re.compile(r"step-(\d{8})")
_TENSORS, _STATE = "state.safetensors", "state.json"

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class TrainingState(Generic[M]):
    """What moves during a run besides the step: model, its average, the adversaries by name, and both optimizers.

    `network` is what runs the model: the model itself or, where processes share a batch, what averages its gradients.
    `scalers` are switched off unless the arithmetic is float16.
    """

    network: nn.Module
    model: M
    average: M
    optimizer: torch.optim.Optimizer
    adversaries: nn.ModuleDict
    adversary_optimizer: torch.optim.Optimizer | None
    scalers: Scalers = field(default_factory=lambda: make_scalers("fp32", "cpu"))


def save_checkpoint(folder: Path, step: int, state: TrainingState[Any], keep: int) -> Path:
    """Write the state before step `step` to a subfolder of `folder`; keep the latest `keep` of them.

    Each is there as a whole or not at all, whenever the process is killed. Raises OutputError where it cannot be
    written; the others are left as they are.
    """
    target = folder / f"step-{step:08d}"
    partial = folder / f".{target.name}.partial"
    with errors_as_output(target):
        tidy_checkpoints(folder, keep)  # first of all, as what is left takes space
        try:
            _write(partial, step, state)
            if target.exists():
                remove_folder(target)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        tidy_checkpoints(folder, keep)
    return target


def tidy_checkpoints(folder: Path, keep: int) -> None:
    """Remove what a process that was killed left unfinished, and all but the latest `keep` checkpoints."""
    remove_leftovers(folder)
    for superfluous in [*folder.glob(".step-*.partial"), *_checkpoints(folder)[:-keep]]:
        remove_folder(superfluous)


@contextmanager
def saying_what_is_saved(folder: Path) -> Iterator[None]:
    """Add to an OutputError of the block what the run that lies in `folder` goes on from."""
    try:
        yield
    except OutputError as error:
        last = latest_checkpoint(folder / "checkpoints")
        if last is None:
            raise
        raise OutputError(f"{error}; the same command goes on from step {checkpoint_step(last)}") from error


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint below `folder`, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def checkpoint_step(checkpoint: Path) -> int:
    """Return the step that a run would go on with from a checkpoint: how many are done."""
    return int(checkpoint.name.removeprefix("step-"))


def load_checkpoint(checkpoint: Path, state: TrainingState[Any]) -> int:
    """Restore the state in place and return the step to go on with. Raises FormatError for one that does not fit."""
    tensors = read_tensors(checkpoint / _TENSORS)
    try:
        header: dict[str, Any] = json.loads((checkpoint / _STATE).read_text())
        state.model.load_state_dict(_below(tensors, "model."))
        state.average.load_state_dict(_below(tensors, "average."))
        state.adversaries.load_state_dict(_below(tensors, "adversaries."))
        for name, optimizer in _optimizers(state).items():
            _load_optimizer(optimizer, _below(tensors, f"{name}."))
        state.scalers.restore(header.get("scalers", {}))
        torch.set_rng_state(tensors["random"])
        return int(header["step"])
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        raise FormatError(f"{checkpoint}: does not fit this run ({error}); start anew in another folder") from error


def _write(partial: Path, step: int, state: TrainingState[Any]) -> None:
    partial.mkdir(parents=True)
    write_tensors(partial / _TENSORS, _tensors(state))
    write_text(partial / _STATE, json.dumps({"step": step, "scalers": state.scalers.state()}))


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))


def _tensors(state: TrainingState[Any]) -> dict[str, Tensor]:
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in state.average.state_dict().items()}
    tensors |= {f"adversaries.{key}": value for key, value in state.adversaries.state_dict().items()}
    for name, optimizer in _optimizers(state).items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in values.items()}
    return tensors | {"random": torch.get_rng_state()}


def _optimizers(state: TrainingState[Any]) -> dict[str, torch.optim.Optimizer]:
    found = {"optimizer": state.optimizer, "adversary_optimizer": state.adversary_optimizer}
    return {name: optimizer for name, optimizer in found.items() if optimizer is not None}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # the fused step walks memory: a moment needs its parameter's layout
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
