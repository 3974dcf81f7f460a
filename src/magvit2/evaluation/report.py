"""The report of an evaluation: `report.json`, `items.jsonl`, `report.md`, a plot and contact sheets, in one folder."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from magvit2.data.items import root_of
from magvit2.evaluation.cost import COST_PROTOCOL, Cost, costs
from magvit2.evaluation.rate_curves import (
    CURVES_PROTOCOL,
    HEADER,
    Comparison,
    compare_curves,
    find_curves,
    table_rows,
)
from magvit2.evaluation.results import (
    INTERVAL_PROTOCOL,
    SEED,
    Cell,
    cells,
    differences,
    intervals,
    num_samples,
    results,
)
from magvit2.evaluation.scores import Panel
from magvit2.evaluation.tally import Record, Tally
from magvit2.metrics.bootstrap import Interval
from magvit2.metrics.rate import RATE_PROTOCOL
from magvit2.store import write_text
from magvit2.tokenizer import TokenizerConfig

_RATE = "bits_per_pixel"
_SHOWN = ("psnr_db", "psnr_gain_db", "ssim", "ms_ssim", "ms_ssim_3", "psq", "vmaf", "vmaf_neg")
_OF_IDS = ("tokens", "distinct_ids", "id_perplexity", "bit_entropy_mean", "bit_entropy_least")
_OF_RATE = ("zero_order_bits_per_pixel", "adaptive_bits_per_pixel")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: what was asked for, what was found, and on what; `configs` are of its tokenizers."""

    title: str
    source: Path
    scope: str
    settings: dict[str, Any]
    made_by: dict[str, str | int]
    contenders: tuple[str, ...]
    panel: Panel
    tally: Tally
    notes: tuple[str, ...] = ()
    configs: Mapping[str, TokenizerConfig] = field(default_factory=dict)

    @cached_property
    def results(self) -> dict[str, float]:
        """Values by name."""
        return dict(results(self.tally, self.panel, self.contenders))

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Means over items with their intervals, by name."""
        return intervals(self.tally, self.panel, self.contenders)

    @cached_property
    def bd_rates(self) -> list[Comparison]:
        """The model and all rate curves against the first curve; none where no codec has several rates."""
        return compare_curves(self.tally, self.panel, self.contenders)

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """What each contender costs: parameters, work, and speed in this run."""
        return costs(self.tally, self.contenders, self.configs)

    @cached_property
    def values(self) -> dict[str, Any]:
        """Everything but the items, for JSON; what is not a number is None."""
        arguments = (self.tally, self.panel, self.contenders)
        return {
            "title": self.title,
            "scope": self.scope,
            "num_items": len(self.tally.done),
            "made_by": self.made_by,
            "protocol": self.protocols,
            "contenders": self.settings["contenders"],
            "not_measured": self.not_measured,
            "notes": list(self.notes),
            "results": {name: _plain(value) for name, value in self.results.items()},
            "samples": num_samples(*arguments),
            "intervals": {name: asdict(value) for name, value in self.intervals.items()},
            "differences": {name: asdict(value) for name, value in differences(*arguments).items()},
            "rate_curves": find_curves(self.contenders),
            "bd_rates": [asdict(value) for value in self.bd_rates],
            "cost": {name: asdict(value) for name, value in self.costs.items()},
        }

    @cached_property
    def not_measured(self) -> dict[str, str]:
        """Why metrics have no value: what they lack, or that no item is fit for them."""
        names = {name for record in self.tally.records for name in record.values}
        sets = {metric for (_, _, metric), gaussian in self.tally.gaussians.items() if gaussian.num_samples > 1}
        unfit = {m.name: m.protocol for m in self.panel.pairs if not names.intersection(m.names)}
        unfit |= {m.name: m.protocol for m in self.panel.sets if m.name not in sets}
        return self.panel.not_measured | {name: f"no item is fit ({protocol})" for name, protocol in unfit.items()}

    @property
    def protocols(self) -> dict[str, str]:
        """What makes each number comparable: files, frames, arithmetic, intervals, then metric by metric."""
        return {
            "files": f"{self.scope}; SHA-256 of names and sizes {self.settings['files']}",
            "frames": self.settings["frames"],
            "arithmetic": self.settings["arithmetic"],
            "means": "over the frames of an item, then over the items of a group; all/...: over all items of a kind",
            "intervals": INTERVAL_PROTOCOL,
            "seed": f"{SEED}, of the resamples; nothing else is drawn",
            _RATE: "bits of all items over pixels of all their frames",
            "ids": f"counted over all items of a group; {RATE_PROTOCOL}",
            **self.settings["metrics"],
            **({"bd_rates": CURVES_PROTOCOL} if self.bd_rates else {}),
            "cost": COST_PROTOCOL,
        }


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Write report.json, items.jsonl and report.md to a folder."""
    write_text(folder / "items.jsonl", "".join(_item_lines(evaluation)))
    write_text(folder / "report.md", markdown(evaluation))
    write_text(folder / "report.json", json.dumps(evaluation.values, indent=2) + "\n")


