"""How a run is watched: a progress bar on a terminal, a line now and then elsewhere. All of it on standard error."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 30.0


class Display:
    """Shows how far a run is and its last values.

    Where standard error is no terminal that is a line for the first values, one every 30 seconds, and the last.
    """

    def __init__(self, first_step: int, num_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        console = Console(stderr=True)  # standard output is for results
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=num_steps, completed=first_step, status="")
        self._num_steps = num_steps
        self._num_done = first_step
        self._status = ""
        self._clock = clock
        self._last: tuple[int, float] | None = None  # the steps done at the last line, and its time

    def start(self) -> None:
        """Show the bar."""
        self._bar.start()

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def advance(self, num_done: int) -> None:
        """Show that so many steps are done."""
        self._num_done = num_done
        self._bar.update(self._task, completed=num_done)
        is_due = self._last is not None and self._clock() - self._last[1] >= _LINE_EVERY_S
        if is_due and num_done < self._num_steps:  # the last step has new values
            self._write_line()

    def update(self, status: str) -> None:
        """Show new values."""
        self._status = status
        self._bar.update(self._task, status=status)
        if self._last is None or self._num_done == self._num_steps:
            self._write_line()

    def say(self, text: str, style: str = "yellow") -> None:
        """Write a line of its own."""
        self._bar.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def _write_line(self) -> None:
        now = self._clock()
        if self._bar.disable:
            line = f"step {self._num_done:,} of {self._num_steps:,}  {self._status}{self._pace(now)}"
            sys.stderr.write(f"{line}\n")
        self._last = self._num_done, now

    def _pace(self, now: float) -> str:
        """Return the time of a step since the last line, and what is left at that rate."""
        if self._last is None or self._num_done == self._last[0]:
            return ""
        step_s = (now - self._last[1]) / (self._num_done - self._last[0])
        left = timedelta(seconds=round(step_s * (self._num_steps - self._num_done)))
        return f"  {step_s:.3g} s a step  {left} left"
