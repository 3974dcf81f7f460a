"""What verbs share: options of those that run a model, progress bars, tables and JSON."""

import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from tyro.conf import arg

from magvit2.errors import InputError

if TYPE_CHECKING:
    import torch

    from magvit2.pipelines import Progress as Report
    from magvit2.tokenizer import Tokenizer

Threads = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: PyTorch's choice)")]
Tile = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: whole frames)")]
Json = Annotated[bool, arg(help_behavior_hint="")]

DATA_VARIABLE = "MAGVIT2_DATA"
Nets = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=f"(default: nets in {DATA_VARIABLE}, if set)")]


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, and where."""

    model: Annotated[str, arg(metavar="MODEL")] = "default"
    """embedded name, model folder, or owner/name on the hub."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """where it runs: cpu, cuda, cuda:1, ..."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """type of its arithmetic; bf16 is the fast one."""
    threads: Threads = None
    """CPU threads."""
    json: Json = False
    """print machine-readable results instead of tables."""


Options = Annotated[ModelOptions, arg(name="")]  # without a name its fields stand among the verb's own options


def nets_folder(given: Path | None) -> Path | None:
    """Return the folder of networks: the one given, the data folder's, or none. Raises InputError where it is none."""
    if given is not None and not given.is_dir():
        raise InputError(f"--nets {given}: not a folder; give the one that holds the networks' files")
    usual = Path(os.environ[DATA_VARIABLE]) / "nets" if os.environ.get(DATA_VARIABLE) else None
    return given or (usual if usual is not None and usual.is_dir() else None)


def load_tokenizer(options: ModelOptions) -> "Tokenizer":
    """Return the tokenizer that the options name, ready to run. Raises InputError for a device that is not there."""
    import torch

    from magvit2.tokenizer import Tokenizer

    tune_process(options.threads)
    device = find_device(options.device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[options.dtype]
    return Tokenizer.from_pretrained(options.model, device=device, dtype=dtype)


def find_device(name: str) -> "torch.device":
    """Return the device called `name`. Raises InputError where it cannot compute."""
    import torch

    expected = "expected cpu, cuda, cuda:1, ..."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name}: there is no such device; {expected}") from error
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: cannot be used here ({reason}); {expected}") from error
    return device


def tune_process(threads: int | None) -> None:
    """Set up this process for speed, on so many CPU threads if given. Raises InputError below 1."""
    from magvit2.runtime import tune

    check_at_least_one("--threads", threads)
    tune(threads)


def check_output(path: Path, source: Path) -> None:
    """Raise InputError where `path` cannot be written: its folder is missing or closed to us, or it is `source`."""
    if path.suffix and path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: permission denied to write in {path.parent}; choose another place")
    if path.exists() and path.samefile(source):
        raise InputError(f"{path}: is the input itself; give another name to write")


def check_token_file(path: Path) -> None:
    """Raise InputError where `path` is not there or is not named like a token file."""
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: token files end in .safetensors; expected one written by `magvit2 encode`")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the name")


def check_at_least_one(option: str, value: int | None) -> None:
    """Raise InputError where a count that was given is below 1."""
    if value is not None and value < 1:
        raise InputError(f"{option} {value}: expected 1 or more")


@contextlib.contextmanager
def progress_bars(unit: str = "frames") -> Iterator[Callable[[str, int | None], "Report"]]:
    """Show bars on standard error with rate and time left; yields the function that adds one, given label and total.

    Nothing is shown where standard error is no terminal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

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
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(Text(name), Text(format_value(value)))  # Text: a name may hold [brackets]
    _print(title, table)


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table with a header."""
    table = Table()
    for index, name in enumerate(header):
        table.add_column(Text(name), justify="right" if index else "left")
    for row in rows:
        table.add_row(*(Text(format_value(value)) for value in row))
    _print(title, table)


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


def _print(title: str, table: Table) -> None:
    """Print in a terminal's own width; files and pipes get lines that are not folded."""
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(Text(title, style="italic"), soft_wrap=True)
    console.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
