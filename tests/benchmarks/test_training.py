"""The benchmark of trainings at a few steps: the same training differs by nothing, and what cannot be run is a line."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from magvit2.benchmarks import training
from magvit2.benchmarks.measure import NotMeasuredError, Setup
from magvit2.benchmarks.training import REFERENCE, VARIANTS, benchmark_training, measure_training
from magvit2.cli import benchmark
from magvit2.store import read_tensors, write_tensors
from tests.cli.running import done, run

QUICK = Setup(threads=1, repeats=1)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be measured in fresh processes is measured in this one."""
    monkeypatch.setattr(training, "in_fresh_process", lambda function, setup, **arguments: function(setup, **arguments))


@pytest.mark.slow
def test_two_processes_are_a_row_and_so_is_the_same_training_again() -> None:
    words = ("--variants", "again", "processes", "--steps", 2, "--threads", 1, "--json")
    found = json.loads(done("benchmark", "training", *words))
    assert list(found) == ["benchmark", "machine", "differences", "notes"] and not found["notes"]
    assert (found["machine"]["steps"], found["machine"]["repeats"]) == (2, 1)
    reference, again, processes = found["differences"]
    assert [row["variant"] for row in found["differences"]] == [REFERENCE, "again", "processes"]
    assert reference["losses"] == reference["weights"] == again["losses"] == again["weights"] == 0
    assert 0 < processes["losses"] < 1e-3
    for row in found["differences"]:
        assert row["x_time"] == row["step_ms"] / reference["step_ms"]


@pytest.mark.usefixtures("here")
def test_what_a_variant_changes_is_what_is_reported() -> None:
    rows = {
        row["variant"]: row
        for row in benchmark_training(QUICK, ["bf16", "fp16", "recomputed"], 2).tables["differences"]
    }
    assert rows["recomputed"]["losses"] == rows["recomputed"]["weights"] == 0
    assert 1e-2 > rows["bf16"]["losses"] > rows["fp16"]["losses"] > 0


def test_differences_are_the_largest_of_all_steps_and_of_all_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: dict[str, dict[str, Any]] = {
        REFERENCE: {"losses": [[1.0, 2.0], [4.0, 2.0]], "a": [10.0, -1.0], "b": [0.0, 2.0], "c": [0.0, 0.0]},
        "bf16": {"losses": [[1.0, 2.0], [3.0, 2.1]], "a": [10.0, -2.0], "b": [0.5, 2.0], "c": [0.0, 0.0]},
    }
    calls = iter([4.0, 1.0, 2.0, 6.0, 6.0, 5.0])

    def measured(function: object, setup: Setup, variant: str, num_steps: int, target: str) -> dict[str, float]:
        write_tensors(Path(target), {name: torch.tensor(values) for name, values in ends[variant].items()})
        return {"step_s": next(calls)}

    monkeypatch.setattr(training, "in_fresh_process", measured)
    reference, other = benchmark_training(Setup(repeats=3), ["bf16"], 2).tables["differences"]
    assert (reference["losses"], reference["weights"], reference["x_time"]) == (0, 0, 1)
    assert (other["losses"], other["weights"]) == (0.25, 0.25)
    assert (reference["step_ms"], other["step_ms"], other["x_time"]) == (4000, 5000, 1.25)


def test_a_variant_that_cannot_be_run_is_a_line_and_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(function: object, setup: Setup, variant: str, **arguments: Any) -> dict[str, float]:
        if variant == "compiled":
            raise NotMeasuredError("no compiler")
        write_tensors(Path(arguments["target"]), {"losses": torch.ones(1, 2)} | {"a": torch.ones(1)})
        return {"step_s": 1.0}

    monkeypatch.setattr(training, "in_fresh_process", measured)
    monkeypatch.setattr(training, "describe_machine", lambda setup: {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = benchmark_training(Setup("cuda"), ["compiled", "processes", "parts"], 1)
    assert found.notes == [
        "compiled: not measured: no compiler",
        "processes: not measured: it takes 2 GPUs; here there is 1",
    ]
    assert [row["variant"] for row in found.tables["differences"]] == [REFERENCE, "parts"]


def test_the_weights_of_both_sides_are_compared(tmp_path: Path) -> None:
    measure_training(QUICK, REFERENCE, 1, str(tmp_path / "end"))
    names = read_tensors(tmp_path / "end").keys()
    assert {"losses", "model.decoder.head.weight", "adversaries.video.discriminator.logit.weight"} <= names


def test_the_command_line_knows_every_variant() -> None:
    assert get_args(benchmark.Variant) == benchmark.ALL_VARIANTS == VARIANTS


def test_no_steps_are_one_line() -> None:
    assert "--steps 0: expected 1 or more" in run("benchmark", "training", "--steps", "0").line
