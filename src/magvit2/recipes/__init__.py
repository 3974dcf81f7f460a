"""Recipes: complete runs with what they need and what to expect."""

from magvit2.recipes.language import LANGUAGE_RECIPES, language_recipe
from magvit2.recipes.tokenizer import TOKENIZER_RECIPES, tokenizer_recipe

__all__ = ["LANGUAGE_RECIPES", "TOKENIZER_RECIPES", "language_recipe", "tokenizer_recipe"]
