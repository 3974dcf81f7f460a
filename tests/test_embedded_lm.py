"""The language models that come with the package: what their cards say is true, and they know the default's tokens."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

import magvit2
from magvit2.generating import embedded_language_models
from magvit2.registry import ALIASES
from magvit2.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1] / "src" / "magvit2" / "pretrained"
EMBEDDED = pytest.mark.parametrize(("alias", "name"), ALIASES["masked-lm"].items())


@EMBEDDED
def test_the_card_is_true(alias: str, name: str) -> None:
    card = json.loads((ROOT / name / "card.json").read_text())
    lm = magvit2.MaskedLM.from_pretrained(alias)
    file = ROOT / name / "model.safetensors"
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and file.stat().st_size <= 16 * 2**20
    assert card["num_parameters"] == sum(parameter.numel() for parameter in lm.parameters()) <= 3_000_000
    assert card["fingerprint"] == lm.fingerprint and card["classes"] == list(lm.config.class_names)
    assert all(torch.equal(p, p.bfloat16().float()) for p in lm.parameters())
    assert card["metrics"]["val_bits"] < 17


@EMBEDDED
def test_it_knows_the_default_s_tokens(alias: str, name: str) -> None:
    tokenizer = Tokenizer.from_pretrained("default")
    lm = magvit2.MaskedLM.from_pretrained(alias)
    assert lm.config.tokenizer == tokenizer.fingerprint and lm.config.space == tokenizer.space
    assert alias in embedded_language_models(tokenizer)


def test_its_clips_are_dark_where_the_class_is_dark() -> None:
    """Sprites stand before black, the Weizmann set before a bright wall."""
    tokenizer, lm = Tokenizer.from_pretrained("default"), magvit2.MaskedLM.from_pretrained("default")
    labels = [lm.config.class_index(name) for name in ("walk-left", "wave1")]
    ids = magvit2.sample_masked(lm, lm.config.grid, labels, 8, generator=torch.Generator().manual_seed(0))
    dark, bright = tokenizer.decode(ids).mean(dim=(1, 2, 3, 4))
    assert dark < -0.7 and bright > -0.3
