"""Kills: a training that dies by SIGKILL, wherever it is, goes on as if it had not; nothing half done is left."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from magvit2.schema import to_dict
from magvit2.store import remove_folder, remove_leftovers
from magvit2.training import train_tokenizer
from tests.disk import leftovers
from tests.training.making import TINY, journal, make_pictures
from tests.training.shared_run import FULL

TIME_LIMIT_S = 3000
CONFIG = dataclasses.replace(FULL, num_workers=1, sample_every=3, checkpoint_every=2, validate_every=2)
"""Adversaries with R1 and LeCAM, dropped bits, the moving average, a worker, validations, a save every two steps."""


def lives(folder: Path, *moments: str) -> list[str]:
    """Let a run live through and others die at `moments` (see `dying`); return a line for each life."""
    recipe, source = folder / "recipe.json", make_pictures(folder / "source")
    recipe.write_text(json.dumps(to_dict(CONFIG)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.dying", str(recipe), str(source), str(folder / "runs"), *moments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def outcome(run: Path) -> dict[str, bytes]:
    """What a run leaves beside its journal, byte for byte; an encoder's videos may differ."""
    patterns = ("model/*", "best/*", "checkpoints/step-*/*", "samples/*.png")
    return {str(path.relative_to(run)): path.read_bytes() for pattern in patterns for path in run.glob(pattern)}


def all_ended_alike(folder: Path) -> int:
    """Check that every run which was killed ended as the straight one; return how many there were."""
    straight = folder / "runs" / "straight"
    killed = sorted((folder / "runs").glob("killed-*"))
    for run in killed:
        assert journal(run) == journal(straight), run
        assert outcome(run) == outcome(straight), run
        assert leftovers(run) == [], run
    return len(killed)


def test_a_run_that_was_killed_twice_or_in_its_last_moment_ends_like_one_that_never_was(tmp_path: Path) -> None:
    lines = lives(tmp_path, "0.45,0.3", "0.98")
    assert [line.split()[0] for line in lines] == ["straight", *["killed-0"] * 3, *["killed-1"] * 2]
    assert [line.split("[")[0].endswith("the end ") for line in lines] == [True, False, False, True, False, True]
    assert all_ended_alike(tmp_path) == 2


@pytest.mark.soak
def test_a_run_may_be_killed_before_any_change_of_its_folder(tmp_path: Path) -> None:
    lines = lives(tmp_path, "all")
    total = int(lines[0].split()[1])
    print("\n".join(lines))  # what was hit, for `pytest -s`
    assert len(lines) == 1 + 2 * total and all_ended_alike(tmp_path) == total


def test_what_a_killed_process_left_is_removed_when_the_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in (".metrics.jsonl.x1.partial", "samples/.step-00000003.png.y2.partial", "model/.config.json.z.partial"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("half")
    for name in (".step-00000099.partial", ".step-00000003.removed"):
        (run / "checkpoints" / name).mkdir(parents=True)
        (run / "checkpoints" / name / "state.json").write_text("half")
    assert len(leftovers(run)) == 5
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), make_pictures(tmp_path / "source"), run)
    assert leftovers(run) == []
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_folder_that_is_half_removed_does_not_go_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(folder: Path, **_: object) -> None:
        for path in list(folder.glob("*"))[:1]:
            path.unlink()
            raise KeyboardInterrupt

    (tmp_path / "old").mkdir()
    for name in ("a", "b"):
        (tmp_path / "old" / name).write_text(name)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("magvit2.store.shutil.rmtree", die)
        remove_folder(tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == [".old.removed"]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
