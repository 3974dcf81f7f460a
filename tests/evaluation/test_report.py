"""The report: numbers as people read them, which items are shown, and pictures where matplotlib is."""

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magvit2.data.items import find_items
from magvit2.evaluation.plots import Tile, draw_rate_quality, draw_sheet, find_problem, rate_ticks
from magvit2.evaluation.provenance import provenance
from magvit2.evaluation.report import Evaluation, markdown, number
from magvit2.evaluation.running import describe, run
from magvit2.evaluation.sheets import choose, draw_sheets
from magvit2.evaluation.tally import Record, Tally
from magvit2.video import read_image, write_image
from tests.evaluation.making import TinySetup, mixed_source
from tests.video.making import scene


def record(index: int, psnr_db: float, cell: str = "a/clips") -> Record:
    return Record(index, f"/x/{index}.mkv", cell, "tiny", 1, 64, 6.0, "raw", {"psnr_db": psnr_db})


def test_worst_median_and_best_are_chosen_each_once() -> None:
    values = [30.0, 10.0, 50.0, 20.0, 40.0]
    tally = Tally([record(index, value) for index, value in enumerate(values)])
    assert [(c.rank, c.index) for c in choose(tally, "tiny", "clips")] == [("worst", 1), ("median", 0), ("best", 2)]
    assert choose(tally, "tiny", "images") == []
    two = Tally([record(0, 3.0), record(1, 1.0)])
    assert [(c.rank, c.index) for c in choose(two, "tiny", "clips")] == [("worst", 1), ("best", 0)]
    assert [c.rank for c in choose(Tally([record(0, 3.0)]), "tiny", "clips")] == ["worst"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.08271, "0.0827"), (29.588, "29.59"), (1200.0, "1,200"), (0.0, "0.0000"), (1, "1")]
)
def test_numbers_have_the_digits_that_a_reader_needs(value: float, text: str) -> None:
    assert number(value) == text


def test_the_page_has_intervals_and_leaves_out_what_nobody_has(tmp_path: Path) -> None:
    source = mixed_source(tmp_path / "data")
    setup, items = TinySetup(), find_items(source)
    bench = setup.open()
    settings, tally = describe(setup, bench, items, source), run(setup, bench, items, {})
    names = ("tiny", "bicubic")
    made = Evaluation("a title", source, "all", settings, provenance(), names, bench.panel, tally, ("a note",))
    page = markdown(made)
    assert "a note" in page
    assert "## a/clips (4 items)" in page and "## b/images (3 items)" in page
    header, first = _table(page)
    assert "psnr_db" in header and "ms_ssim" not in header  # too small for it
    assert " .. " in first
    values = made.values
    assert values["samples"]["all/clips/tiny/fd-colour"] == sum(2 + n % 4 for n in range(7))
    assert values["results"]["a/clips/tiny/ms_ssim"] is None


def _table(page: str) -> tuple[str, str]:
    lines = [line for line in page.split("## a/clips")[1].splitlines() if line.startswith("| ")]
    return lines[0], lines[1]


def test_the_machine_and_the_software_are_named() -> None:
    found = provenance()
    assert set(found) == {"machine", "threads", "software", "commit", "date"}
    assert "torch" in str(found["software"]) and all(found.values())


def test_pictures_are_drawn_without_a_display(tmp_path: Path) -> None:
    results = {
        f"{cell}/{name}/{metric}": value
        for cell in ("a/clips", "all/clips")
        for name, rate in (("tiny", 0.1), ("bicubic", 0.3))
        for metric, value in (
            ("psnr_db", 20 + rate),
            ("ms_ssim_3", 0.5),
            ("psq", float("nan")),
        )
    }
    rates = dict.fromkeys(results, 0.1)
    draw_rate_quality(tmp_path / "plot.png", "a title", results, rates, ["a/clips", "all/clips"], ["tiny", "bicubic"])
    wide, tall = (Tile(scene(1, *shape), "name\n20.00 dB") for shape in ((40, 160), (60, 50)))
    draw_sheet(tmp_path / "sheet.png", "a title", [("worst: a/1", [wide, wide]), ("best: a/2", [tall, tall])])
    for name in ("plot.png", "sheet.png"):
        assert len(np.unique(read_image(tmp_path / name))) > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.png", "sheet.png"]


def test_points_of_a_rate_curve_share_a_colour_and_are_joined(tmp_path: Path) -> None:
    names = ["tiny", "x264@crf20", "x264@crf30", "jpeg@q5"]
    results = {f"a/clips/{name}/psnr_db": 20.0 + number for number, name in enumerate(names)}
    rates = {f"a/clips/{name}/psnr_db": 0.1 * 2**number for number, name in enumerate(names)}
    draw_rate_quality(tmp_path / "plot.png", "a title", results, rates, ["a/clips"], names)
    pixels = {tuple(pixel) for pixel in read_image(tmp_path / "plot.png").reshape(-1, 3).tolist()}
    red, blue, green, purple = (214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189)
    assert {red, blue, green} <= pixels and purple not in pixels


@pytest.mark.parametrize(("low", "high"), [(0.025, 0.9), (0.09, 0.13), (0.07, 0.4), (0.01, 30), (0.0703, 0.0704)])
def test_an_axis_of_rates_has_several_labels_and_not_too_many(low: float, high: float) -> None:
    ticks = rate_ticks(low, high)
    assert 4 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks)) and low <= ticks[0] and ticks[-1] <= high
    assert len({f"{tick:g}" for tick in ticks}) == len(ticks)


def test_without_matplotlib_it_is_said_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_problem() == ""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert find_problem() == "plots need matplotlib: pip install 'magvit2[plots]'"


def test_a_still_source_has_no_sheet_of_clips(tmp_path: Path) -> None:
    write_image(tmp_path / "data" / "1.png", scene(1, 16, 16)[0])
    bench, items = TinySetup().open(), find_items(tmp_path / "data")
    written = draw_sheets(tmp_path, bench, items, run(TinySetup(), bench, items, {}))
    assert [path.name for path in written] == ["images.png"]
