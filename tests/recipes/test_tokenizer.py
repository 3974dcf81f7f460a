"""Recipes can be named, written down, changed and read again, and the data they name exist."""

import json
from pathlib import Path

import pytest

from magvit2.data.batches import TrainingBatches
from magvit2.data.items import find_items
from magvit2.errors import ConfigError
from magvit2.recipes import TOKENIZER_RECIPES, tokenizer_recipe
from magvit2.schema import from_dict, to_dict, with_settings
from magvit2.training import TokenizerTraining

every = pytest.mark.parametrize("name", TOKENIZER_RECIPES)


@every
def test_a_recipe_survives_its_file(name: str, tmp_path: Path) -> None:
    recipe = tokenizer_recipe(name)
    text = json.dumps(to_dict(recipe))
    assert from_dict(TokenizerTraining, json.loads(text)) == recipe
    (tmp_path / "training.json").write_text(text)
    assert tokenizer_recipe(str(tmp_path / "training.json")) == recipe


@every
def test_a_recipe_can_be_changed_from_the_command_line(name: str) -> None:
    recipe = with_settings(tokenizer_recipe(name), ["num_steps=3", "optimizer.lr=0.5", "model.num_bits=10"])
    assert (recipe.num_steps, recipe.optimizer.lr, recipe.model.num_bits) == (3, 0.5, 10)
    assert tokenizer_recipe(name).num_steps != 3


def test_a_change_that_breaks_the_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="do not fill latent positions"):
        with_settings(tokenizer_recipe("cpu"), ["model.patch_size=32"])


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'fast': expected one of clip-a1, clip-a1-finish, clip-b1, clip-b1-bits"):
        tokenizer_recipe("fast")


@pytest.mark.parametrize("text", ["", "{", '{"num_steps": 3}', "[]"])
def test_a_file_that_is_no_recipe_is_one_line_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.json") as error:
        tokenizer_recipe(str(path))
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        tokenizer_recipe(str(path))


@pytest.mark.data
def test_the_data_that_the_recipe_of_the_embedded_weights_names_are_there(data_dir: Path) -> None:
    recipe = tokenizer_recipe("clip-a1")
    TrainingBatches(find_items(data_dir), recipe.batches, recipe.num_steps, recipe.seed)  # raises for a missing group
