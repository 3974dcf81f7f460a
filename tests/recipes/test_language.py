"""Recipes of language models, and the way from a run to embedded weights."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from magvit2.errors import ConfigError, InputError
from magvit2.lm import MaskedLM
from magvit2.recipes import LANGUAGE_RECIPES, language_recipe
from magvit2.recipes.embedded_lm import embed_language_model
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import TokenSpace
from magvit2.training import train_language
from magvit2.training.language_source import Vocabulary
from tests.training.language_making import TINY_LM, make_tokenizer, write_tokens

FACTS = {
    "recipe": "r",
    "commit": "c",
    "steps": 6,
    "data": ["noise"],
    "machine": "m",
    "licence": "l",
}
VOCABULARY = Vocabulary(TokenSpace((2,) * 18, (4, 8, 8)), (5, 8, 8), (), "f" * 16)


@pytest.mark.parametrize("name", LANGUAGE_RECIPES)
def test_a_recipe_makes_a_model(name: str) -> None:
    config = language_recipe(name)
    model = config.model(VOCABULARY)
    with torch.device("meta"):
        count = sum(p.numel() for p in (MaskedLM(model) if config.kind == "masked" else _causal(model)).parameters())
    least, most = {"lm-tiny": (0.1, 0.3), "lm-h200": (6, 8)}.get(name, (2.5, 3.0))
    if not name.startswith("paper"):
        assert least * 1e6 < count < most * 1e6


def _causal(model: object) -> torch.nn.Module:
    from magvit2.lm import CausalLM, CausalLMConfig

    assert isinstance(model, CausalLMConfig)
    return CausalLM(model)


def test_a_file_is_a_recipe_and_an_unknown_name_is_not(tmp_path: Path) -> None:
    from magvit2.schema import to_dict

    path = tmp_path / "training.json"
    path.write_text(json.dumps(to_dict(TINY_LM)))
    assert language_recipe(str(path)) == TINY_LM
    with pytest.raises(ConfigError, match=r"recipe 'lm-vidoe': expected one of lm-tiny, .*did you mean 'lm-video'"):
        language_recipe("lm-vidoe")


def test_embedded_weights_are_rounded_measured_and_described(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    for split, count in (("train", 8), ("val", 3)):
        write_tokens(tmp_path / "tokens" / split, tokenizer, count, seed=count)
    config = dataclasses.replace(TINY_LM, tokenizer=str(tmp_path / "tokenizer"))
    train_language(config, tmp_path / "tokens", tmp_path / "run")
    card = embed_language_model(tmp_path / "run", tmp_path / "lm-x1", tmp_path / "tokens", FACTS)
    lm = MaskedLM.from_pretrained(tmp_path / "lm-x1")
    assert (
        card["fingerprint"] == lm.fingerprint
        and card["tokenizer"] == Tokenizer.from_pretrained(tmp_path / "tokenizer").fingerprint
    )
    assert all(torch.equal(p, p.bfloat16().float()) for p in lm.parameters())
    assert 15 < card["metrics"]["val_bits"] < 20 and card["curve"][-1][0] == 6
    assert json.loads((tmp_path / "lm-x1" / "card.json").read_text()) == card
    page = (tmp_path / "lm-x1" / "README.md").read_text()
    assert "- noise" in page and "run, walk" in page
    with pytest.raises(InputError, match="immutable"):
        embed_language_model(tmp_path / "run", tmp_path / "lm-x1", tmp_path / "tokens", FACTS)
    with pytest.raises(InputError, match="needs commit as well"):
        short = {name: value for name, value in FACTS.items() if name != "commit"}
        embed_language_model(tmp_path / "run", tmp_path / "lm-x2", tmp_path / "tokens", short)
