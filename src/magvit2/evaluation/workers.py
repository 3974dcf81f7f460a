"""Measuring in several processes: each opens a bench of its own and takes every n-th item."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic

from magvit2.errors import Magvit2Error
from magvit2.evaluation.parts import Item, Measuring, Progress, Settings, measure_part, part_path
from magvit2.evaluation.tally import Tally
from magvit2.runtime import tune

_POLL_S = 0.1


@dataclass(frozen=True)
class Work(Generic[Item]):
    """What every process is told; `open_bench` must be a function that travels: of a module, or a dataclass's."""

    open_bench: Callable[[], Measuring[Item]]
    state: Path
    settings: Settings
    save_every_s: float
    threads: int | None = None


def measure_in_processes(
    work: Work[Item], items: Sequence[tuple[int, Item]], num_workers: int, progress: Progress
) -> None:
    """Measure items into the parts of `work.state`. Raises Magvit2Error as soon as one process fails."""
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    try:
        for number in range(min(num_workers, len(items))):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_measure_share, args=(work, items[number::num_workers], number, theirs), daemon=True
            )
            process.start()
            theirs.close()
            workers.append(_Worker(process, ours))
        is_going_on = True
        while is_going_on:
            is_going_on = any([worker.listen() for worker in workers])  # noqa: C419 - all are listened to
            progress(sum(worker.count for worker in workers))
            time.sleep(_POLL_S if is_going_on else 0)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process, as its parent sees it."""

    def __init__(self, process: Any, messages: Connection) -> None:
        self.count = 0
        self._process = process
        self._messages = messages
        self._is_done = False

    def listen(self) -> bool:
        """Take what the process has said; return whether it goes on. Raises Magvit2Error where it failed."""
        is_alive = self._process.is_alive()  # asked first: what was said before the end is still to be read
        try:
            while not self._is_done and self._messages.poll():
                self._take(self._messages.recv())
        except EOFError:
            is_alive = False
        if not self._is_done and not is_alive:
            self._process.join()
            raise Magvit2Error(f"a worker ended unexpectedly (exit code {self._process.exitcode}); --resume goes on")
        return not self._is_done

    def stop(self) -> None:
        """End the process, if it still runs."""
        if not self._is_done:
            self._process.terminate()
        self._process.join()

    def _take(self, message: int | str) -> None:
        if message == "":
            self._is_done = True
        elif isinstance(message, str):
            raise Magvit2Error(message)
        else:
            self.count = message


def _measure_share(work: Work[Item], items: Sequence[tuple[int, Item]], number: int, out: Connection) -> None:
    """Measure one part in a process of its own; say how many items are done, "" at the end, or what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    parent = os.getppid()

    def progress(count: int) -> None:
        if os.getppid() != parent:  # it was killed: another one may resume into the same files
            raise SystemExit(1)
        out.send(count)

    path = part_path(work.state, number)
    try:
        tune(work.threads)
        tally = Tally.load(path)[0] if path.exists() else Tally()
        measure_part(work.open_bench(), items, tally, path, work.settings, progress, work.save_every_s)
        out.send("")
    except Magvit2Error as error:
        out.send(str(error))
    except Exception as error:
        out.send(f"a worker failed: {type(error).__name__}: {error}")
