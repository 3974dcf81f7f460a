"""What verbs share: options of those that run a model, progress bars, tables and JSON."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from magvit2.errors import InputError

if TYPE_CHECKING:
    from magvit2.pipelines import Progress as Report
    from magvit2.tokenizer import Tokenizer


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, and where."""

    model: str = "default"
    """Embedded name, model folder, or owner/name on the hub."""
    device: str = "cpu"
    """Where it runs: cpu, cuda, cuda:1, ..."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Type of its arithmetic; bf16 is the fast one."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""
    json: bool = False
    """Print machine-readable results instead of tables."""


def load_tokenizer(options: ModelOptions) -> "Tokenizer":
    """Return the tokenizer that the options name, ready to run. Raises InputError for a device that is not there."""
    import torch

    from magvit2.tokenizer import Tokenizer

    set_threads(options.threads)
    try:
        device = torch.device(options.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {options.device!r} cannot be used here ({str(error).splitlines()[0]})") from error
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[options.dtype]
    return Tokenizer.from_pretrained(options.model, device=device, dtype=dtype)


def set_threads(threads: int | None) -> None:
    """Use so many CPU threads. Raises InputError below 1."""
    import torch

    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads {threads}: expected 1 or more")
    torch.set_num_threads(threads)


def check_output(path: Path) -> None:
    """Raise InputError where `path` cannot become a file: its folder is missing or it is a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")


@contextlib.contextmanager
def progress_bars(unit: str = "frames") -> Iterator[Callable[[str, int | None], "Report"]]:
    """Show bars on standard error with rate and time left; yields the function that adds one, given label and total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def add(label: str, total: int | None) -> "Report":
            task = progress.add_task(label, total=total)
            return lambda count: progress.update(task, completed=count)

        yield add


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s")


def show(title: str, rows: Mapping[str, Any], as_json: bool) -> None:
    """Print one result: a table of names and values, or JSON."""
    if as_json:
        show_json(dict(rows))
        return
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, format_value(value))
    _console().print(table)


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table with a header."""
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(format_value, row))
    _console().print(table)


def show_json(value: Any) -> None:
    """Print JSON; what is not a number becomes null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2) + "\n")


def format_value(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple | list):
        return " x ".join(str(part) for part in value)
    return "-" if value is None else str(value)


def _console() -> Console:
    """A terminal's own width; files and pipes get lines that are not folded."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
