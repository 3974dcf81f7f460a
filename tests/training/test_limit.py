"""A run within a time limit: it stops early enough to save, and what it leaves can be read and taken elsewhere."""

import dataclasses
import json
import math
import os
import time
from pathlib import Path

import pytest
import torch

from magvit2.errors import ConfigError, InputError, TrainingError
from magvit2.tokenizer import Tokenizer, tokenizer_preset
from magvit2.training import limit as limits
from magvit2.training import train_tokenizer
from magvit2.training.export import check_exportable, export_run
from magvit2.training.limit import TimeLimit, process_age_s
from magvit2.training.status import RunStatus, read_status
from tests.training.making import TINY, journal, make_pictures, results


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def steps_within(limit: TimeLimit, clock: Clock, step_s: float, save_every: int = 0, save_s: float = 0.0) -> int:
    """How many steps of a constant duration a run does before it stops."""
    for count in range(1, 10_000):
        clock.now_s += step_s
        if limit.is_reached():
            return count
        if save_every and count % save_every == 0:
            with limit.saving():
                clock.now_s += save_s
    return 10_000


def test_a_run_stops_a_step_two_saves_and_an_end_before_its_limit() -> None:
    clock = Clock()
    count = steps_within(TimeLimit(1000, clock=clock), clock, 1.0)
    assert count == 1000 - 1 - 50 - 8  # a save is taken to last a fortieth of the limit before there was one
    clock = Clock()
    steps_within(TimeLimit(1000, clock=clock), clock, 1.0, save_every=100, save_s=3.0)
    assert clock.now_s == 1000 + 1000 - 1 - 2 * 3 - 8


def test_time_that_the_process_had_before_counts() -> None:
    clock = Clock()
    steps_within(TimeLimit(100, spent_s=30, clock=clock), clock, 1.0)
    assert clock.now_s == 1000 + 70 - 1 - 5 - 8


def test_the_first_step_is_no_measure_of_the_others_but_a_slow_one_later_is() -> None:
    clock = Clock()
    limit = TimeLimit(100, clock=clock)
    clock.now_s += 40
    assert not limit.is_reached()
    clock.now_s += 30
    assert limit.is_reached()  # another such step would end at the limit


def test_without_a_limit_it_is_never_time() -> None:
    clock = Clock()
    assert steps_within(TimeLimit(clock=clock), clock, 1e6, save_every=10, save_s=1e6) == 10_000


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_a_limit_is_more_than_nothing(seconds: float) -> None:
    with pytest.raises(ConfigError, match="more than 0 seconds"):
        TimeLimit(seconds)


def test_the_age_of_a_process_grows_with_it_and_is_0_where_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_START_S", math.inf)
    before, start_s = process_age_s(), time.monotonic()
    time.sleep(0.05)
    assert process_age_s() - before == pytest.approx(time.monotonic() - start_s, abs=0.02)
    monkeypatch.setattr(limits, "_MAX_START_S", before)  # so old that the process was something else before
    assert process_age_s() == 0
    monkeypatch.undo()
    monkeypatch.setattr(os, "sysconf", lambda name: 1 / 0 if name is None else (_ for _ in ()).throw(ValueError()))
    assert process_age_s() == 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(TINY, source, folder)
    return folder


def test_a_run_that_its_limit_stops_at_each_step_ends_like_one_that_ran_through(
    source: Path, straight: Path, tmp_path: Path
) -> None:
    for num_done in range(1, TINY.num_steps + 1):
        saves: list[int] = []
        model = train_tokenizer(
            TINY, source, tmp_path, time_limit=TimeLimit(1, spent_s=2), on_save=lambda seen=saves: seen.append(0)
        )
        assert model == tmp_path / "model" and Tokenizer.from_pretrained(model).config == TINY.model
        status = read_status(tmp_path)
        assert (status.num_done, status.num_steps, status.is_finished) == (num_done, 6, num_done == 6)
        assert len(saves) == 1
    assert journal(tmp_path) == journal(straight)
    assert results(tmp_path)["model/model.safetensors"] == results(straight)["model/model.safetensors"]


