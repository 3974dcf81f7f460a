"""Rate curves: one codec at several qualities (`x264@crf`) or several rates (`x264@bpp`), compared with the first one.

So is one tokenizer decoded from several numbers of bits (`default@bits`), and by itself from all of them.

Curves are compared by Bjontegaard deltas; the model, a single point, with what the first curve has at its rate. A point
of a curve is a group's: bits over pixels, and the mean quality, of the items that have the metric. Quality must rise
with the rate: MS-SSIM stands in dB, -10 log10(1 - MS-SSIM), as is usual between codecs (raw, it crowds below 1), and
distances are negative. SSIM and Fréchet distances are left out. The first curve is a codec's, where there is one.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from magvit2.errors import InputError
from magvit2.evaluation.results import cells
from magvit2.evaluation.scores import Panel
from magvit2.evaluation.tally import Record, Tally
from magvit2.metrics.bjontegaard import BD_PROTOCOL, bd_quality, bd_rate, quality_at

MIN_POINTS = 4
CURVES_PROTOCOL = (
    f"{BD_PROTOCOL}; curves of {MIN_POINTS} points or more, a point is the mean of a group; -10% is 10% fewer bits at "
    "equal quality; ms_ssim in dB, -10 log10(1 - ms_ssim); distances are negative, so that more is better"
)
HEADER = ("group", "metric", "contender", "BD-rate", "quality at equal rate")

_NAME = re.compile(r"([^@]+)@([a-z]*)\d+(?:\.\d+)?")
_BITS_NAME = re.compile(r"(.+)@\d+bits")


@dataclass(frozen=True)
class Comparison:
    """A curve, or the model's point, against the anchor curve by one metric in one cell.

    `bd_rate_percent` is None of a point. `quality_gap` at equal rate is above 0 where `name` is better; of a curve it
    is BD-quality. What cannot be computed is None, and `problem` says why.
    """

    cell: str
    metric: str
    name: str
    anchor: str
    unit: str
    is_curve: bool
    bd_rate_percent: float | None
    quality_gap: float | None
    problem: str


@dataclass(frozen=True)
class _Axis:
    """The unit of a quality, and how a metric's mean becomes one."""

    unit: str
    quality: Callable[[float], float]


@dataclass(frozen=True)
class _Curve:
    """(bits per pixel, quality) of the contenders of a curve."""

    name: str
    points: dict[str, tuple[float, float]]

    @property
    def values(self) -> list[tuple[float, float]]:
        return list(self.points.values())

    @property
    def fault(self) -> str:
        """Why it can be compared with nothing, "" where it can."""
        if len(self.points) < MIN_POINTS:
            return f"{self.name} has {len(self.points)} points: expected {MIN_POINTS} or more"
        for lower, upper in itertools.pairwise(sorted(self.points, key=lambda name: self.points[name])):
            (low_rate, low), (high_rate, high) = self.points[lower], self.points[upper]
            if low_rate >= high_rate or low >= high:
                return f"{self.name} does not rise from {lower} to {upper}: leave one of them out"
        return ""


def _decibels(similarity: float) -> float:
    """Return a similarity of 0 .. 1 in dB, 100 at most."""
    return -10 * math.log10(max(1e-10, 1 - similarity))


_AXES = {
    "psnr_db": _Axis("dB", float),
    "ms_ssim": _Axis("dB", _decibels),
    "ms_ssim_3": _Axis("dB", _decibels),
    "vmaf": _Axis("points", float),
    "vmaf_neg": _Axis("points", float),
    **{name: _Axis(name, lambda value: -value) for name in ("psq", "lpips-alex", "lpips-vgg", "lpips-squeeze")},
}


