"""Parts of an evaluation on disk: each process keeps what it has measured in one file, written atomically.

`state/part-N.safetensors` holds accumulators as tensors, the records, and the settings that they hold for. A part is
what its file says and nothing else, so parts are disjoint whenever a process was killed; to resume is to measure what
no part holds, with any number of processes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from magvit2.errors import InputError, errors_as_output
from magvit2.evaluation.tally import Tally
from magvit2.store import remove_leftovers

STATE_FOLDER = "state"
SAVE_EVERY_S = 30.0
_MAX_SHARE_OF_SAVING = 0.1

Settings = dict[str, Any]
Progress = Callable[[int], None]
"""Called with the number of items that are done."""

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)


@runtime_checkable
class Measuring(Protocol[Item_contra]):
    """What items are measured with, in this process."""

    def measure(self, items: Sequence[tuple[int, Item_contra]], tally: Tally) -> Iterator[int]:
        """Measure items one after another into `tally`; yield an item's index as soon as it is counted."""


def part_path(state: Path, number: int) -> Path:
    """Return the file of a process's part."""
    return state / f"part-{number}.safetensors"


def open_state(folder: Path, resume: bool) -> Path:
    """Return the folder of the parts in a report's folder.

    Raises InputError for a folder that holds something, unless `resume` and it holds an evaluation.
    """
    state = folder / STATE_FOLDER
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    is_empty = not folder.exists() or not any(folder.iterdir())
    if not is_empty and not resume:
        raise InputError(f"{folder}: is not empty; give --resume to go on with it, or another folder")
    if not is_empty and not state.is_dir():
        raise InputError(f"{folder}: holds no evaluation to resume; give another folder")
    with errors_as_output(state):
        state.mkdir(parents=True, exist_ok=True)
        remove_leftovers(state)
    return state


def load_parts(state: Path, settings: Settings) -> dict[Path, Tally]:
    """Return all parts by file. Raises InputError where one was made with other settings, FormatError for damage."""
    parts = {}
    for path in sorted(state.glob("part-*.safetensors")):
        parts[path], found = Tally.load(path)
        check_same(found, settings, path.parent.parent)
    return parts


def check_same(found: Settings, wanted: Settings, folder: Path) -> None:
    """Raise InputError where settings differ from those of a part that was found, naming the first that does."""
    for key, one, two in _pairs(found, wanted):
        if one != two:
            raise InputError(f"{folder}: {key} was {one!r}, now {two!r}; resume with the same, or give another folder")


def _pairs(found: Settings, wanted: Settings, above: str = "") -> list[tuple[str, Any, Any]]:
    """Return (name, found, wanted) of all settings, those of inner tables one by one, and the tables' orders."""
    pairs: list[tuple[str, Any, Any]] = []
    for key in dict.fromkeys([*wanted, *found]):
        one, two = found.get(key), wanted.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            pairs += [*_pairs(one, two, f"{above}{key}: "), (f"order of {key}", list(one), list(two))]
        else:
            pairs.append((f"{above}{key}", one, two))
    return pairs


def measure_part(
    bench: Measuring[Item],
    items: Sequence[tuple[int, Item]],
    tally: Tally,
    path: Path | None,
    settings: Settings,
    progress: Progress,
    save_every_s: float = SAVE_EVERY_S,
) -> None:
    """Measure items into `tally`, writing it to `path` (if any) now and then, at the end at the latest."""
    next_save = time.monotonic() + save_every_s
    for count, _ in enumerate(bench.measure(items, tally), 1):
        start = time.monotonic()
        if path is not None and start >= next_save:
            tally.save(path, settings)
            end = time.monotonic()
            next_save = end + (max(save_every_s, (end - start) / _MAX_SHARE_OF_SAVING) if save_every_s else 0)
        progress(count)
    if path is not None and items:
        tally.save(path, settings)
