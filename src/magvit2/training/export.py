"""What a run leaves for another machine, in a few small files: the model in bf16, its settings, journal and report."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from magvit2.errors import TrainingError
from magvit2.lm import CausalLM, LMConfig, MaskedLM, MaskedLMConfig
from magvit2.store import kind_of, replacing, write_text
from magvit2.tokenizer import Tokenizer, TokenizerConfig
from magvit2.training.status import RunStatus, read_status, stage_of

MAX_FILE_MIB = 16
_HEADER_BYTES = 128  # of a safetensors file for each tensor, roughly


_KINDS: dict[str, Any] = {model.kind: model for model in (Tokenizer, MaskedLM, CausalLM)}


def check_exportable(config: TokenizerConfig | LMConfig) -> None:
    """Raise TrainingError where a model of this shape takes more than 16 MiB as a bf16 file."""
    with torch.device("meta"):
        tensors = _model(config).state_dict().values()
    size = sum(2 * tensor.numel() + _HEADER_BYTES for tensor in tensors)
    if size > MAX_FILE_MIB * 2**20:
        raise TrainingError(
            f"the model takes {size / 2**20:.1f} MiB in bf16 and --export writes files of at most {MAX_FILE_MIB} MiB: "
            "train a smaller model, or without --export"
        )


def _model(config: TokenizerConfig | LMConfig) -> torch.nn.Module:
    if isinstance(config, TokenizerConfig):
        return Tokenizer(config)
    kind: Any = MaskedLM if isinstance(config, MaskedLMConfig) else CausalLM
    model: torch.nn.Module = kind(config)
    return model


def export_run(folder: Path, target: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Write to `target` what is saved of the run in `folder`, and return the files, six at most.

    `model/` in bf16 (a model to evaluate, or to start from with `initial`), `training.json`, `metrics.jsonl`, the last
    `sample.png`, and `report.json` with the status of the run and `facts`. Each file is whole or not there.
    """
    folder = stage_of(folder)
    kind = _KINDS[kind_of(folder / "model")]
    kind.from_pretrained(folder / "model").save_pretrained(target / "model", dtype=torch.bfloat16)
    status = read_status(folder)
    report = {**_plain(status), "is_finished": status.is_finished, **facts}
    write_text(target / "report.json", json.dumps(report, indent=2) + "\n")
    samples = sorted((folder / "samples").glob("step-*.png"))
    copies = {"training.json": folder / "training.json", "metrics.jsonl": folder / "metrics.jsonl"}
    if samples:
        copies["sample.png"] = samples[-1]
    for name, source in copies.items():
        if source.exists():
            with replacing(target / name) as partial:
                shutil.copyfile(source, partial)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _plain(status: RunStatus) -> dict[str, float | str | None]:
    """Return a status as JSON values; what is not known yet is null."""
    values: dict[str, float | str] = asdict(status)
    return {name: value if isinstance(value, str) or math.isfinite(value) else None for name, value in values.items()}
