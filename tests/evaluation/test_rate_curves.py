"""Rate curves: which contenders form one, and what is said of curves whose distance is known."""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.items import find_items
from magvit2.evaluation.contenders import FloorContender, Outcome
from magvit2.evaluation.provenance import provenance
from magvit2.evaluation.rate_curves import HEADER, Comparison, compare_curves, find_curves, rates_of_metrics, table_rows
from magvit2.evaluation.reconstruction import Bench, measure
from magvit2.evaluation.report import Evaluation, markdown
from magvit2.evaluation.running import Setup, describe
from magvit2.evaluation.scores import PairMetric, Panel, open_panel
from magvit2.evaluation.tally import Record, Tally
from magvit2.tokens import TokenSpace
from tests.evaluation.making import SPACE, Brighter, clip_item, flat

PLAIN = open_panel(("psnr", "ms_ssim"))
PSQ = Panel((PairMetric("psq", ("psq",), "by hand", lambda frames, decoded: {}),))
RATES = (0.05, 0.1, 0.2, 0.4)
LINE = (30.0, 33.0, 36.0, 39.0)  # 3 dB for twice the bits


def records(name: str, rate: float, values: Mapping[str, float], index: int = 0, num_pixels: int = 1000) -> Record:
    return Record(index, "/x/1.mkv", "a/clips", name, 1, num_pixels, rate * num_pixels, "", dict(values))


def curve(codec: str, rates: Sequence[float], qualities: Sequence[float], metric: str = "psnr_db") -> list[Record]:
    pairs = zip(rates, qualities, strict=True)
    return [records(f"{codec}@q{number}", *(rate, {metric: value})) for number, (rate, value) in enumerate(pairs)]


def compared(panel: Panel, *parts: list[Record]) -> dict[str, Comparison]:
    """Comparisons by contender, the first record's first."""
    made = [record for part in parts for record in part]
    found = compare_curves(Tally(made), panel, list(dict.fromkeys(record.contender for record in made)))
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def model(rate: float, value: float, metric: str = "psnr_db") -> list[Record]:
    return [records("model", rate, {metric: value})]


def test_a_codec_at_several_qualities_or_several_rates_is_a_curve() -> None:
    names = "model x264@crf20 x264@0.1 jpeg@q5 x264@crf26 x264@0.25 x264@same bicubic@4x8x8 bicubic@4x16x16 vvenc@qp30"
    assert find_curves(names.split()) == {
        "x264@crf": ("x264@crf20", "x264@crf26"),
        "x264@bpp": ("x264@0.1", "x264@0.25"),
    }
    assert compare_curves(Tally(model(0.1, 30.0)), PLAIN, ["model", "x264@crf20", "jpeg@q5"]) == []


def test_half_the_bits_on_a_line_of_3_db_an_octave_are_minus_50_percent_and_3_db() -> None:
    half = curve("b", [rate / 2 for rate in RATES], LINE)
    found = compared(PLAIN, model(0.1 * 2**0.5, 30.0), curve("a", RATES, LINE), half)
    assert list(found) == ["model", "b@q"]
    assert found["b@q"].anchor == "a@q"
    assert found["b@q"].bd_rate_percent == pytest.approx(-50)
    assert found["b@q"].quality_gap == pytest.approx(3)
    assert found["model"].bd_rate_percent is None
    assert found["model"].quality_gap == pytest.approx(30 - 34.5)
    assert [row[2:] for row in table_rows(found.values())] == [
        ["model", "-", "below a@q by 4.5 dB"],
        ["b@q", "-50.0%", "above a@q by 3 dB"],
    ]


def test_ms_ssim_counts_in_decibels_and_a_distance_the_other_way_round() -> None:
    misses = [0.1 / 2**number for number in range(4)]  # 3.01 dB for twice the bits
    twice, similar = [2 * rate for rate in RATES], [1 - miss for miss in misses]
    found = compared(
        PLAIN, model(0.1, 0.99, "ms_ssim"), curve("a", RATES, similar, "ms_ssim"), curve("b", twice, similar, "ms_ssim")
    )
    assert found["b@q"].bd_rate_percent == pytest.approx(100)
    assert found["b@q"].quality_gap == pytest.approx(-10 * np.log10(2))
    assert found["model"].quality_gap == pytest.approx(10 * np.log10(0.05 / 0.01))
    distances = [0.4, 0.3, 0.2, 0.1]
    found = compared(
        PSQ, model(0.2, 0.25, "psq"), curve("a", RATES, distances, "psq"), curve("b", twice, distances, "psq")
    )
    assert found["b@q"].bd_rate_percent == pytest.approx(100)
    assert found["model"].quality_gap == pytest.approx(-0.05)
    assert found["model"].unit == "psq"