def test_a_run_may_go_on_with_another_number_of_workers_and_without_its_initial_model(
    source: Path, straight: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(TINY, initial=str(straight / "model"))
    train_tokenizer(config, source, tmp_path / "whole")
    train_tokenizer(config, source, tmp_path / "run", time_limit=TimeLimit(1, spent_s=2))
    (straight / "model").rename(straight / "gone")
    try:
        train_tokenizer(dataclasses.replace(config, num_workers=1), source, tmp_path / "run")
    finally:
        (straight / "gone").rename(straight / "model")
    assert journal(tmp_path / "run") == journal(tmp_path / "whole")
    assert json.loads((tmp_path / "run" / "training.json").read_text())["num_workers"] == 1


def test_the_time_of_a_step_counts_those_since_the_last_line(source: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, log_every=5)
    train_tokenizer(config, source, tmp_path, time_limit=TimeLimit(1, spent_s=2))
    time.sleep(0.01)
    start_s = time.monotonic()
    train_tokenizer(config, source, tmp_path)
    elapsed_s = time.monotonic() - start_s
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 5]
    assert lines[1]["step_s"] * 5 <= elapsed_s


def test_the_status_of_a_run_is_read_from_its_folder(straight: Path, tmp_path: Path) -> None:
    lines = journal(straight)
    status = read_status(straight)
    assert (status.num_done, status.num_steps, status.is_finished) == (6, 6, True)
    assert status.loss == pytest.approx(sum(line["loss"] for line in lines) / 6)
    assert status.score == pytest.approx(sum(line["psnr"] for line in lines) / 6)
    assert status.step_s > 0
    with pytest.raises(InputError, match=r"no training\.json"):
        read_status(tmp_path)
    (tmp_path / "training.json").write_text((straight / "training.json").read_text())
    fresh = read_status(tmp_path)
    assert fresh.num_done == 0 and math.isnan(fresh.loss)


def test_an_export_is_a_model_in_bf16_with_all_that_was_noted(straight: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        files = export_run(straight, tmp_path / "out", {"machine": "mine"})
    names = [str(path.relative_to(tmp_path / "out")) for path in files]
    assert names == [
        "metrics.jsonl",
        "model/config.json",
        "model/model.safetensors",
        "report.json",
        "sample.png",
        "training.json",
    ]
    rounded = Tokenizer.from_pretrained(tmp_path / "out" / "model").state_dict()
    for name, value in Tokenizer.from_pretrained(straight / "model").state_dict().items():
        assert torch.equal(rounded[name], value.bfloat16().float())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["machine"] == "mine" and report["is_finished"] is True and report["num_done"] == 6
    sample = (straight / "samples" / "step-00000006.png").read_bytes()
    assert (tmp_path / "out" / "sample.png").read_bytes() == sample
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()


def test_an_export_is_a_model_to_start_from(source: Path, straight: Path, tmp_path: Path) -> None:
    export_run(straight, tmp_path / "out", {})
    again = dataclasses.replace(TINY, num_steps=1, initial=str(tmp_path / "out" / "model"))
    train_tokenizer(again, source, tmp_path / "again")
    assert read_status(tmp_path / "again").is_finished


def test_what_is_not_known_yet_is_null_in_the_report() -> None:
    from magvit2.training.export import _plain

    assert _plain(RunStatus(0, 6, math.nan, math.nan, math.nan))["loss"] is None


def test_a_model_that_is_too_large_to_export_is_refused_before_it_is_trained() -> None:
    check_exportable(tokenizer_preset("small"))
    with pytest.raises(TrainingError, match=r"takes 717\.\d MiB in bf16 .* at most 16 MiB") as error:
        check_exportable(tokenizer_preset("video-128"))
    assert "\n" not in str(error.value)
