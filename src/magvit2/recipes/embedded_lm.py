"""From a finished run of a language model to embedded weights: rounded to bf16, measured after it, with a card.

python -c "from magvit2.recipes.embedded_lm import embed_language_model; help(embed_language_model)"
"""

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from magvit2.errors import InputError
from magvit2.generating import open_language_model
from magvit2.schema import read_json
from magvit2.store import CONFIG_NAME, TENSORS_NAME, write_text
from magvit2.training import LanguageTraining
from magvit2.training.language import open_source
from magvit2.training.language_objective import make_objective
from magvit2.training.language_record import validate_language

FACTS = ("recipe", "commit", "steps", "data", "machine", "licence")
_STRETCHES = 12
_VALIDATED = 512


def embed_language_model(run: Path, folder: Path, tokens: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the model of a `run` to a new `folder` in bf16 and return its card.

    The card (`card.json`, and `README.md` for people) holds the bits per token of what is held out of `tokens`, up to
    512 clips, after rounding, and `facts`, which must name recipe, commit, steps, data, machine and licence. Raises
    InputError where one is missing or the folder holds weights already.
    """
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise InputError(f"the card needs {', '.join(missing)} as well")
    if (folder / CONFIG_NAME).exists():
        raise InputError(f"{folder} holds weights, and names of weights are immutable: choose another name")
    cpu = torch.device("cpu")
    open_language_model(str(run / "model"), cpu).save_pretrained(folder, dtype=torch.bfloat16)
    lm = open_language_model(str(folder), cpu)
    config = read_json(LanguageTraining, run / "training.json")
    source, tokenizer = open_source(dataclasses.replace(config, validate_items=_VALIDATED), tokens, "cpu")
    objective = make_objective(config, lm.config, tokenizer)
    metrics = validate_language(lm, list(source.held_out()), objective, config)
    card = {
        "name": folder.name,
        "kind": type(lm).kind,
        "num_parameters": sum(parameter.numel() for parameter in lm.parameters()),
        "dtype": "bfloat16",
        "sha256": hashlib.sha256((folder / TENSORS_NAME).read_bytes()).hexdigest(),
        "fingerprint": lm.fingerprint,
        "tokenizer": lm.config.tokenizer,
        "classes": list(lm.config.class_names),
        **facts,
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "curve": training_curve(run),
        "protocol": f"up to {_VALIDATED} held-out clips, {config.schedule} schedule of masks, all tasks",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "README.md", _readme(card))
    return card


def training_curve(run: Path) -> list[list[float]]:
    """Return [steps done, mean bits per token of the batches] of a run's stretches, at most 12."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [line for line in lines if "bits" in line]
    length = math.ceil((logged[-1]["step"] + 1) / _STRETCHES)
    ends = range(length, length * _STRETCHES + 1, length)
    parts = [(end, [line["bits"] for line in logged if end - length <= line["step"] < end]) for end in ends]
    return [[end, round(fmean(bits), 3)] for end, bits in parts if bits]


def _readme(card: Mapping[str, Any]) -> str:
    sources = "\n".join(f"- {source}" for source in card["data"])
    classes = ", ".join(card["classes"]) or "none"
    metrics = "\n".join(f"| {name} | {value} |" for name, value in card["metrics"].items())
    return f"""# {card["name"]}

A {card["kind"]} of {card["num_parameters"]:,} parameters, for tokens of the tokenizer {card["tokenizer"]}.

Classes: {classes}.

Trained by the recipe {card["recipe"]} at commit {card["commit"]}: {card["steps"]:,} steps on {card["machine"]}.

{card.get("notes", "")}

## Data

{sources}

Licence: {card["licence"]}.

## Measured on what was held out ({card["protocol"]})

| | |
|---|---|
{metrics}
"""
