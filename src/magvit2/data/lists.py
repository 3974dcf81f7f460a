"""Lists of media: tables of paths with what is known of each file, as CSV with a header or as JSON lines.

    path,split,label                        {"path": "a/1.mp4", "split": "train", "label": "walk"}
    a/1.mp4,train,walk                      {"path": "../more/b.png", "kind": "image"}

`path` is relative to the list's folder, or absolute. The rest is optional: kind, split, label, group, frames. Other
columns are left alone. A list says of every row which split it belongs to, or of none.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from magvit2.errors import InputError

LIST_SUFFIXES = (".csv", ".jsonl")


class Row(NamedTuple):
    """One line of a list; what it does not say is empty. `place` is the file and the line, for messages."""

    place: str
    path: str
    kind: str
    split: str
    label: str
    group: str
    num_frames: int | None


def is_list(path: Path) -> bool:
    """Whether `path` is a file that is named like a list."""
    return path.suffix.lower() in LIST_SUFFIXES and path.is_file()


def read_list(path: Path, required: Sequence[str] = ("path",)) -> list[Row]:
    """Return the rows of a list in their order; a CSV must have the columns `required`.

    Raises InputError, naming the line, for what is no table, and where only some rows have a split.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark of the byte order
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    is_csv = path.suffix.lower() == ".csv"
    lines = _csv_lines(path, text, required) if is_csv else _json_lines(path, text)
    rows = [_row(f"{path}, line {number}", values) for number, values in lines]
    bare = next((row for row in rows if not row.split), None)
    if bare is not None and any(row.split for row in rows):
        raise InputError(f"{bare.place}: has no split, and other rows have one; give all of them one, or none")
    return rows


def has_splits(rows: Sequence[Row]) -> bool:
    """Whether a list says which split its rows belong to."""
    return any(row.split for row in rows)


def _csv_lines(path: Path, text: str, required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = [column for column in required if column not in (reader.fieldnames or [])]
        if missing:
            raise InputError(
                f"{path}: the columns {', '.join(missing)} are missing; expected {', '.join(required)}, ..."
            )
        for values in reader:
            if None in values:
                raise InputError(
                    f"{path}, line {reader.line_num}: has more fields than the header; put text with commas in quotes"
                )
            yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise InputError(f'{path}, line {number}: expected an object such as {{"path": "a.mp4"}}')
        yield number, values


def _row(place: str, values: Mapping[str, Any]) -> Row:
    names = ("path", "kind", "split", "label", "group", "frames")
    path, kind, split, label, group, frames = (_text(place, name, values.get(name)) for name in names)
    if not path:
        raise InputError(f"{place}: has no path")
    if frames and not frames.isdecimal():
        raise InputError(f"{place}: frames {frames!r}: expected a whole number, or nothing")
    return Row(place, path, kind, split, label, group, int(frames) if frames else None)


def _text(place: str, name: str, value: object) -> str:
    if isinstance(value, str | int | float) or value is None:
        return "" if value is None else str(value)
    raise InputError(f"{place}: {name} is {json.dumps(value)}; expected text")