def find_curves(contenders: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the contenders of each curve by its name, codecs before tokenizers; two make one.

    `x264@same`, of no one rate, belongs to none. A tokenizer's curve (`tiny@6bits`, `tiny@10bits`) has the tokenizer
    itself (`tiny`, all bits) too.
    """
    names = list(contenders)
    codecs: dict[str, list[str]] = {}
    tokenizers: dict[str, list[str]] = {match[1]: [] for match in map(_BITS_NAME.fullmatch, names) if match}
    for name in names:
        cut, match = _BITS_NAME.fullmatch(name), _NAME.fullmatch(name)
        owner = cut[1] if cut else name
        if owner in tokenizers:
            tokenizers[owner].append(name)
        elif match:
            codecs.setdefault(f"{match[1]}@{match[2] or 'bpp'}", []).append(name)
    curves = codecs | {f"{owner}@bits": members for owner, members in tokenizers.items()}
    return {curve: tuple(members) for curve, members in curves.items() if len(members) > 1}


def compare_curves(tally: Tally, panel: Panel, contenders: Sequence[str]) -> list[Comparison]:
    """Return the first contender and the curves against the first curve, by cell and metric; [] without a curve.

    A first contender that is a point of that curve is not compared with it.
    """
    curves = find_curves(contenders)
    metrics = [name for name in panel.value_names if name in _AXES] if curves else []
    found = []
    for cell, metric in itertools.product(cells(tally), metrics):
        points = _points([record for record in tally.records if record.cell in cell.parts], metric)
        if points:
            anchor, *others = [_Curve(name, {n: points[n] for n in members}) for name, members in curves.items()]
            if contenders[0] not in anchor.points:
                found.append(_compare_point(cell.name, metric, contenders[0], points[contenders[0]], anchor))
            found += [_compare_curve(cell.name, metric, other, anchor) for other in others]
    return found


def rates_of_metrics(tally: Tally, metrics: Iterable[str]) -> dict[str, float]:
    """Return bits per pixel by CELL/CONTENDER/METRIC, over the items that have the metric, which may not be all."""
    found = {}
    for cell, metric in itertools.product(cells(tally), metrics):
        of_cell = [record for record in tally.records if record.cell in cell.parts and metric in record.values]
        for name in dict.fromkeys(record.contender for record in of_cell):
            found[f"{cell.name}/{name}/{metric}"] = _rate([record for record in of_cell if record.contender == name])
    return found


def table_rows(comparisons: Iterable[Comparison]) -> list[list[str]]:
    """Return the rows of a table below `HEADER`."""
    return [[each.cell, each.metric, each.name, _bd_rate_text(each), _gap_text(each)] for each in comparisons]


def _points(records: Sequence[Record], metric: str) -> dict[str, tuple[float, float]]:
    """Return bits per pixel and quality of each contender over the records that have a metric."""
    by_contender: dict[str, list[Record]] = {}
    for record in records:
        if metric in record.values:
            by_contender.setdefault(record.contender, []).append(record)
    return {name: (_rate(own), _AXES[metric].quality(_mean(own, metric))) for name, own in by_contender.items()}


def _rate(records: Sequence[Record]) -> float:
    return sum(record.num_bits for record in records) / sum(record.num_pixels for record in records)


def _mean(records: Sequence[Record], metric: str) -> float:
    return math.fsum(record.values[metric] for record in records) / len(records)


def _compare_point(cell: str, metric: str, name: str, point: tuple[float, float], anchor: _Curve) -> Comparison:
    rate, quality = point
    at_rate, problem = _tried(anchor.fault, quality_at, anchor.values, rate)
    gap = None if at_rate is None else quality - at_rate
    return Comparison(cell, metric, name, anchor.name, _AXES[metric].unit, False, None, gap, problem)


def _compare_curve(cell: str, metric: str, other: _Curve, anchor: _Curve) -> Comparison:
    fault = anchor.fault or other.fault
    percent, no_rate = _tried(fault, bd_rate, anchor.values, other.values)
    gap, no_gap = _tried(fault, bd_quality, anchor.values, other.values)
    problem = "; ".join(dict.fromkeys(text for text in (no_rate, no_gap) if text))
    return Comparison(cell, metric, other.name, anchor.name, _AXES[metric].unit, True, percent, gap, problem)


def _tried(fault: str, measure: Callable[..., float], *arguments: object) -> tuple[float | None, str]:
    """Return what is measured, or None and why there is nothing to measure."""
    if fault:
        return None, fault
    try:
        return measure(*arguments), ""
    except InputError as error:
        return None, str(error)


def _bd_rate_text(found: Comparison) -> str:
    return "-" if found.bd_rate_percent is None else f"{found.bd_rate_percent:+.1f}%"


def _gap_text(found: Comparison) -> str:
    if found.quality_gap is None:
        return f"not computed: {found.problem}"
    gap = f"{abs(found.quality_gap):.3g} {found.unit}"
    side = "above" if found.quality_gap >= 0 else "below"
    return "; ".join(filter(None, [f"{side} {found.anchor} by {gap}", found.problem]))
