"""The report of a comparison of samples with a reference: `report.json`, `report.md` and contact sheets in a folder."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from magvit2.evaluation.generation import GenerationBench
from magvit2.evaluation.generation_results import Counts, Score, compute_scores, count_items
from magvit2.evaluation.plots import Tile, draw_sheet
from magvit2.evaluation.report import number
from magvit2.evaluation.sides import KINDS, SIDES, Entry, Kind, Match, Side, SideName
from magvit2.evaluation.tally import Tally
from magvit2.store import write_text

HEADER: Final = ("all samples", "mean of parts", "std of parts", "samples", "reference")
_MAX_ROWS = 5
_TILES_A_SIDE = 3


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: what was asked for, what was found, and on what."""

    samples: Side
    reference: Side
    match: Match
    bench: GenerationBench
    settings: dict[str, Any]
    made_by: dict[str, str | int]
    tally: Tally
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is compared with what."""
        return f"{self.samples.folder} against {self.reference.folder}"

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """What every metric says."""
        return tuple(compute_scores(self.tally, self.bench.panel, self.bench.num_folds))

    @cached_property
    def counts(self) -> dict[Kind, dict[SideName, Counts]]:
        """What was seen, by kind and side."""
        return count_items(self.tally)

    @property
    def not_measured(self) -> dict[str, str]:
        """Why numbers are missing, by metric or result."""
        shortages = {name: why for score in self.scores for name, why in score.shortages.items()}
        return {**self.bench.panel.not_measured, **shortages}

    @cached_property
    def values(self) -> dict[str, Any]:
        """Everything, for JSON; what is not a number is None."""
        return {
            "title": self.title,
            "made_by": self.made_by,
            "protocol": self.protocols,
            "counts": {kind: {side: asdict(c) for side, c in by.items()} for kind, by in self.counts.items()},
            "not_measured": self.not_measured,
            "notes": list(self.all_notes),
            "results": {name: _plain(value) for score in self.scores for name, value in score.results},
            "parts": {score.name: [_plain(value) for value in score.parts] for score in self.scores if score.parts},
            "samples": {
                score.name: {"samples": score.num_samples, "reference": score.num_reference} for score in self.scores
            },
        }

    @property
    def protocols(self) -> dict[str, str]:
        """What makes each number comparable: both sides, frames, folds, arithmetic, then metric by metric."""
        return {
            "samples": self._protocol_of(self.samples),
            "reference": self._protocol_of(self.reference),
            "frames": self.settings["frames"],
            "folds": self.settings["folds"],
            "arithmetic": self.settings["arithmetic"],
            "numbers": "Fréchet distances fall with the number of samples; compare equal numbers only",
            "seed": "none; nothing is drawn",
            **self.settings["metrics"],
        }

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What was left out, and other things to know."""
        short = [
            f"{side.folder}: {count.left_out} of {count.items + count.left_out} clips are left out, as too short for "
            f"{self.bench.windows.span} frames"
            for side in (self.samples, self.reference)
            for kind, by_side in self.counts.items()
            if (count := by_side[side.name]).left_out and kind == "clips"
        ]
        return (*self.match.notes, *short, *self.notes)

    def _protocol_of(self, side: Side) -> str:
        held = ", ".join(_held(kind, by_side[side.name]) for kind, by_side in self.counts.items())
        size = self.match.sizes[side.name]
        return f"{side.scope}: {held}; of {size}; SHA-256 of names and sizes {self.settings[side.name]}"


def row_of(score: Score) -> list[float | None]:
    """Return what stands in a score's row, below HEADER; None where there is nothing."""
    return [*map(_plain, (score.value, score.mean, score.std)), score.num_samples, score.num_reference]


def write_generation_report(folder: Path, comparison: Comparison) -> None:
    """Write report.json and report.md to a folder."""
    write_text(folder / "report.md", generation_markdown(comparison))
    write_text(folder / "report.json", json.dumps(comparison.values, indent=2) + "\n")


