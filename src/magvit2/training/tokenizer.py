"""Training a tokenizer: from a folder of data to a folder with a model."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from magvit2.adversarial import Adversary
from magvit2.data.batches import Batch, TrainingBatches
from magvit2.data.items import Found, find
from magvit2.errors import TrainingError
from magvit2.schema import to_dict
from magvit2.tokenizer import Tokenizer, inflate, is_inflatable
from magvit2.tokenizer.networks import recompute_activations
from magvit2.training.board import check_board
from magvit2.training.checkpoint import TrainingState, latest_checkpoint, saying_what_is_saved
from magvit2.training.compilation import compile_networks
from magvit2.training.config import TokenizerTraining
from magvit2.training.distributed import data_parallel, joined, rank, world_size
from magvit2.training.limit import TimeLimit
from magvit2.training.loop import Training, claim, load_from, run
from magvit2.training.objective import make_adversaries, make_objective
from magvit2.training.optimizers import make_optimizer
from magvit2.training.record import is_logged, open_record
from magvit2.training.scaling import make_scalers
from magvit2.training.status import PRETRAINING, read_status
from magvit2.training.step import StepReport, train_step


def train_tokenizer(
    config: TokenizerTraining,
    source: Path,
    folder: Path,
    device: str = "cpu",
    time_limit: TimeLimit | None = None,
    on_save: Callable[[], None] | None = None,
    *,
    nets: Path | None = None,
) -> Path:
    """Train on the `train` items of `source`, in `folder`; return the folder of its model (the average).

    A run that was interrupted goes on from its last checkpoint, exactly: the same losses as if it had not been. The
    first SIGINT or SIGTERM writes one at the end of the step, and ends in KeyboardInterrupt. So does `time_limit`, but
    it returns the model as it stands: `read_status(folder)` says how far it came. `on_save` is called after each save.
    `nets` is the folder of the perceptual network, where the configuration names one. A pretraining comes first, in the
    folder's `pretraining`.

    Under torchrun each process takes its share of every batch, and together they do what one would with all of it;
    `device` "cuda" is then each one's own. Raises TrainingError where the folder holds another run, where the processes
    cannot share a batch evenly, or where the loss is not finite for too many steps, and MissingNetworkError.
    """
    limit = time_limit or TimeLimit()
    with saying_what_is_saved(folder), joined(device) as own_device:
        stage = config.image_stage
        if stage is not None and latest_checkpoint(folder / "checkpoints") is None:
            _check_later(config, source, nets)
            model = _train(stage, source, folder / PRETRAINING, own_device, limit, on_save, nets)
            if not read_status(folder / PRETRAINING).is_finished:
                return model
        return _train(config, source, folder, own_device, limit, on_save, nets)


def _check_later(config: TokenizerTraining, source: Path, nets: Path | None) -> None:
    """Raise now what a training would raise when its pretraining is done, hours later."""
    _check_shares(config)
    TrainingBatches(find(source, hold_out=True).items, config.batches, config.num_steps, config.seed)
    make_objective(config, nets, "cpu")


def _train(
    config: TokenizerTraining,
    source: Path,
    folder: Path,
    device: str,
    limit: TimeLimit,
    on_save: Callable[[], None] | None,
    nets: Path | None,
) -> Path:
    _check_shares(config)
    if config.tensorboard:
        check_board()
    found = find(source, hold_out=True)
    batches = TrainingBatches(found.items, config.batches, config.num_steps, config.seed)
    has_begun = latest_checkpoint(folder / "checkpoints") is not None
    state = start(config, device, None if has_begun else initial_of(config, folder))
    objective = make_objective(config, nets, device)
    claim(folder, config)
    if rank() == 0:
        tell(source, found)

    def take_step(step: int, batch: Batch) -> StepReport:
        share = batch._replace(clips_u8=batch.clips_u8.chunk(world_size())[rank()])
        return train_step(step, share, state, objective, in_detail=is_logged(step, config))

    training = Training(
        config,
        state,
        lambda first: load_from(batches, first, config.num_steps, config.num_workers, device),
        take_step,
        lambda first: open_record(folder, source, found.items, config, first, device),
    )
    return run(training, folder, state.model.device, limit, on_save)


def tell(source: Path, found: Found) -> None:
    """Say on standard error what is trained on, and what is held out."""
    held_out = f", {found.num_held_out:,} held out" if found.num_held_out else ""
    sys.stderr.write(f"{source}: {len(found.items):,} items to train on{held_out} ({found.scope})\n")


def _check_shares(config: TokenizerTraining) -> None:
    """Raise TrainingError where the processes, and their parts of a batch, cannot share every batch evenly."""
    count = world_size() * config.num_parts
    for batch in config.batches:
        if batch.batch_size % count:
            raise TrainingError(
                f"{batch.kind} batches of {batch.batch_size} cannot be shared by {world_size()} processes in "
                f"{config.num_parts} parts each; give a batch_size that {count} divides"
            )


def initial_of(config: TokenizerTraining, folder: Path) -> str | None:
    """Return what names the model that a run in `folder` starts from; None where it starts from chance."""
    return config.initial if config.pretraining is None else str(folder / PRETRAINING / "model")


def start(config: TokenizerTraining, device: str, initial: str | None = None) -> TrainingState[Tokenizer]:
    """Return the state before the first step. Raises TrainingError for an initial model of another shape."""
    torch.manual_seed(config.seed)
    model = _initial_model(config, initial).to(device)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    if config.trained == "decoder":
        model.encoder.requires_grad_(False)
    adversaries = make_adversaries(config).to(device)
    judging = make_optimizer(adversaries, config.discriminator_optimizer) if adversaries else None
    _adapt(config, model, adversaries, device)
    optimizer, scalers = make_optimizer(model, config.optimizer), make_scalers(config.precision, device)
    return TrainingState(data_parallel(model), model, average, optimizer, adversaries, judging, scalers)


def _adapt(config: TokenizerTraining, model: Tokenizer, adversaries: nn.ModuleDict, device: str) -> None:
    """Make the networks that learn compute as asked; their average, a copy, stays as it is."""
    if config.checkpoint_activations:
        recompute_activations(model)
    if config.compile:
        judges = [adversary.discriminator for adversary in adversaries.values() if isinstance(adversary, Adversary)]
        # Not the model as a whole: with the quantizer between them torch 2.13 gives wrong gradients on a CPU.
        compile_networks([model.encoder, model.decoder, *judges], device, len(config.batches))


def _initial_model(config: TokenizerTraining, initial: str | None) -> Tokenizer:
    if initial is None:
        return Tokenizer(config.model)
    model = Tokenizer.from_pretrained(initial)
    if is_inflatable(model.config, config.model):
        model = inflate(model, config.model)
    if model.config != config.model:
        theirs, ours = to_dict(model.config), to_dict(config.model)
        wrong = [f"model.{key} is {theirs[key]!r}, not {ours[key]!r}" for key in ours if theirs[key] != ours[key]]
        raise TrainingError(f"{initial} has another shape than the recipe's model: its {', '.join(wrong)}")
    return model.train()
