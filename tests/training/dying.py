"""Trainings that die as by `kill -9`, each just before a change of its folder: ... dying RECIPE SOURCE ROOT MOMENTS...

First a run lives to its end in ROOT/straight. Then there is a run in ROOT/killed-0, ... for each of MOMENTS, which are
such as 0.2,0.9: it dies after a fifth of as many changes as the first run made, is started again, dies again, and is
started once more. `all` stands for one run for each change that there was, which dies once, just before it. Changes are
files opened for writing, renamed or removed, and folders made or removed, in the order of the run: a moment is the same
each time.

A process that has loaded everything is cloned for each life. After each death the checkpoints are looked at. Prints for
each life its run, the number of its changes, the last of them, and the checkpoints.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from magvit2.schema import read_json
from magvit2.training import TokenizerTraining, train_tokenizer
from magvit2.training.checkpoint import load_checkpoint
from magvit2.training.tokenizer import start

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class Reaper:
    """An audit hook that counts the changes of a folder, and kills its process before the `number`-th of them."""

    def __init__(self, folder: Path, number: int, say: Callable[[int, str], None]) -> None:
        self._folder, self._number, self._say, self._pid = str(folder), number, say, os.getpid()
        self.count = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or os.getpid() != self._pid or not self._is_change(event, arguments):
            return
        self.count += 1
        if self.count == self._number:
            self._say(self.count, f"{event} {Path(str(arguments[0])).name}")
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_change(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return False
        is_below_a_descriptor = event in ("os.remove", "os.rmdir") and arguments[1] >= 0  # as rmtree goes down
        return is_below_a_descriptor or str(arguments[0]).startswith(self._folder)


def live(config: TokenizerTraining, source: Path, folder: Path, number: int) -> int:
    """Train in a clone of this process until it dies before the `number`-th change; return how many there were."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _live(config, source, folder, number, lambda *words: os.write(writing, json.dumps(words).encode()))
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"{folder}: status {status}"
    count, what = json.loads(os.read(reading, 1000))
    os.close(reading)
    os.close(writing)
    say = f"{folder.name} {count} {what} {check_checkpoints(config, folder)}"
    os.write(1, f"{say}\n".encode())
    return count


def _live(
    config: TokenizerTraining, source: Path, folder: Path, number: int, say: Callable[[int, str], None]
) -> NoReturn:
    try:
        reaper = Reaper(folder, number, say)
        sys.addaudithook(reaper)
        train_tokenizer(config, source, folder)
        say(reaper.count, "the end")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def check_checkpoints(config: TokenizerTraining, folder: Path) -> list[str]:
    """Load every checkpoint of a run, as one does that goes on; return their names. Raises FormatError."""
    found = sorted((folder / "checkpoints").glob("step-*"))
    for checkpoint in found:
        step = load_checkpoint(checkpoint, start(config, "cpu"))
        assert checkpoint.name == f"step-{step:08d}"
    return [checkpoint.name for checkpoint in found]


def main(recipe: str, source: str, root: str, *moments: str) -> None:
    config = read_json(TokenizerTraining, Path(recipe))
    total = live(config, Path(source), Path(root) / "straight", 0)
    lives = [[1 + int(float(moment) * total) for moment in each.split(",")] for each in moments if each != "all"]
    if "all" in moments:
        lives += [[number] for number in range(1, total + 1)]
    for index, numbers in enumerate(lives):
        for number in [*numbers, 0]:
            live(config, Path(source), Path(root) / f"killed-{index}", number)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
