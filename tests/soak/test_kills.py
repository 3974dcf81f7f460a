"""Kills: a training that is killed again and again, wherever it is, ends as one that never was."""

import contextlib
import dataclasses
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from magvit2.schema import to_dict
from magvit2.training import OptimizerConfig, TokenizerTraining
from tests.disk import leftovers
from tests.training.dying import check_checkpoints
from tests.training.making import journal, make_pictures
from tests.training.shared_run import CODEBOOK, FULL

NUM_KILLS = 20
NUM_STEPS = 300
LONG = {
    "num_steps": NUM_STEPS,
    "optimizer": OptimizerConfig(lr=1e-3, beta1=0.9, warmup_steps=5, max_grad_norm=1.0),
    "num_workers": 2,
    "checkpoint_every": 3,
    "sample_every": 50,
    "validate_every": 20,
}
RUNS: dict[str, TokenizerTraining] = {
    "bits": dataclasses.replace(FULL, **LONG),  # adversaries with R1 and LeCAM, dropped bits, a moving average
    "codebook": dataclasses.replace(CODEBOOK, **LONG),  # by moving averages, batches in parts
}


class Command:
    """`magvit2 train tokenizer` on one source, in one folder after another; `start_s` is how long it takes to start."""

    def __init__(self, root: Path, config: TokenizerTraining) -> None:
        self.config = config
        self._root, self._recipe = root, root / "recipe.json"
        self._recipe.write_text(json.dumps(to_dict(config)))
        self._data = make_pictures(root / "data")

    def start(self, out: Path) -> "subprocess.Popen[bytes]":
        script = "from magvit2.cli import main; main()"
        options = ["train", "tokenizer", self._recipe, "--data", self._data, "--out", out, "--threads", "1"]
        with (self._root / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", script, *map(str, options)], stdout=subprocess.DEVNULL, stderr=log
            )

    def run(self, out: Path) -> tuple[float, float]:
        """Train to the end; return the seconds until the first line of the journal, and those after it."""
        begin, process = time.monotonic(), self.start(out)
        while process.poll() is None and not (out / "metrics.jsonl").exists():
            time.sleep(0.02)
        first = time.monotonic()
        assert process.wait() == 0, (self._root / "log").read_text()[-2000:]
        return first - begin, time.monotonic() - first


def is_the_same(run: Path, straight: Path) -> None:
    assert journal(run) == journal(straight)
    for folder in ("model", "best", f"checkpoints/step-{NUM_STEPS:08d}"):
        files = sorted(path.name for path in (straight / folder).iterdir())
        assert files and files == sorted(path.name for path in (run / folder).iterdir())
        for name in files:
            assert (run / folder / name).read_bytes() == (straight / folder / name).read_bytes(), f"{folder}/{name}"
    assert leftovers(run) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", RUNS)
def test_a_training_killed_at_random_moments_ends_with_the_same_losses_and_weights(name: str, tmp_path: Path) -> None:
    command, chance, kills = Command(tmp_path, RUNS[name]), random.Random(0), Counter[str]()
    straight, folders = tmp_path / "straight", [tmp_path / "killed-0"]
    start_s, train_s = command.run(straight)
    longest_s = start_s + 2 * train_s / NUM_KILLS  # about so long that a run is there until its last kill
    while kills.total() < NUM_KILLS:
        run = folders[-1]
        before = _journal_state(run)
        process = command.start(run)
        if _ends_within(process, chance.uniform(0.1, longest_s)) or (
            kills.total() % 4 == 3 and not _writes_a_checkpoint(process, run)
        ):
            assert process.returncode == 0, (tmp_path / "log").read_text()[-2000:]
            folders.append(tmp_path / f"killed-{len(folders)}")  # it came to its end: on with another one
            continue
        process.kill()
        process.wait()
        check_checkpoints(command.config, run)
        kills[_phase(run, before)] += 1
    command.run(folders[-1])
    print(f"{name}: {start_s:.1f} s to start, {train_s:.1f} s of steps, {len(folders)} runs, kills {dict(kills)}")
    for run in folders:
        is_the_same(run, straight)


def _ends_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _writes_a_checkpoint(process: "subprocess.Popen[bytes]", run: Path) -> bool:
    """Wait until a process begins to write a checkpoint; return False where it ends first."""
    before = set(run.glob("checkpoints/.*.partial/*"))  # of one that was killed
    while process.poll() is None:
        if set(run.glob("checkpoints/.*.partial/*")) - before:
            return True
        time.sleep(0.001)
    return False


def _journal_state(run: Path) -> tuple[int, int]:
    """Which file the journal is, and its length: a run that goes on begins by writing a new one."""
    path = run / "metrics.jsonl"
    return (path.stat().st_ino, path.stat().st_size) if path.exists() else (0, 0)


def _phase(run: Path, before: tuple[int, int]) -> str:
    """What a killed process was doing, as far as it can be seen."""
    if leftovers(run):
        return "writing"
    now = _journal_state(run)
    return "starting" if now == before or now[0] == 0 else "training"
