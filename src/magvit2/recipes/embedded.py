"""From a finished run to embedded weights: rounded to bf16, measured after the rounding, with a card beside them.

python -c "from magvit2.recipes.embedded import embed_tokenizer; help(embed_tokenizer)"
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from magvit2.data.items import find_items
from magvit2.errors import InputError
from magvit2.evaluation.reconstruction import evaluate_reconstruction
from magvit2.store import CONFIG_NAME, TENSORS_NAME, write_text
from magvit2.tokenizer import Tokenizer


def embed_tokenizer(
    run: Path, folder: Path, data: Path, facts: Mapping[str, Any], max_frames: int = 17
) -> dict[str, Any]:
    """Write the model of a tokenizer `run` to a new `folder` in bf16 and return its card, also written as `card.json`.

    The card holds what was measured on the `val` items of `data` after rounding, and `facts`, which must name the
    recipe, commit, steps, data, machine and licence. Raises InputError where one is missing or the folder exists.
    """
    missing = [name for name in ("recipe", "commit", "steps", "data", "machine", "licence") if name not in facts]
    if missing:
        raise InputError(f"the card needs {', '.join(missing)} as well")
    if (folder / CONFIG_NAME).exists():
        raise InputError(f"{folder} holds weights, and names of weights are immutable: choose another name")
    Tokenizer.from_pretrained(run / "model").save_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = Tokenizer.from_pretrained(folder)
    metrics = dict(evaluate_reconstruction(tokenizer, find_items(data, "val"), max_frames))
    card = {
        "name": folder.name,
        "kind": Tokenizer.kind,
        "num_parameters": sum(parameter.numel() for parameter in tokenizer.parameters()),
        "dtype": "bfloat16",
        "sha256": hashlib.sha256((folder / TENSORS_NAME).read_bytes()).hexdigest(),
        "fingerprint": tokenizer.fingerprint,
        **facts,
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "protocol": f"val split, first {max_frames} frames, 8-bit RGB, mean over frames and then items",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    return card


def summary(card: Mapping[str, Any], names: Sequence[str] = ("psnr_db", "bicubic_psnr_db", "ssim")) -> str:
    """Return the card's metrics as a Markdown table with a row for each group."""
    metrics: Mapping[str, float] = card["metrics"]
    groups = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in metrics))
    lines = ["| group | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {g} | " + " | ".join(f"{metrics[f'{g}/{n}']:.2f}" for n in names) + " |" for g in groups]
    return "\n".join(lines)
