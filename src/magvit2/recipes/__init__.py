"""Recipes: complete runs with what they need and what to expect."""

from magvit2.recipes.tokenizer import TOKENIZER_RECIPES, tokenizer_recipe

__all__ = ["TOKENIZER_RECIPES", "tokenizer_recipe"]
