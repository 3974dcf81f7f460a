"""The list of a run's starts: what each was told and found, and a warning where the data are others."""

import json
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magvit2 import __version__, machine
from magvit2.data.items import find_items
from magvit2.errors import FormatError
from magvit2.machine import commit, source_version
from magvit2.training import train_tokenizer
from magvit2.training.limit import TimeLimit
from magvit2.training.starts import Data, data_hash, note_start
from magvit2.video import write_image
from tests.training.making import TINY, make_pictures


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


def starts(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "run.json").read_text())
    return found


def hash_of(source: Path) -> str:
    return data_hash(source, find_items(source))


def test_each_start_is_noted(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        train_tokenizer(TINY, source, tmp_path, time_limit=TimeLimit(1, spent_s=2))
    first, second = starts(tmp_path)
    assert (first["first_step"], second["first_step"]) == (0, 1)
    assert first["data"] == second["data"]
    assert first["data"]["path"] == str(source) and first["data"]["num_items"] == len(find_items(source, hold_out=True))
    assert first["versions"]["magvit2"] == __version__ and first["versions"].keys() >= {"python", "torch", "numpy"}
    assert first["num_processes"] == 1 and first["num_threads"] >= 1 and first["machine"]["cores"] >= 1
    assert shlex.split(first["command"]) == sys.orig_argv
    assert "data are others" not in capsys.readouterr().err


def test_other_data_are_one_warning_and_the_run_goes_on(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(source, data)
    train_tokenizer(TINY, data, tmp_path / "run", time_limit=TimeLimit(1, spent_s=2))
    shutil.copy(data / "photos" / "0.png", data / "photos" / "2.png")
    train_tokenizer(TINY, data, tmp_path / "run", time_limit=TimeLimit(1, spent_s=2))
    warned = [line for line in capsys.readouterr().err.splitlines() if "data are others" in line]
    assert len(warned) == 1 and warned[0].startswith("step 1: ") and "(3 items, there were 2)" in warned[0]
    train_tokenizer(TINY, data, tmp_path / "run")
    assert "data are others" not in capsys.readouterr().err
    assert [start["first_step"] for start in starts(tmp_path / "run")] == [0, 1, 2]


def test_the_data_s_name_is_that_of_names_sizes_and_split(source: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.*"))
    lines = "".join(f"{name}\t{(source / name).stat().st_size}\ttrain\n" for name in names)
    printed = subprocess.run(["sha256sum"], input=lines, capture_output=True, text=True, check=True).stdout
    assert hash_of(source) == printed.split()[0]
    shutil.copytree(source, tmp_path / "elsewhere")
    assert hash_of(tmp_path / "elsewhere") == hash_of(source)


@pytest.mark.parametrize("change", ["name", "size", "more", "fewer"])
def test_another_name_size_or_number_is_another_name_for_the_data(change: str, source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "s")
    picture = tmp_path / "s" / "photos" / "0.png"
    if change == "name":
        picture.rename(picture.with_name("1.png"))
    elif change == "size":
        picture.write_bytes(picture.read_bytes() + b" ")
    elif change == "more":
        shutil.copy(picture, picture.with_name("1.png"))
    else:
        picture.unlink()
    assert hash_of(tmp_path / "s") != hash_of(source)


def test_the_bytes_of_a_list_and_the_members_of_a_tar_file_count(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "s")
    table = tmp_path / "s" / "list.csv"
    hashes = []
    for label in ("a", "b"):
        table.write_text(f"path,label,split\nphotos/0.png,{label},train\nclips/0.mkv,,val\n")
        hashes.append(hash_of(table))
    (tmp_path / "s" / "index.csv").write_text("path,kind,split\nphotos.tar,tar,train\n")
    for number in range(2):
        write_image(tmp_path / "photo.png", np.full((8, 8, 3), number, dtype=np.uint8))
        with tarfile.open(tmp_path / "s" / "photos.tar", "a") as archive:
            archive.add(tmp_path / "photo.png", f"cats/{number}.png")
        hashes.append(hash_of(tmp_path / "s"))
    assert len(set(hashes)) == 4


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"data": 3}]', "[1"])
def test_a_file_that_is_no_list_of_starts_is_refused_by_name(text: str, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"run\.json: is no list of a run's starts") as error:
        note_start(path, Data(source, 1, ""), 0, "cpu")
    assert "\n" not in str(error.value) and path.read_text() == text


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_source_is_called_by_its_tag_and_commit_and_marked_where_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "clone" / "src" / "magvit2"
    package.mkdir(parents=True)
    monkeypatch.setattr(machine, "__file__", str(package / "machine.py"))
    assert (source_version(), commit()) == (f"magvit2 {__version__}", "unknown")
    (package / "__init__.py").write_text("")
    git(tmp_path / "clone", "init", "-q")
    assert (source_version(), commit()) == (f"magvit2 {__version__}", "unknown")  # installed in somebody else's clone
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "-q", "-m", "first")
    name = git(tmp_path / "clone", "rev-parse", "--short=12", "HEAD")
    assert (source_version(), commit()) == (name, name)
    git(tmp_path / "clone", "tag", "v1.0")
    assert source_version() == "v1.0"
    (package / "__init__.py").write_text("x = 1\n")
    assert (source_version(), commit()) == ("v1.0-dirty", f"{name}+")
