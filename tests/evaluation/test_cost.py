"""What contenders cost: networks are counted, times are kept through files, processes and resumed runs."""

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from magvit2.data.items import MediaItem, find_items
from magvit2.evaluation.contenders import FloorContender
from magvit2.evaluation.cost import Cost, configs_of, costs
from magvit2.evaluation.parts import part_path
from magvit2.evaluation.provenance import provenance
from magvit2.evaluation.reconstruction import Bench, measure
from magvit2.evaluation.report import Evaluation, markdown
from magvit2.evaluation.running import describe, run
from magvit2.evaluation.scores import open_panel
from magvit2.evaluation.tally import Record, Tally, merged
from magvit2.store import read_tensors_and_metadata, write_tensors
from tests.evaluation.making import SPACE, Brighter, TinySetup, clip_item, flat, mixed_source
from tests.tiny import tiny_tokenizer

NAMES = ("tiny", "bicubic")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def items(source: Path) -> list[MediaItem]:
    return find_items(source)


def record(index: int, name: str, num_frames: int, coding_s: float | None) -> Record:
    return Record(index, "/x", "a/clips", name, num_frames, num_frames * 1000, 1.0, "", {"psnr_db": 1.0}, coding_s)


def test_speed_is_all_frames_over_all_seconds_that_were_kept() -> None:
    tally = Tally([record(0, "one", 30, 2.0), record(1, "one", 10, 3.0), record(2, "one", 99, None)])
    tally.records += [record(0, "two", 30, None)]
    found = costs(tally, ["one", "two"], {})
    assert found["one"] == Cost(40, 5.0, 8.0, 0.008)
    assert found["two"] == Cost(0, 0.0, None, None)


def test_tokenizers_have_parameters_and_work_and_nobody_else() -> None:
    tokenizer = tiny_tokenizer()
    found = costs(Tally(), NAMES, configs_of(TinySetup().open().contenders))
    networks = (tokenizer.encoder, tokenizer.decoder)
    assert found["tiny"].parameters == sum(p.numel() for network in networks for p in network.parameters())
    assert (found["tiny"].encoder_mflop_per_pixel or 0) > 0 and (found["tiny"].decoder_mflop_per_pixel or 0) > 0
    assert found["bicubic"].parameters is None


def test_clips_of_a_batch_share_its_time_by_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip_item(tmp_path, "1", flat(2, 16, 16))
    clip_item(tmp_path, "2", flat(2, 48, 16))
    clock = SimpleNamespace(perf_counter=itertools.count().__next__)  # every contender takes one second
    monkeypatch.setattr("magvit2.evaluation.reconstruction.time", clock)
    bench, tally = Bench((Brighter(), FloorContender(SPACE)), open_panel(("psnr",)), batch_size=2), Tally()
    list(measure(bench, list(enumerate(find_items(tmp_path))), tally))
    assert [(r.contender, r.coding_s) for r in tally.records] == [
        ("model", 0.25), ("bicubic", 0.25), ("model", 0.75), ("bicubic", 0.75),
    ]  # fmt: skip


def test_times_are_kept_in_files_and_added_up_over_parts(items: list[MediaItem], tmp_path: Path) -> None:
    setup = TinySetup()
    tally, parts = run(setup, setup.open(), items, {}), []
    for remainder in (0, 1):
        part = Tally([each for each in tally.records if each.index % 2 == remainder])
        part.save(tmp_path / f"{remainder}", {})
        parts.append(Tally.load(tmp_path / f"{remainder}")[0])
    assert merged(parts).records == tally.records
    assert costs(merged(parts), NAMES, {}) == costs(tally, NAMES, {})
    assert {cost.num_frames for cost in costs(tally, NAMES, {}).values()} == {sum(2 + n % 4 for n in range(7)) + 3}


def test_a_state_without_times_is_resumed(source: Path, items: list[MediaItem], tmp_path: Path) -> None:
    setup, folder = TinySetup(), tmp_path / "out"
    bench = setup.open()
    settings = describe(setup, bench, items, source)
    run(setup, bench, items[:4], settings, folder)
    path = part_path(folder / "state", 0)
    tensors, metadata = read_tensors_and_metadata(path)
    rows = json.loads(tensors["records"].numpy().tobytes())
    text = json.dumps([{key: value for key, value in row.items() if key != "coding_s"} for row in rows])
    write_tensors(path, {**tensors, "records": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)}, metadata)
    tally = run(setup, bench, items, settings, folder, resume=True)
    timed = {each.index for each in tally.records if each.coding_s is not None}
    assert timed == set(range(4, len(items)))


def test_a_report_has_the_costs_beside_the_results(source: Path, items: list[MediaItem]) -> None:
    setup = TinySetup()
    bench = setup.open()
    settings, tally = describe(setup, bench, items, source), run(setup, bench, items, {})
    made = Evaluation(
        "a title", source, "all", settings, provenance(), NAMES, bench.panel, tally, (), configs_of(bench.contenders)
    )
    assert made.values["cost"] == {name: asdict(cost) for name, cost in made.costs.items()}
    assert not [name for name in made.values["results"] if "frames_per_s" in name or "parameters" in name]
    _, _, table = markdown(made).partition("## Cost")
    assert "on this machine, with whatever else ran on it" in table
    assert f"| tiny | {made.costs['tiny'].parameters:,} | " in table
    assert "| bicubic |  |  |  | " in table
