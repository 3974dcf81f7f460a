"""What a benchmark returns: tables of numbers, the machine they hold for, and notes; as text and as JSON."""

import argparse
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from magvit2.benchmarks.measure import Setup
from magvit2.evaluation.provenance import provenance

Row = dict[str, Any]

_MAX_WIDTH = 120


@dataclass
class Report:
    """Tables by name, each a list of rows with the same keys; `notes` say what is missing and why."""

    benchmark: str
    machine: Row
    tables: dict[str, list[Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"benchmark": self.benchmark, "machine": self.machine, **self.tables, "notes": self.notes}

    def as_text(self) -> str:
        """Everything, for people."""
        lines = [", ".join(f"{name}: {value}" for name, value in self.machine.items())]
        for name, rows in self.tables.items():
            lines += ["", name, *_table(rows)]
        return "\n".join([*lines, *self.notes])


def describe_machine(setup: Setup) -> Row:
    """Return what the numbers depend on: processor, threads, repeats, versions, commit and date."""
    found: Row = dict(provenance(setup.device))
    return found | {"threads": setup.threads or found["threads"], "repeats": setup.repeats}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share, for `python -m`."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--json", action="store_true")
    return options


def setup_of(options: argparse.Namespace) -> Setup:
    """Return what the shared options say."""
    return Setup(options.device, options.threads, options.repeats)


def show(report: Report, as_json: bool) -> None:
    """Print a report."""
    text = json.dumps(report.as_dict(), indent=2) if as_json else report.as_text()
    sys.stdout.write(text + "\n")


def _table(rows: list[Row]) -> list[str]:
    """Return the lines of a table; one that is too wide is turned on its side."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    cells = [header, *([_cell(row.get(key)) for key in header] for row in rows)]
    lines = _aligned(cells)
    return lines if len(lines[0]) <= _MAX_WIDTH else _aligned([list(column) for column in zip(*cells, strict=True)])


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return str(value)
