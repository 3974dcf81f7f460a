"""The journal of a run: a JSON line for each logged step and each validation, samples, and files that were left out."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from magvit2.data.batches import Skipped
from magvit2.errors import MissingDependencyError, errors_as_output
from magvit2.store import write_text
from magvit2.training.board import Board
from magvit2.training.display import Display
from magvit2.training.samples import moving_sheet, still_sheet, write_video
from magvit2.video import write_image

VALIDATION = "validation"
"""The `kind` of a validation's line; every other line is of a batch, and says of which kind."""


class Journal:
    """Writes `metrics.jsonl`, `skipped.jsonl` and `samples/` in a run's folder, and shows what comes on standard error.

    Values and samples also go to a board, if there is one.
    """

    def __init__(
        self,
        folder: Path,
        first_step: int,
        num_steps: int,
        board: Board | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._path, self._skipped_path = folder / "metrics.jsonl", folder / "skipped.jsonl"
        _keep_before(self._path, first_step)
        self._skipped = {line["path"] for line in _keep_before(self._skipped_path, first_step)}
        self._next_step, self._num_steps = first_step, num_steps
        self._board = board
        self._display = Display(first_step, num_steps, clock)
        self._has_video = True
        self._clock = clock
        self._last_s = clock()

    def __enter__(self) -> Self:
        self._display.start()
        self._last_s = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def advance(self, step: int) -> None:
        """Show that a step is done."""
        self._display.advance(step + 1)

    def log(self, step: int, kind: str, values: dict[str, float], shown: str) -> None:
        """Write the values of a batch of a step, and the mean time of the steps since the last call; show a few."""
        now, num_steps = self._clock(), step + 1 - self._next_step
        values = {**values, "step_s": round((now - self._last_s) / num_steps, 4)}
        self._last_s, self._next_step = now, step + 1
        self._write(step, kind, values)
        self._display.update(shown)

    def log_validation(self, step: int, values: dict[str, float], shown: str, *, is_best: bool) -> None:
        """Write what a validation after a step gave, and say how good the model is in a few words."""
        self._write(step, VALIDATION, values)
        best = ", the best so far" if is_best else ""
        place = f"step {step + 1:,} of {self._num_steps:,}"
        self._display.say(f"{place}: {shown} on held-out items{best}", style="")

    def warn(self, step: int, message: str) -> None:
        """Say on standard error what was wrong at a step."""
        self._display.say(f"step {step}: {message}")

    def skip(self, step: int, skipped: Sequence[Skipped]) -> None:
        """Name files that were left out at a step, each once in a run: on standard error and in `skipped.jsonl`."""
        for path, reason in skipped:
            if path in self._skipped:
                continue
            self._skipped.add(path)
            with errors_as_output(self._skipped_path), self._skipped_path.open("a") as file:
                file.write(json.dumps({"step": step, "path": path, "reason": reason}) + "\n")
            self.warn(step, f"{path}: {reason}; left out (files left out so far: {len(self._skipped)})")

    def samples(
        self, step: int, kind: str, originals: Float[Tensor, "b 3 T H W"], decoded: Float[Tensor, "b 3 T H W"]
    ) -> None:
        """Write samples of a step: a picture and, of clips, a video, which needs PyAV; without it that is said once."""
        sheet, path = moving_sheet(originals, decoded), self.folder / "samples" / f"step-{step + 1:08d}"
        picture = still_sheet(sheet, len(originals))
        write_image(path.with_suffix(".png"), picture)
        if self._board is not None:
            self._board.picture(step, f"{kind}/samples", picture)
        if len(sheet) == 1:
            return
        if self._board is not None:
            self._board.clip(step, f"{kind}/clips", sheet)
        if self._has_video:
            try:
                write_video(path.with_suffix(".mp4"), sheet)
            except MissingDependencyError as error:
                self._has_video = False
                self.warn(step, f"no videos in samples ({error})")

    def _write(self, step: int, kind: str, values: dict[str, float]) -> None:
        with errors_as_output(self._path), self._path.open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        if self._board is not None:
            self._board.scalars(step, kind, values)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file that a journal has written; the last may be cut where the run was killed."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def _keep_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop the lines that an interrupted run wrote beyond its checkpoint; return those that stay."""
    if not path.exists():
        return []
    kept = [line for line in read_journal(path) if line["step"] < step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept
