"""Training a tokenizer: the loop, from a folder of data to a folder with a model."""

import copy
import dataclasses
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from magvit2.data.batches import Batch, TrainingBatches
from magvit2.data.items import find_items
from magvit2.errors import Magvit2Error, TrainingError
from magvit2.losses import LossTerms, tokenizer_loss
from magvit2.metrics import CodeUsage
from magvit2.quantizers import VQ, Quantized
from magvit2.schema import read_json, to_dict
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer, inflate, is_inflatable
from magvit2.tokens import TokenSpace
from magvit2.training.checkpoint import TrainingState, latest_checkpoint, load_checkpoint, save_checkpoint
from magvit2.training.config import TokenizerTraining
from magvit2.training.distributed import mean_over_ranks
from magvit2.training.interruption import Interruption
from magvit2.training.journal import Journal
from magvit2.training.limit import TimeLimit
from magvit2.training.schedule import learning_rate, update_ema

# What may change from one start of a run to the next: no batch depends on it.
_FREE = ("num_workers",)


def train_tokenizer(
    config: TokenizerTraining,
    source: Path,
    folder: Path,
    device: str = "cpu",
    time_limit: TimeLimit | None = None,
    on_save: Callable[[], None] | None = None,
) -> Path:
    """Train on the `train` items of `source`, in `folder`; return the folder of its model (the average).

    A run that was interrupted goes on from its last checkpoint, exactly: the same losses as if it had not been. The
    first SIGINT or SIGTERM writes one at the end of the step, and ends in KeyboardInterrupt. So does `time_limit`, but
    it returns the model as it stands: `read_status(folder)` says how far it came. `on_save` is called after each save.
    Raises TrainingError where the folder holds another run, under torchrun, or where a loss stops being finite.
    """
    _check_alone()
    limit = time_limit or TimeLimit()
    batches = TrainingBatches(find_items(source), config.batches, config.num_steps, config.seed)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    state = _start(dataclasses.replace(config, initial=None) if checkpoint else config, device)
    _claim(folder, config)
    first_step = load_checkpoint(checkpoint, state) if checkpoint else 0
    with Journal(folder, first_step, config.num_steps) as journal, Interruption() as interruption:
        for step, batch in enumerate(_loader(batches, config, first_step, device), first_step):
            _train_step(step, batch, state, config, journal)
            is_last, is_interrupted = step + 1 == config.num_steps, interruption.is_requested
            must_stop = limit.is_reached() or is_interrupted
            if is_last or must_stop or (step + 1) % config.checkpoint_every == 0:
                with limit.saving():
                    _save(folder, step + 1, state, config, on_save)
            if is_interrupted and not is_last:
                raise KeyboardInterrupt(f"interrupted after step {step}; all is saved, the same command goes on")
            if must_stop:
                break
    return folder / "model"


def _save(
    folder: Path, step: int, state: TrainingState, config: TokenizerTraining, on_save: Callable[[], None] | None
) -> None:
    """Write the model and a checkpoint of the state before `step`."""
    state.average.save_pretrained(folder / "model")  # type: ignore[operator]
    save_checkpoint(folder / "checkpoints", step, state, config.keep_checkpoints)
    if on_save is not None:
        on_save()


def _claim(folder: Path, config: TokenizerTraining) -> None:
    """Write the run's configuration, or make sure that the run that lies there has the same."""
    path = folder / "training.json"
    if path.exists():
        theirs, ours = to_dict(read_json(TokenizerTraining, path)), to_dict(config)
        changed = [key for key in ours if theirs[key] != ours[key] and key not in _FREE]
        if changed:
            raise TrainingError(
                f"{folder} holds a run with other settings (it differs in {', '.join(changed)}); resume with those, or "
                "give another folder"
            )
    write_text(path, json.dumps(to_dict(config), indent=2) + "\n")


def _check_alone() -> None:
    """Refuse to run as one of several processes, which would all write to the same folder."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("this training runs as one process: start it without torchrun")


def _start(config: TokenizerTraining, device: str) -> TrainingState:
    torch.manual_seed(config.seed)
    model = _initial_model(config).to(device)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    return TrainingState(model, average, optimizer)


def _initial_model(config: TokenizerTraining) -> Tokenizer:
    if config.initial is None:
        return Tokenizer(config.model)
    model = Tokenizer.from_pretrained(config.initial)
    if is_inflatable(model.config, config.model):
        model = inflate(model, config.model)
    if model.config != config.model:
        raise TrainingError(f"{config.initial} has another shape than the recipe's model: {model.config}")
    return model.train()


def _loader(batches: TrainingBatches, config: TokenizerTraining, first_step: int, device: str) -> Iterator[Batch]:
    workers = config.num_workers
    loader = DataLoader(
        Subset(batches, range(first_step, config.num_steps)),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_quiet_worker,
        generator=torch.Generator(),  # else each start of a loader would take from the run's own chance
        prefetch_factor=4 if workers else None,
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


def _train_step(step: int, batch: Batch, state: TrainingState, config: TokenizerTraining, journal: Journal) -> None:
    rate = learning_rate(config.optimizer, step, config.num_steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    clips, decoded, terms, quantized = _forward(step, batch, state, config)
    state.optimizer.zero_grad(set_to_none=True)
    terms.total.backward()
    limit = config.optimizer.max_grad_norm or math.inf
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), limit)
    _check_finite(step, terms, norm)
    state.optimizer.step()
    if isinstance(state.model.quantizer, VQ):
        state.model.quantizer.update(quantized)
    update_ema(state.average, state.model, config.ema_decay, step)
    journal.advance(step)
    if step % config.log_every == 0:
        values = _values(terms, norm, rate, quantized.ids, config.model.space)
        journal.log(step, {"kind": batch.kind, **values})
    if (step + 1) % config.sample_every == 0:
        journal.pictures(step + 1, clips[:8], decoded[:8])


def _forward(
    step: int, batch: Batch, state: TrainingState, config: TokenizerTraining
) -> tuple[Tensor, Tensor, LossTerms, Quantized]:
    device = next(state.model.parameters()).device
    clips = batch.clips_u8.to(device).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        decoded, quantized = state.model(clips)
    assert isinstance(state.model, Tokenizer)
    code_size = state.model.quantizer.code_size
    terms = tokenizer_loss(
        decoded, clips, quantized, config.loss, step, code_size=code_size, mean_over_ranks=mean_over_ranks
    )
    return clips, decoded.detach().float(), terms, quantized


def _check_finite(step: int, terms: LossTerms, norm: Tensor) -> None:
    values = {**terms._asdict(), "gradient norm": norm}
    for name in sorted(values, key=lambda name: name == "total"):  # the parts first: one of them is to blame
        if not math.isfinite(values[name].item()):
            raise TrainingError(
                f"step {step}: {name} is {values[name].item()}; start again in another folder with a lower optimizer.lr"
            )


def _values(terms: LossTerms, norm: Tensor, rate: float, ids: Tensor, space: TokenSpace) -> dict[str, float | str]:
    usage = CodeUsage(space)
    usage.add(ids)
    return {
        "loss": terms.total.item(),
        "psnr": -10 * math.log10(max(terms.reconstruction.item(), 1e-12)),
        "commitment": terms.commitment.item(),
        "sample_entropy": terms.sample_entropy.item(),
        "batch_entropy": terms.batch_entropy.item(),
        "least_digit_entropy": usage.digit_entropies.min().item(),
        "distinct_ids": usage.num_distinct / usage.num_tokens,
        "grad_norm": norm.item(),
        "lr": rate,
    }