def markdown(evaluation: Evaluation) -> str:
    """Return the page for people: tables for each cell, costs, what was not measured, the protocols."""
    found, spread = evaluation.results, evaluation.intervals
    lines = [
        f"# {evaluation.title}",
        "",
        ", ".join(f"{name}: {value}" for name, value in evaluation.made_by.items()),
        "",
    ]
    lines += [f"{evaluation.scope}, {evaluation.settings['frames']}. In brackets: 95% intervals over items.", ""]
    lines += [line for note in evaluation.notes for line in (note, "")]
    for cell in cells(evaluation.tally):
        lines += [*_cell_lines(evaluation, cell, found, spread), ""]
    lines += [*_cost_lines(evaluation.costs), ""]
    lines += _list("Not measured", {name: f"not measured: {why}" for name, why in evaluation.not_measured.items()})
    lines += _list("Contenders", evaluation.settings["contenders"])
    lines += _list("Protocol", evaluation.protocols)
    return "\n".join(lines)


def _cell_lines(
    evaluation: Evaluation, cell: Cell, found: dict[str, float], spread: dict[str, Interval]
) -> Iterator[str]:
    num_items = len({record.index for record in evaluation.tally.records if record.cell in cell.parts})
    yield f"## {cell.name} ({num_items} items)"
    sets = [metric.name for metric in evaluation.panel.sets]
    lpips = [name for name in evaluation.panel.value_names if name.startswith("lpips")]
    wanted = [_RATE, *_SHOWN, *lpips, *sets]
    yield from _table(cell.name, evaluation.contenders, wanted, found, spread)
    yield from _table(cell.name, evaluation.contenders, [*_OF_RATE, *_OF_IDS], found, spread)
    compared = [each for each in evaluation.bd_rates if each.cell == cell.name]
    if compared:
        yield from ("", f"Against the rate curve {compared[0].anchor}:")
        yield from _rows(HEADER[1:], [row[1:] for row in table_rows(compared)])


def _cost_lines(found: Mapping[str, Cost]) -> Iterator[str]:
    yield from ("## Cost", "", "Times are of this run: on this machine, with whatever else ran on it.")
    names = {
        "parameters": "parameters",
        "encoder_mflop_per_pixel": "encoder, MFLOP per pixel",
        "decoder_mflop_per_pixel": "decoder, MFLOP per pixel",
        "frames_per_s": "frames per s",
        "megapixels_per_s": "megapixels per s",
    }
    rows = [[contender, *(_filled(getattr(cost, name)) for name in names)] for contender, cost in found.items()]
    yield from _rows(["", *names.values()], rows)


def _filled(value: float | None) -> str:
    return "" if value is None else number(value)


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table behind an empty line, its first column to the left."""
    yield ""
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    yield from (lines[0], "|---" + "|---:" * (len(header) - 1) + "|", *lines[1:])


def _table(
    cell: str, contenders: Sequence[str], wanted: Sequence[str], found: dict[str, float], spread: dict[str, Interval]
) -> Iterator[str]:
    """Yield a Markdown table of the contenders and metrics that have values; nothing where none has."""

    def has(contender: str, metric: str) -> bool:
        return not math.isnan(found.get(f"{cell}/{contender}/{metric}", math.nan))

    rows = [name for name in contenders if any(has(name, metric) for metric in wanted)]
    columns = [metric for metric in wanted if any(has(name, metric) for name in contenders)]
    if not columns:
        return
    names = {name: [f"{cell}/{name}/{metric}" for metric in columns] for name in rows}
    values = [[name, *(_shown(found.get(n, math.nan), spread.get(n)) for n in own)] for name, own in names.items()]
    yield from _rows(["", *columns], values)


def _shown(value: float, interval: Interval | None) -> str:
    if math.isnan(value):
        return ""
    if interval is None or interval.low == interval.high:
        return number(value)
    return f"{number(value)} ({number(interval.low)} .. {number(interval.high)})"


def number(value: float) -> str:
    """Return a value with as many digits as a reader needs."""
    if value == int(value) and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"


def _list(title: str, entries: dict[str, str]) -> list[str]:
    return [f"## {title}", "", *(f"- `{name}`: {text}" for name, text in entries.items()), ""] if entries else []


def _item_lines(evaluation: Evaluation) -> Iterator[str]:
    for record in evaluation.tally.records:
        yield json.dumps(item_values(record, evaluation.source)) + "\n"


def item_values(record: Record, source: Path) -> dict[str, Any]:
    """Return one item under one contender for JSON, its name as it is below the source."""
    return {
        "index": record.index,
        "item": os.path.relpath(record.item, root_of(source)),
        "cell": record.cell,
        "contender": record.contender,
        "num_frames": record.num_frames,
        "bits_per_pixel": record.bits_per_pixel,
        "setting": record.setting,
        **record.values,
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
