"""A tiny model in a folder, made once."""

from pathlib import Path

import pytest

from tests.tiny import save_tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny tokenizer with random weights."""
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")
