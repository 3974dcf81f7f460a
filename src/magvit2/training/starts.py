"""The starts of a run: what each process was told, which source and machine it ran on, and which data it found."""

import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from magvit2 import __version__
from magvit2.data.items import INDEX_NAME, MediaItem, root_of
from magvit2.data.lists import is_list
from magvit2.errors import FormatError
from magvit2.machine import cpu_name, source_version
from magvit2.store import write_text
from magvit2.training.distributed import world_size

_SPLIT = "train"


class Data(NamedTuple):
    """What a run trains on: where it is, how many items it has, and a hash of what they are called (`data_hash`)."""

    path: Path
    num_items: int
    sha256: str


def note_start(path: Path, data: Data, first_step: int, device: str) -> str:
    """Add a start to the list in the JSON file `path`, which is made if it is missing.

    Returns a warning where the data are others than at the start before, else "". Raises FormatError for a file that is
    no such list.
    """
    starts = _read(path)
    start = _facts(data, first_step, device)
    write_text(path, json.dumps([*starts, start], indent=2) + "\n")
    before = starts[-1]["data"] if starts else start["data"]
    if before["sha256"] == start["data"]["sha256"]:
        return ""
    return (
        f"the data are others than at the last start ({start['data']['num_items']} items, there were "
        f"{before['num_items']}): batches from here on are not those of one run"
    )


def data_hash(source: Path, items: Sequence[MediaItem]) -> str:
    """Return the SHA-256 of what a source's items are called and how large they are, but not of what is in them.

    Of each item, in the order of their bytes, a line of name relative to the source (of a member of a tar file, "@" and
    where it begins behind it), size in bytes and split; then the bytes of the list or of the `index.csv`, if there is
    one.
    """
    root = root_of(source)
    size_of = cache(lambda path: path.stat().st_size)
    digest = hashlib.sha256()
    digest.update(b"".join(sorted(_line(item, root, size_of) for item in items)))
    table = source if is_list(source) else source / INDEX_NAME
    if table.is_file():
        digest.update(table.read_bytes())
    return digest.hexdigest()


def files_hash(source: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 of a source's files by a line of name and size in bytes each, in the order of their bytes."""
    lines = [os.fsencode(f"{os.path.relpath(path, source)}\t{path.stat().st_size}\n") for path in files]
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def _line(item: MediaItem, root: Path, size_of: Any) -> bytes:
    name, size = os.path.relpath(item.path, root), item.member[1] if item.member else size_of(item.path)
    member = f"@{item.member[0]}" if item.member else ""
    return os.fsencode(f"{name}{member}\t{size}\t{_SPLIT}\n")


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        starts: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        starts[-1]["data"]["sha256"], starts[-1]["data"]["num_items"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FormatError(f"{path}: is no list of a run's starts ({error}); move it away") from error
    return starts


def _facts(data: Data, first_step: int, device: str) -> dict[str, Any]:
    is_gpu = torch.device(device).type == "cuda"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "command": shlex.join(sys.orig_argv),
        "first_step": first_step,
        "source": source_version(),
        "versions": {
            "magvit2": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "gpu": torch.cuda.get_device_name(device) if is_gpu else None,
        },
        "num_processes": world_size(),
        "num_threads": torch.get_num_threads(),
        "data": {"path": str(data.path), "num_items": data.num_items, "sha256": data.sha256},
    }
