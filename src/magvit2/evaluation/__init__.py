"""Evaluators: each yields (name, value) and knows no trainer."""