def test_the_rate_is_that_of_the_items_which_have_the_metric() -> None:
    large = [*model(0.1, 0.9, "ms_ssim"), *curve("a", RATES, [0.8, 0.9, 0.95, 0.97], "ms_ssim")]
    small = [records(each.contender, 9.0, {"psnr_db": 30.0}, index=1) for each in large]
    found = compare_curves(Tally(large + small), PLAIN, [each.contender for each in large])
    assert [(each.metric, each.quality_gap) for each in found if not each.problem] == [("ms_ssim", pytest.approx(0))]


@pytest.mark.parametrize(
    ("rates", "qualities", "problem"),
    [
        (RATES[:3], LINE[:3], "b@q has 3 points: expected 4 or more"),
        (RATES, (30.0, 33.0, 32.0, 39.0), "b@q does not rise from b@q1 to b@q2: leave one of them out"),
        (RATES, (50.0, 53.0, 56.0, 59.0), r"the curves' qualities (30 to 39 and 50 to 59) do not overlap"),
    ],
)
def test_what_cannot_be_compared_is_named_with_the_reason(
    rates: Sequence[float], qualities: Sequence[float], problem: str
) -> None:
    found = compared(PLAIN, model(0.1, 30.0), curve("a", RATES, LINE), curve("b", rates, qualities))
    assert found["model"].quality_gap == pytest.approx(-3)
    assert found["b@q"].bd_rate_percent is None
    assert problem in table_rows([found["b@q"]])[0][4]


def test_curves_of_other_rates_still_have_a_bd_rate() -> None:
    found = compared(PLAIN, model(9.0, 30.0), curve("a", RATES, LINE), curve("b", [100 * rate for rate in RATES], LINE))
    assert found["b@q"].bd_rate_percent == pytest.approx(9900)
    assert table_rows(found.values())[1][4].startswith("not computed: the curves' log rates")
    assert found["model"].problem == ("a rate of 9 lies outside the curve's (0.05 to 0.4): there is nothing to compare")


def test_a_first_curve_that_is_none_is_said_of_every_comparison() -> None:
    found = compared(PLAIN, model(0.1, 30.0), curve("a", RATES[:2], LINE[:2]), curve("b", RATES, LINE))
    assert {each.problem for each in found.values()} == {"a@q has 2 points: expected 4 or more"}


class Codec(Brighter):
    """Makes every frame brighter by `gap` and says that it took `rate` bits per pixel."""

    space: TokenSpace | None = None

    def __init__(self, name: str, gap: int, rate: float) -> None:
        super().__init__(name=name)
        self._gap, self._rate = gap, rate

    def code(self, clips: Sequence[np.ndarray], fps: Sequence[Fraction]) -> list[Outcome]:
        return [Outcome(clip + np.uint8(self._gap), self._rate * clip.size / 3, "") for clip in clips]


def test_a_report_says_how_many_bits_a_codec_saves(tmp_path: Path) -> None:
    for number in range(2):
        clip_item(tmp_path, f"g/{number}", flat(2))
    gaps = (16, 8, 4, 2)  # 6.02 dB each
    contenders = (
        Codec("model", 8, RATES[0]),
        *(Codec(f"a@q{gap}", gap, rate) for gap, rate in zip(gaps, RATES, strict=True)),
        *(Codec(f"b@q{gap}", gap, rate / 2) for gap, rate in zip(gaps, RATES, strict=True)),
        FloorContender(SPACE),
    )
    bench, items = Bench(contenders, open_panel(("psnr",))), find_items(tmp_path)
    tally = Tally()
    list(measure(bench, list(enumerate(items)), tally))
    names = tuple(contender.name for contender in contenders)
    settings = describe(Setup(), bench, items, tmp_path)
    made = Evaluation("a title", tmp_path, "all", settings, provenance(), names, bench.panel, tally)
    lines = markdown(made).splitlines()
    assert "Against the rate curve a@q:" in lines
    assert f"| {' | '.join(HEADER[1:])} |" in lines
    assert "| psnr_db | model | - | above a@q by 6.02 dB |" in lines
    assert "| psnr_db | b@q | -50.0% | above a@q by 6.02 dB |" in lines
    values = json.loads(json.dumps(made.values))
    assert values["rate_curves"]["b@q"] == [f"b@q{gap}" for gap in gaps]
    (rate,) = [row["bd_rate_percent"] for row in values["bd_rates"] if row["name"] == "b@q"]
    assert rate == pytest.approx(-50)


def test_a_metric_s_rate_is_of_the_items_that_have_it() -> None:
    small = records("tiny", 0.4, {"psnr_db": 30.0, "ms_ssim_3": 0.9}, 0, num_pixels=1000)
    large = records("tiny", 0.1, {"psnr_db": 35.0}, 1, num_pixels=3000)
    rates = rates_of_metrics(Tally([small, large]), ("psnr_db", "ms_ssim_3", "vmaf"))
    assert rates == {"a/clips/tiny/psnr_db": pytest.approx(0.175), "a/clips/tiny/ms_ssim_3": pytest.approx(0.4)}
