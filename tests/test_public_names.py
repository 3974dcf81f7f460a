"""The package's root: the names it offers are the names that docs/api.md describes, and every one of them is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import magvit2

API = Path(__file__).parents[1] / "docs" / "api.md"


def described_names() -> list[str]:
    """The names in the headings of docs/api.md: ### `name` or ### `name(arguments)`."""
    return re.findall(r"^### `(\w+)", API.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_documented_names_are_the_offered_names() -> None:
    assert sorted(described_names()) == sorted(magvit2.__all__)


def test_each_documented_name_is_described_once() -> None:
    assert len(described_names()) == len(set(described_names()))


@pytest.mark.parametrize("name", sorted(magvit2.__all__))
def test_a_public_name_is_there_and_has_a_docstring(name: str) -> None:
    value = getattr(magvit2, name)
    assert value.__doc__, f"magvit2.{name} has no docstring"
    assert value.__module__.startswith("magvit2."), f"magvit2.{name} comes from {value.__module__}"


def test_a_public_name_is_the_very_object_of_its_home() -> None:
    from magvit2.errors import Magvit2Error

    assert magvit2.Magvit2Error is Magvit2Error


def test_dir_lists_every_public_name() -> None:
    assert set(magvit2.__all__) <= set(dir(magvit2))


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match=r"magvit2.*'Tokeniser'"):
        _ = magvit2.Tokeniser
    with pytest.raises(ImportError, match="Tokeniser"):
        from magvit2 import Tokeniser  # noqa: F401


def test_import_star_brings_every_public_name() -> None:
    script = "from magvit2 import *; import magvit2; assert set(magvit2.__all__) <= set(globals())"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_version_is_three_numbers() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", magvit2.__version__)
