"""Two processes that share every batch train as one process does that has all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from magvit2.errors import TrainingError
from magvit2.store import read_tensors
from magvit2.training import train_tokenizer
from tests.training.making import TINY, journal, make_pictures
from tests.training.shared_run import RUNS

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 240


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


def in_two_processes(source: Path, folder: Path, name: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "tests.training.shared_run", str(source), str(folder), name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_have_the_losses_and_the_weights_of_one(name: str, source: Path, tmp_path: Path) -> None:
    train_tokenizer(RUNS[name], source, tmp_path / "one")
    in_two_processes(source, tmp_path / "two", name)
    one, two = journal(tmp_path / "one"), journal(tmp_path / "two")
    assert len(one) == len(two) == RUNS[name].num_steps
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        for key, value in alone.items():
            if key.startswith("pull_"):
                continue  # of the first process's clips alone
            assert shared[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-5)), key
    last = "checkpoints/step-00000006/state.safetensors"
    alone, shared = (read_tensors(tmp_path / folder / last) for folder in ("one", "two"))
    assert alone.keys() == shared.keys()
    for key in alone:
        if key.startswith(("model.", "average.", "adversaries.")):
            torch.testing.assert_close(shared[key], alone[key], rtol=1e-3, atol=2e-5)


def test_batches_that_cannot_be_shared_evenly_are_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magvit2.training.tokenizer.world_size", lambda: 3)
    with pytest.raises(
        TrainingError, match=r"video batches of 2 cannot be shared by 3 processes in 1 parts each; .* 3 "
    ):
        train_tokenizer(TINY, source, tmp_path / "run")
    assert not (tmp_path / "run").exists()
