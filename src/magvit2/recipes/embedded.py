"""From a finished run to embedded weights: rounded to bf16, measured after the rounding, with a card beside them.

python -c "from magvit2.recipes.embedded import embed_tokenizer; help(embed_tokenizer)"
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from magvit2.data.items import find_items
from magvit2.errors import InputError
from magvit2.evaluation.contenders import FLOOR
from magvit2.evaluation.reconstruction import MODEL, evaluate_reconstruction
from magvit2.store import CONFIG_NAME, TENSORS_NAME, write_text
from magvit2.tokenizer import Tokenizer

_MEASURED = (
    "items", "psnr_db", "psnr_pooled_db", "psnr_gain_db", "ssim", "ms_ssim", "ms_ssim_3", "bits_per_pixel",
    "zero_order_bits_per_pixel", "adaptive_bits_per_pixel", "tokens", "distinct_ids", "code_usage", "id_entropy_bits",
    "bit_entropy_mean", "bit_entropy_least", "digit_entropy_mean", "digit_entropy_least",
)  # fmt: skip
_STRETCHES = 12
_OF_FLOOR = ("psnr_db", "ssim")
_SHOWN = {
    "items": "items",
    "psnr_db": "PSNR, dB",
    "bicubic_psnr_db": "bicubic PSNR, dB",
    "ssim": "SSIM",
    "bicubic_ssim": "bicubic SSIM",
    "bits_per_pixel": "bits per pixel",
    "distinct_ids": "distinct ids",
    "bit_entropy_mean": "entropy per bit, mean",
    "bit_entropy_least": "least",
}


def embed_tokenizer(
    run: Path, folder: Path, data: Path, facts: Mapping[str, Any], max_frames: int = 17
) -> dict[str, Any]:
    """Write the model of a tokenizer `run` to a new `folder` in bf16 and return its card.

    The card (`card.json`, and `README.md` for people) holds what was measured on the `val` items of `data` after
    rounding, and `facts`, which must name the recipe, commit, steps, data, machine and licence. Raises InputError where
    one is missing or the folder holds weights already.
    """
    missing = [name for name in ("recipe", "commit", "steps", "data", "machine", "licence") if name not in facts]
    if missing:
        raise InputError(f"the card needs {', '.join(missing)} as well")
    if (folder / CONFIG_NAME).exists():
        raise InputError(f"{folder} holds weights, and names of weights are immutable: choose another name")
    Tokenizer.from_pretrained(run / "model").save_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = Tokenizer.from_pretrained(folder)
    metrics = _for_card(dict(evaluate_reconstruction(tokenizer, find_items(data, "val", hold_out=True), max_frames)))
    card = {
        "name": folder.name,
        "kind": Tokenizer.kind,
        "num_parameters": sum(parameter.numel() for parameter in tokenizer.parameters()),
        "dtype": "bfloat16",
        "sha256": hashlib.sha256((folder / TENSORS_NAME).read_bytes()).hexdigest(),
        "fingerprint": tokenizer.fingerprint,
        **facts,
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "curve": training_curve(run),
        "protocol": f"val split, first {max_frames} frames, 8-bit RGB, mean over frames and then items",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "README.md", _readme(card))
    return card


def training_curve(run: Path) -> dict[str, list[list[float]]]:
    """Return [steps done, mean PSNR of the batches in dB] of a run's stretches, at most 12, by kind of batch.

    Batches are random, so the curve is ragged; a kind that no batch of a stretch had is left out there.
    """
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [line for line in lines if "psnr" in line]
    length = math.ceil((logged[-1]["step"] + 1) / _STRETCHES)
    curve: dict[str, list[list[float]]] = {}
    for kind in dict.fromkeys(line["kind"] for line in logged):
        for end in range(length, length * _STRETCHES + 1, length):
            own = [x["psnr"] for x in logged if x["kind"] == kind and end - length <= x["step"] < end]
            if own:
                curve.setdefault(kind, []).append([end, round(fmean(own), 2)])
    return curve


def _for_card(results: Mapping[str, float]) -> dict[str, float]:
    """Return results as a card has them: `group/kind/psnr_db`, and `group/kind/bicubic_psnr_db` of the floor."""
    metrics: dict[str, float] = {}
    for cell in dict.fromkeys(name.rsplit("/", 2)[0] for name in results):
        found = {name: results.get(f"{cell}/{MODEL}/{name}", math.nan) for name in _MEASURED}
        found |= {f"{FLOOR}_{name}": results[f"{cell}/{FLOOR}/{name}"] for name in _OF_FLOOR}
        metrics |= {f"{cell}/{name}": value for name, value in found.items() if not math.isnan(value)}
    return metrics


def _readme(card: Mapping[str, Any]) -> str:
    """Return the page that people read: what the weights are, what they were trained on and how good they are."""
    sources = "\n".join(f"- {source}" for source in card["data"])
    return f"""# {card["name"]}

A {card["kind"]} of {card["num_parameters"]:,} parameters in {card["dtype"]}; fingerprint `{card["fingerprint"]}`.

Trained by the recipe {card["recipe"]} at commit {card["commit"]}: {card["steps"]:,} steps on {card["machine"]}.
Licence: {card["licence"]}.

Trained on

{sources}

Measured after rounding to {card["dtype"]}. Protocol: {card["protocol"]}.

{_table(card["metrics"])}

PSNR of the training's batches, dB, after so many steps (random batches: ragged):

{_curve_table(card["curve"])}
"""


def _curve_table(curve: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return the curves as a table, a row for each number of steps."""
    found = {(kind, end): value for kind, points in curve.items() for end, value in points}
    steps = sorted({end for _, end in found})
    rows = [[str(end), *(str(found.get((kind, end), "")) for kind in curve)] for end in steps]
    lines = [["steps", *curve], ["---"] * (len(curve) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(metrics: Mapping[str, float]) -> str:
    """Return metrics named `group/kind/metric` as a Markdown table with a row for each group."""
    groups = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in metrics))
    lines = ["| group | " + " | ".join(_SHOWN.values()) + " |", "|---" * (len(_SHOWN) + 1) + "|"]
    for group in groups:
        values = [metrics.get(f"{group}/{name}") for name in _SHOWN]
        lines.append(f"| {group} | {' | '.join('-' if value is None else f'{value:.4g}' for value in values)} |")
    return "\n".join(lines)
