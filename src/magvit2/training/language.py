"""Training a language model: from token shards, or videos and images and a tokenizer, to a folder with a model."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from magvit2.data.shards import shards_of
from magvit2.errors import InputError, TrainingError
from magvit2.lm import CausalLM, LMConfig, MaskedLM, MaskedLMConfig
from magvit2.schema import to_dict
from magvit2.tokenizer import Tokenizer
from magvit2.training.board import check_board
from magvit2.training.checkpoint import TrainingState, latest_checkpoint, saying_what_is_saved
from magvit2.training.distributed import data_parallel, joined, rank, world_size
from magvit2.training.language_config import LanguageTraining
from magvit2.training.language_objective import make_objective
from magvit2.training.language_record import open_language_record
from magvit2.training.language_source import TokenBatch, TokenSource, open_media, open_shards
from magvit2.training.language_step import LanguageReport, language_step
from magvit2.training.limit import TimeLimit
from magvit2.training.loop import Training, claim, load_from, run
from magvit2.training.optimizers import make_optimizer
from magvit2.training.scaling import make_scalers
from magvit2.training.starts import Data, data_hash, files_hash

LanguageModel = MaskedLM | CausalLM


def train_language(
    config: LanguageTraining,
    source: Path,
    folder: Path,
    device: str = "cpu",
    time_limit: TimeLimit | None = None,
    on_save: Callable[[], None] | None = None,
) -> Path:
    """Train on the tokens of `source`, in `folder`; return the folder of its model (the average).

    `source` is a folder of token shards, one with `train` and `val` folders of them, or a source of videos and images,
    which `config.tokenizer` turns into ids as they come (`config.batches`). That tokenizer also shows samples; it must
    be the one that made the shards. Interruptions, limits, processes and errors are those of `train_tokenizer`: a run
    goes on exactly. Raises InputError for a source that holds no tokens, or where the tokenizer is another.
    """
    limit = time_limit or TimeLimit()
    with saying_what_is_saved(folder), joined(device) as own_device:
        return _train(config, source, folder, own_device, limit, on_save)


def _train(
    config: LanguageTraining,
    path: Path,
    folder: Path,
    device: str,
    limit: TimeLimit,
    on_save: Callable[[], None] | None,
) -> Path:
    if config.tensorboard:
        check_board()
    source, tokenizer = open_source(config, path, device)
    _check_shares(config)
    model = config.model(source.vocabulary)
    state = start(config, model, device, None if latest_checkpoint(folder / "checkpoints") else config.initial)
    objective = make_objective(config, model, tokenizer)
    claim(folder, config)
    data = _data(path, source)
    if rank() == 0:
        sys.stderr.write(f"{path}: {source.num_clips:,} clips to train on ({source.scope})\n")

    def take_step(step: int, batch: TokenBatch) -> LanguageReport:
        return language_step(step, _share(batch), state, objective, config, model)

    def tokens_from(first: int) -> Any:
        for batch in load_from(source.batches, first, config.num_steps, config.num_workers, device):
            yield source.to_tokens(batch)

    training = Training(
        config,
        state,
        tokens_from,
        take_step,
        lambda first: open_language_record(
            folder, source, data, config, objective, state.average, tokenizer, first, device
        ),
    )
    return run(training, folder, torch.device(device), limit, on_save)


def open_source(config: LanguageTraining, path: Path, device: str) -> tuple[TokenSource, Tokenizer]:
    """Return the tokens of a source, and the tokenizer that they are of. Raises InputError where it is another."""
    tokenizer = Tokenizer.from_pretrained(config.tokenizer, device=device, dtype=_dtype(config))
    counts = (config.num_steps, config.seed, config.validate_items)
    if not shards_of(path) and not shards_of(path / "train"):
        return open_media(path, config.batches, tokenizer, *counts), tokenizer
    source = open_shards(path, config.batch_size, *counts)
    made_by = source.vocabulary.fingerprint
    if made_by != tokenizer.fingerprint:
        raise InputError(
            f"{path}: its tokens were made by tokenizer {made_by}, but {config.tokenizer!r} is "
            f"{tokenizer.fingerprint}; give the one that made them (--set tokenizer=NAME or FOLDER), or tokenize again"
        )
    if any(share.commit for share in config.tasks):
        raise InputError(f"{path}: tasks with commit need pixels, and shards hold none; train on videos and images")
    return source, tokenizer


def _dtype(config: LanguageTraining) -> torch.dtype:
    return torch.float32 if config.precision == "fp32" else torch.bfloat16


def start(
    config: LanguageTraining, model: LMConfig, device: str, initial: str | None = None
) -> TrainingState[LanguageModel]:
    """Return the state before the first step. Raises TrainingError for an initial model of another shape."""
    torch.manual_seed(config.seed)
    lm = _initial_model(model, initial).to(device)
    average = copy.deepcopy(lm).eval().requires_grad_(False)
    optimizer, scalers = make_optimizer(lm, config.optimizer), make_scalers(config.precision, device)
    return TrainingState(data_parallel(lm), lm, average, optimizer, torch.nn.ModuleDict(), None, scalers)


def _initial_model(config: LMConfig, initial: str | None) -> LanguageModel:
    kind: Any = MaskedLM if isinstance(config, MaskedLMConfig) else CausalLM
    if initial is None:
        model: LanguageModel = kind(config)
        return model
    found: LanguageModel = kind.from_pretrained(initial)
    theirs, ours = to_dict(found.config), to_dict(config)
    wrong = [f"{key} is {theirs[key]!r}, not {ours[key]!r}" for key in ours if theirs[key] != ours[key]]
    if wrong:
        raise TrainingError(f"{initial} is another model than the recipe's: its {', '.join(wrong)}")
    return found.train()


def _share(batch: TokenBatch) -> TokenBatch:
    """Return this process's share of a batch."""
    count, mine = world_size(), rank()
    pixels = None if batch.clips_u8 is None else batch.clips_u8.chunk(count)[mine]
    return batch._replace(ids=batch.ids.chunk(count)[mine], labels=batch.labels.chunk(count)[mine], clips_u8=pixels)


def _check_shares(config: LanguageTraining) -> None:
    """Raise TrainingError where the processes, and their parts of a batch, cannot share every batch evenly."""
    count = world_size() * config.num_parts
    for size in {config.batch_size, *(batch.batch_size for batch in config.batches)}:
        if size % count:
            raise TrainingError(
                f"batches of {size} cannot be shared by {world_size()} processes in {config.num_parts} parts each; "
                f"give a batch_size that {count} divides"
            )


def _data(path: Path, source: TokenSource) -> Data:
    digest = data_hash(path, source.items) if source.items else files_hash(path, source.files)
    return Data(path, source.num_clips, digest)
