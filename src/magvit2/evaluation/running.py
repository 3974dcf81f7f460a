"""Running an evaluation: alone or in several processes, in a folder that keeps its state, so that it can be resumed."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch

from magvit2.data.items import MediaItem, root_of
from magvit2.errors import InputError
from magvit2.evaluation.contenders import open_contenders
from magvit2.evaluation.parts import (
    SAVE_EVERY_S,
    Item,
    Item_contra,
    Measuring,
    Progress,
    Settings,
    load_parts,
    measure_part,
    open_state,
    part_path,
)
from magvit2.evaluation.reconstruction import Bench
from magvit2.evaluation.scores import open_panel
from magvit2.evaluation.tally import Tally, merged
from magvit2.evaluation.workers import Work, measure_in_processes
from magvit2.tokenizer import Tokenizer

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@runtime_checkable
class Opening(Protocol[Item_contra]):
    """All that a process needs to open its bench; travels to other processes as it is."""

    @property
    def threads(self) -> int | None:
        """CPU threads of each process; None: PyTorch's choice."""

    def open(self) -> Measuring[Item_contra]:
        """Load what is needed to measure."""


@dataclass(frozen=True)
class Setup:
    """Which models and metrics, on how much of each item."""

    model: str = "default"
    compare: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    nets: Path | None = None
    max_frames: int = 17
    size: int | None = None
    fit: tuple[int, int] | None = None
    batch_size: int = 1
    device: str = "cpu"
    dtype: Literal["fp32", "bf16"] = "fp32"
    threads: int | None = None

    def open(self) -> Bench:
        """Load models and networks. Raises InputError for unknown names, FormatError for damaged files."""

        def load(name: str) -> Tokenizer:
            return Tokenizer.from_pretrained(name, device=self.device, dtype=_DTYPES[self.dtype])

        panel = open_panel(self.metrics, self.nets, self.device)
        contenders = open_contenders(self.model, self.compare, load)
        return Bench(contenders, panel, self.max_frames, self.size, self.batch_size, self.fit)


def describe(setup: Setup, bench: Bench, items: Sequence[MediaItem], source: Path) -> Settings:
    """Return what the figures depend on; an evaluation is resumed only where all of it is the same."""
    return {
        "files": hash_of_list(items, source),
        "frames": bench.frames_protocol,
        "contenders": {contender.name: contender.protocol for contender in bench.contenders},
        "metrics": bench.panel.protocols,
        "arithmetic": f"{setup.dtype} on {setup.device}",
    }


def hash_of_list(items: Sequence[MediaItem], source: Path) -> str:
    """Return the SHA-256 over the items in their order: names below the source, places in tar files, kinds, sizes.

    Raises InputError where a file is missing.
    """
    digest, root = hashlib.sha256(), root_of(source)
    for item in items:
        name = os.path.relpath(item.path, root)
        if not item.path.exists():
            raise InputError(f"{item.path}: is listed, but missing")
        digest.update(f"{name}|{item.member}|{item.kind}|{item.path.stat().st_size}\n".encode())
    return digest.hexdigest()


def run(
    setup: Opening[Item],
    bench: Measuring[Item],
    items: Sequence[Item],
    settings: Settings,
    folder: Path | None = None,
    *,
    resume: bool = False,
    num_workers: int = 1,
    progress: Progress = lambda count: None,
    save_every_s: float = SAVE_EVERY_S,
) -> Tally:
    """Return the tally of all items, measured by this process or by `num_workers` others that `setup` opens.

    With a `folder` the state is kept there. Raises InputError where it holds something (unless `resume`), or, to
    resume, where it was made with other settings; and what measuring raises.
    """
    if num_workers < 1:
        raise InputError(f"workers {num_workers}: expected 1 or more")
    with tempfile.TemporaryDirectory(prefix="magvit2-") as temporary:
        state = open_state(folder, resume) if folder else Path(temporary)
        parts = load_parts(state, settings)
        done = {index for part in parts.values() for index in part.done}
        rest = [(index, item) for index, item in enumerate(items) if index not in done]

        def report(count: int) -> None:
            progress(len(done) + count)

        report(0)
        if num_workers == 1:
            path = part_path(state, 0)
            own = parts.setdefault(path, Tally())
            measure_part(bench, rest, own, path if folder else None, settings, report, save_every_s)
            return merged(parts.values())
        parts.clear()
        measure_in_processes(Work(setup.open, state, settings, save_every_s, setup.threads), rest, num_workers, report)
        return merged(load_parts(state, settings).values())
