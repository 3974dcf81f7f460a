"""What every test gets: shapes checked at each call, one thread, a seeded generator, real data where there is some."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import settings
from jaxtyping import config, install_import_hook

if "magvit2" in sys.modules:
    raise RuntimeError("magvit2 was imported before tests/conftest.py could make its shapes checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an annotated function check its arguments and result: an int will do as a float, `Self` is left to mypy."""
    hints = function.__annotations__
    function.__annotations__ = {name: Any if hint is Self else hint for name, hint in hints.items()}
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


# Every annotated function of the package, and every dataclass, now checks shapes and types at each call.
install_import_hook("magvit2", f"{__name__}.checked")

DATA_VARIABLE = "MAGVIT2_DATA"

settings.register_profile("magvit2", deadline=None, derandomize=True)  # no wall times; the same examples each run
settings.load_profile("magvit2")


def _data_folder() -> Path | None:
    """The folder of real data that the environment names, or None; it is a usage error when it does not exist."""
    value = os.environ.get(DATA_VARIABLE, "")
    if not value:
        return None
    if not Path(value).is_dir():
        raise pytest.UsageError(
            f"{DATA_VARIABLE}={value} is not a folder: correct it, or unset it to skip the tests on real data"
        )
    return Path(value)


def pytest_configure() -> None:
    _data_folder()
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for `data_dir` is a data test, whether it says so or not."""
    skip = pytest.mark.skip(reason=f"needs real data: set {DATA_VARIABLE} to its folder")
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)
        if item.get_closest_marker("data") and _data_folder() is None:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _same_weights_each_run() -> None:
    """Fresh modules draw their weights from torch's global generator."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _same_matmuls_in_each_test() -> Iterator[None]:
    """Verbs that are run in this process tune it; the next test must not compute in another way."""
    before = torch.get_float32_matmul_precision()
    yield
    if torch.get_float32_matmul_precision() != before:
        torch.set_float32_matmul_precision(before)


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real videos, images and networks."""
    folder = _data_folder()
    if folder is None:
        pytest.skip(f"needs real data: set {DATA_VARIABLE} to its folder")
    return folder


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes are not checked during this test: what a user meets who passes a wrong one is our own error."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
