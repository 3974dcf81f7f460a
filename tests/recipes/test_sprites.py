"""The Sprites set as a source: strips that are found with splits and labels, and the same bytes each time."""

import hashlib
from pathlib import Path

import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import Split, find, find_items
from magvit2.data.sprites import LABELS, Character
from magvit2.recipes.sprites import main
from tests.data.sprites_making import write_art

SPLITS: tuple[Split, ...] = ("train", "val", "test")
NUM_HAIRS = 36


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_art(tmp_path_factory.mktemp("sprites") / "art", num_hairs=NUM_HAIRS)


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run(art: Path, out: Path, *more: str) -> int:
    return main(["--art", str(art), "--out", str(out), *more])


def test_a_written_set_is_a_source_with_splits_and_nine_labels(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(art, tmp_path / "set") == 0
    found = {split: find(tmp_path / "set", split) for split in SPLITS}
    assert {split: part.scope for split, part in found.items()} == {split: f"split {split}" for split in SPLITS}
    assert sum(len(part.items) for part in found.values()) == NUM_HAIRS * len(LABELS) == NUM_HAIRS * 9
    printed = capsys.readouterr().out
    assert f"{NUM_HAIRS} hair: {NUM_HAIRS} characters" in printed
    for split, part in found.items():
        assert part.items
        assert {Character(*item.path.stem.split("-")).split for item in part.items} == {split}
        assert {item.label for item in part.items} == {item.path.parent.name for item in part.items} == set(LABELS)
        assert {(item.kind, item.group, item.num_frames) for item in part.items} == {("strip", "sprites", 8)}
        assert f"{len(part.items)} clips" in printed


def test_a_clip_has_the_frames_of_its_label(art: Path, tmp_path: Path) -> None:
    assert run(art, tmp_path / "set", "--characters", "1", "--frames", "9") == 0
    character = next((tmp_path / "set" / "walk-left").iterdir()).stem.split("-")
    items = {
        item.label: item for split in [Character(*character).split] for item in find_items(tmp_path / "set", split)
    }
    frames = read_item(items["walk-left"])
    assert frames.shape == (9, 64, 64, 3)
    # Bare of hair, the body says its row and column; hair says its number.
    expected = (
        [[9, x, 0] for x in (8, 1, 2, 3, 4, 5, 6, 7, 8)] if character[3] == "0" else [[0, 0, int(character[3])]] * 9
    )
    assert frames[:, 40, 20].tolist() == expected


def test_the_same_seed_writes_the_same_bytes(art: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(art, tmp_path / name, "--characters", "4", "--seed", seed) == 0
    assert len(hashes(tmp_path / "a")) == 4 * 9 + 1
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


def test_what_cannot_be_is_one_line_and_writes_nothing(
    art: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = {
        "nowhere: no such folder": (tmp_path / "nowhere", tmp_path / "set"),
        "full: exists already; give the name of a new folder": (art, tmp_path / "full"),
        "37 characters: expected 1 to 36": (art, tmp_path / "set", "--characters", "37"),
        "0 frames": (art, tmp_path / "set", "--frames", "0"),
    }
    for message, (folder, out, *more) in cases.items():
        assert run(Path(folder), Path(out), *map(str, more)) == 1
        error = capsys.readouterr().err
        assert error.startswith("magvit2: ") and message in error and error.count("\n") == 1
    assert hashes(tmp_path) == {"full/mine.txt": hashlib.sha256(b"mine").hexdigest()}
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_empty_folder_may_be_given(art: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert run(art, tmp_path / "set", "--characters", "1") == 0
    assert (tmp_path / "set" / "index.csv").is_file()
