"""How numbers are taken: calls in turn, fresh processes, reports as text and as JSON."""

import json
import subprocess

import pytest
import torch

from magvit2.benchmarks import lfq, measure, report
from magvit2.benchmarks.measure import NotMeasuredError, Setup, dtypes_called, in_fresh_process, time_in_turn
from magvit2.benchmarks.report import Report
from magvit2.errors import InputError

CPU = torch.device("cpu")


def test_calls_are_made_in_turn_after_one_of_each_to_warm_up() -> None:
    made: list[str] = []
    timing = time_in_turn({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, 3, CPU)
    assert made == ["a", "b"] * 4
    assert timing.num_repeats == 3
    assert set(timing.median_s) == {"a", "b"}


def test_a_spent_budget_ends_after_a_whole_round() -> None:
    made: list[str] = []
    timing = time_in_turn({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, 9, CPU, budget_s=0.0)
    assert made == ["a", "b"] * 2
    assert timing.num_repeats == 1


def test_the_median_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 1.0, 7.0, 2.0])
    monkeypatch.setattr(measure, "_seconds", lambda call, device: next(seconds))
    assert time_in_turn({"a": lambda: None}, 3, CPU).median_s == {"a": 2.0}


@pytest.mark.parametrize("options", [{"threads": 0}, {"repeats": 0}])
def test_nothing_is_measured_zero_times_or_on_no_thread(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        Setup(**options)  # type: ignore[arg-type]


def test_a_fresh_process_returns_what_its_function_returns() -> None:
    rows = in_fresh_process(lfq.measure_exactness, Setup(threads=1), num_bits=4)["rows"]
    assert [row["computed_in"] for row in rows] == ["float32", "float64"]


def test_a_fresh_process_says_why_there_is_no_number() -> None:
    with pytest.raises(NotMeasuredError, match=r"^8 tokens need up to"):
        in_fresh_process(lfq.measure_contender, Setup(), name=lfq.DENSE, num_tokens=8, num_bits=40, dtype="fp32")
    with pytest.raises(NotMeasuredError, match="KeyError: 'fp8'"):
        in_fresh_process(lfq.measure_contender, Setup(), name=lfq.OURS, num_tokens=8, num_bits=4, dtype="fp8")


def test_a_killed_process_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: killed)
    with pytest.raises(NotMeasuredError, match="memory runs out"):
        in_fresh_process(lfq.measure_exactness, Setup(), num_bits=4)


def test_one_type_or_both() -> None:
    assert [dtypes_called(names) for names in ("both", "bf16")] == [("fp32", "bf16"), ("bf16",)]


def test_a_report_reads_as_tables_and_as_json() -> None:
    made = Report("x", {"device": "a chip"}, {"speed": [{"name": "a", "fps": 12.5}, {"name": "b", "left": None}]})
    made.note("c: not measured: reasons")
    made.note("c: not measured: reasons")
    assert made.as_text().splitlines() == [
        "device: a chip",
        "",
        "speed",
        "name   fps  left",
        "   a  12.5     -",
        "   b     -     -",
        "c: not measured: reasons",
    ]
    assert list(json.loads(json.dumps(made.as_dict()))) == ["benchmark", "machine", "speed", "notes"]


def test_a_table_that_is_too_wide_stands_on_its_side() -> None:
    rows = [{"short": 1.0, "l" * 120: value} for value in (2000.0, 1.5e-5)]
    assert Report("x", {}, {"t": rows}).as_text().splitlines()[2:] == [
        "t",
        " " * 115 + "short    1.000     1.000",
        "l" * 120 + "  2,000.0  1.50e-05",
    ]


def test_the_machine_is_named_with_all_that_numbers_depend_on() -> None:
    found = report.describe_machine(Setup(threads=3, repeats=7))
    assert (found["threads"], found["repeats"]) == (3, 7)
    assert torch.__version__ in found["software"]
    assert found["machine"] and found["commit"]