def generation_markdown(comparison: Comparison) -> str:
    """Return the page for people: a table for each kind, what was not measured, the protocols."""
    lines = [f"# {comparison.title}", ""]
    lines += [", ".join(f"{name}: {value}" for name, value in comparison.made_by.items()), ""]
    lines += [line for note in comparison.all_notes for line in (note, "")]
    for kind, by_side in comparison.counts.items():
        held = " against ".join(_held(kind, by_side[side]) for side in SIDES)
        lines += [f"## {kind} ({held})", "", *_table(comparison.scores, kind), ""]
    missing = {name: f"not measured: {why}" for name, why in comparison.not_measured.items()}
    lines += _listed("Not measured", missing)
    lines += _listed("Protocol", comparison.protocols)
    return "\n".join(lines)


def draw_generation_sheets(folder: Path, comparison: Comparison) -> list[Path]:
    """Write `clips.png` and `images.png`, those of which there are items: samples at the left, reference at the right.

    Items are spread evenly over each side; a clip shows the first, the middle and the last frame of its first window.
    Raises MissingDependencyError without matplotlib.
    """
    written = []
    for kind in KINDS:
        left, right = (_tiles(comparison, kind, side) for side in (comparison.samples, comparison.reference))
        per_row = min(_TILES_A_SIDE, len(left), len(right))
        if per_row:
            starts = range(0, min(len(left), len(right)) - per_row + 1, per_row)
            sheet = [(f"row {n + 1}", left[s : s + per_row] + right[s : s + per_row]) for n, s in enumerate(starts)]
            path = folder / f"{kind}.png"
            draw_sheet(path, f"{kind}: samples (left), reference (right)", sheet)
            written.append(path)
    return written


def _tiles(comparison: Comparison, kind: Kind, side: Side) -> list[Tile]:
    """Return pictures of items of a side that count, spread evenly: three of a clip, one of an image."""
    counted = {record.index for record in comparison.tally.records if record.values["windows"]}
    entries = [
        entry
        for index, entry in enumerate(comparison.match.entries)
        if (entry.side, entry.kind) == (side.name, kind) and index in counted
    ]
    return [tile for entry in _spread(entries, _MAX_ROWS, kind) for tile in _tiles_of(comparison.bench, entry)]


def _spread(entries: Sequence[Entry], num_rows: int, kind: Kind) -> list[Entry]:
    count = min(len(entries), num_rows * (1 if kind == "clips" else _TILES_A_SIDE))
    return [entries[place * (len(entries) - 1) // max(1, count - 1)] for place in range(count)]


def _tiles_of(bench: GenerationBench, entry: Entry) -> Iterator[Tile]:
    window = next(bench.read(entry))
    name = entry.item.title
    chosen = [0] if len(window) == 1 else [0, len(window) // 2, len(window) - 1]
    for place in chosen:
        which = f", frame {place * bench.windows.stride}" if len(window) > 1 else ""
        yield Tile(window[place : place + 1], f"{entry.side.removesuffix('s')} {entry.number}{which}\n{name}")


def _table(scores: Sequence[Score], kind: str) -> Iterator[str]:
    yield f"| | {' | '.join(HEADER)} | parts |"
    yield "|---" + "|---:" * len(HEADER) + "|---|"
    for score in scores:
        if score.kind == kind:
            parts = ", ".join(_shown(_plain(value)) for value in score.parts if not math.isnan(value))
            yield f"| {score.metric} | {' | '.join(_shown(value) for value in row_of(score))} | {parts} |"


def _held(kind: str, counts: Counts) -> str:
    windows = f", {counts.windows} windows" if kind == "clips" else ""
    short = f", {counts.left_out} left out as too short" if counts.left_out else ""
    return f"{counts.items} {kind}{windows}{short}"


def _listed(title: str, entries: dict[str, str]) -> list[str]:
    return [f"## {title}", "", *(f"- `{name}`: {text}" for name, text in entries.items()), ""] if entries else []


def _shown(value: float | None) -> str:
    return "" if value is None else number(value)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
