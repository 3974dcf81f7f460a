"""From a tally to results: (name, value) for every cell and contender, with intervals and paired differences.

Names read CELL/CONTENDER/METRIC, where a cell is `group/clips` or `group/images`; `all/clips` and `all/images` are of
all items of a kind, where several groups have it. A value is nan where its metric does not apply.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from magvit2.evaluation.contenders import FLOOR
from magvit2.evaluation.scores import Panel, SetMetric
from magvit2.evaluation.tally import ORIGINAL, Record, Tally
from magvit2.metrics.bootstrap import Interval, bootstrap_mean
from magvit2.metrics.frechet import Gaussian, frechet_distance
from magvit2.metrics.rate import IdRate

Result = tuple[str, float]

SEED = 0
LEVEL = 0.95
_GAIN = "psnr_gain_db"
NUM_RESAMPLES = 2000
INTERVAL_PROTOCOL = (
    f"percentile bootstrap over items, {LEVEL:.0%}, {NUM_RESAMPLES} resamples, seed {SEED}; differences are paired"
)


@dataclass(frozen=True)
class Cell:
    """A row of items that are averaged: its name, and the cells of the tally that it is made of."""

    name: str
    parts: tuple[str, ...]


def cells(tally: Tally) -> list[Cell]:
    """Return the cells in the order of their first items, then a total of each kind that several groups have."""
    names = list(dict.fromkeys(record.cell for record in tally.records))
    found = [Cell(name, (name,)) for name in names]
    total = "all" if not any(name.startswith("all/") for name in names) else "total"
    for kind in ("clips", "images"):
        parts = tuple(name for name in names if name.endswith(f"/{kind}"))
        if len(parts) > 1:
            found.append(Cell(f"{total}/{kind}", parts))
    return found


def results(tally: Tally, panel: Panel, contenders: Sequence[str]) -> Iterator[Result]:
    """Yield (CELL/CONTENDER/METRIC, value) of everything that was measured."""
    for cell, contender in itertools.product(cells(tally), contenders):
        for metric, value in _results_of(tally, panel, cell, contender):
            yield f"{cell.name}/{contender}/{metric}", value


def intervals(tally: Tally, panel: Panel, contenders: Sequence[str]) -> dict[str, Interval]:
    """Return the mean over items and its interval for every result that is one and has values."""
    found = {}
    for cell, contender in itertools.product(cells(tally), contenders):
        records = _records(tally, cell, contender)
        for metric in panel.value_names:
            values = list(_values(records, metric).values())
            if values:
                found[f"{cell.name}/{contender}/{metric}"] = _interval(values)
        if contender != FLOOR and records:
            gains = _gaps(records, _records(tally, cell, FLOOR), "psnr_db")
            found[f"{cell.name}/{contender}/{_GAIN}"] = _interval(gains)
    return found


def differences(tally: Tally, panel: Panel, contenders: Sequence[str]) -> dict[str, Interval]:
    """Return by name how much more the first contender has than each other one, paired item by item, with intervals."""
    found = {}
    for cell, other in itertools.product(cells(tally), contenders[1:]):
        first, second = _records(tally, cell, contenders[0]), _records(tally, cell, other)
        for metric in panel.value_names:
            gaps = _gaps(first, second, metric)
            if gaps:
                found[f"{cell.name}/{contenders[0]} - {other}/{metric}"] = _interval(gaps)
    return found


def num_samples(tally: Tally, panel: Panel, contenders: Sequence[str]) -> dict[str, int]:
    """Return how many samples stand behind each result: items, or frames or windows of a Fréchet distance."""
    found: dict[str, int] = {}
    for cell, contender in itertools.product(cells(tally), contenders):
        records = _records(tally, cell, contender)
        prefix = f"{cell.name}/{contender}"
        found |= {f"{prefix}/{metric}": len(_values(records, metric)) for metric in panel.value_names}
        found |= {
            f"{prefix}/{metric.name}": _gaussian(tally, cell, contender, metric).num_samples for metric in panel.sets
        }
    return found


def _results_of(tally: Tally, panel: Panel, cell: Cell, contender: str) -> Iterator[Result]:
    records = _records(tally, cell, contender)
    yield "items", len(records)
    for metric in panel.value_names:
        yield metric, _mean(list(_values(records, metric).values()))
    if contender != FLOOR:
        yield _GAIN, _mean(_gaps(records, _records(tally, cell, FLOOR), "psnr_db"))
    yield "bits_per_pixel", sum(r.num_bits for r in records) / sum(r.num_pixels for r in records)
    for embedding in panel.sets:
        yield embedding.name, _distance(tally, cell, contender, embedding)
    yield from _id_results(tally, cell, contender)


def _id_results(tally: Tally, cell: Cell, contender: str) -> Iterator[Result]:
    """Yield what is said of ids, where the contender has some."""
    parts = [tally.rates[part, contender] for part in cell.parts if (part, contender) in tally.rates]
    if not parts:
        return
    rate = IdRate(parts[0].space)
    for part in parts:
        rate.merge(part)
    usage, digits = rate.usage, rate.usage.digit_entropies
    digit = "bit" if set(rate.space.radices) == {2} else "digit"
    yield "tokens", usage.num_tokens
    yield "distinct_ids", usage.num_distinct
    yield "code_usage", usage.usage
    yield "id_entropy_bits", usage.entropy_bits
    yield f"{digit}_entropy_mean", float(digits.mean())
    yield f"{digit}_entropy_least", float(digits.min())
    yield from ((name, value) for name, value in rate.results() if not name.startswith("raw"))


def _distance(tally: Tally, cell: Cell, contender: str, metric: SetMetric) -> float:
    real, made = (_gaussian(tally, cell, name, metric) for name in (ORIGINAL, contender))
    if min(real.num_samples, made.num_samples) < 2:
        return math.nan
    return frechet_distance(real, made, metric.ddof)


def _gaussian(tally: Tally, cell: Cell, contender: str, metric: SetMetric) -> Gaussian:
    total = Gaussian()
    for part in cell.parts:
        found = tally.gaussians.get((part, contender, metric.name))
        if found is not None:
            total.merge(found)
    return total


def _records(tally: Tally, cell: Cell, contender: str) -> list[Record]:
    return [record for record in tally.records if record.contender == contender and record.cell in cell.parts]


def _values(records: Sequence[Record], metric: str) -> dict[int, float]:
    """Return the values of a metric by item, where it applies."""
    return {record.index: record.values[metric] for record in records if metric in record.values}


def _gaps(first: Sequence[Record], second: Sequence[Record], metric: str) -> list[float]:
    """Return the differences on the items that both have."""
    mine, theirs = _values(first, metric), _values(second, metric)
    return [value - theirs[index] for index, value in mine.items() if index in theirs]


def _interval(values: Sequence[float]) -> Interval:
    return bootstrap_mean(values, torch.Generator().manual_seed(SEED), LEVEL, NUM_RESAMPLES)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
