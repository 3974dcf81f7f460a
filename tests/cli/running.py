"""Running the command line inside the test's process, and media that are bad in every known way."""

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from magvit2.cli import main
from magvit2.pipelines import write_frames


@dataclass(frozen=True)
class Result:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that a failure is: on standard error, beginning with the program's name."""
        assert self.code == 1, (self.code, self.err)
        assert self.err.startswith("magvit2: "), self.err
        assert self.err.count("\n") == 1 and self.err.endswith("\n"), self.err
        assert "unexpected" not in self.err, self.err
        assert self.out == ""
        return self.err.removeprefix("magvit2: ").rstrip("\n")


def run(*words: object) -> Result:
    """Run `magvit2 WORDS...` here."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Result(code, out.getvalue(), err.getvalue())


def done(*words: object) -> str:
    """Run a command that must end well and say nothing on standard error; return what it printed."""
    result = run(*words)
    assert (result.code, result.err) == (0, ""), (result.code, result.err)
    return result.out


def save_clip(path: Path, frames: Iterable[np.ndarray], fps: Fraction = Fraction(25)) -> Path:
    """Write a clip without loss; return its path."""
    write_frames(path, frames, fps, lossless=True)
    return path


def tree(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
