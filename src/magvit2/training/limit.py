"""A limit to a run's wall time, from the start of its process: it saves and stops in time, and goes on another day."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magvit2.errors import ConfigError

_FORGETTING = 0.98  # of the longest step, at each step
_MAX_START_S = 600.0


class TimeLimit:
    """Says at the end of each step whether it is time to save and stop, so that the process ends within `seconds`.

    `spent_s` are those that the process has had already. What is kept free is the longest step of late, without the
    very first, twice the last save (a twentieth of the limit before there was one), the last validation, and up to 8
    seconds for workers and interpreter to end. Without `seconds` it is never time. Raises ConfigError for 0 or less.
    """

    def __init__(
        self, seconds: float | None = None, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if seconds is not None and seconds <= 0:
            raise ConfigError(f"time limit {seconds}: expected more than 0 seconds")
        self._clock = clock
        self._end_s = math.inf if seconds is None else clock() - spent_s + seconds
        self._last_s: float | None = None
        self._longest_step_s = 0.0
        self._save_s = 0.025 * (seconds or 0.0)
        self._validation_s = 0.0
        self._closing_s = min(8.0, 0.1 * (seconds or 0.0))

    def is_reached(self) -> bool:
        """Note that a step is done, and return whether another one would leave too little time."""
        now = self._clock()
        step_s = 0.0 if self._last_s is None else now - self._last_s
        self._longest_step_s = max(step_s, _FORGETTING * self._longest_step_s)
        self._last_s = now
        needed_s = self._longest_step_s + self._validation_s + 2 * self._save_s + self._closing_s
        return now + needed_s >= self._end_s

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time the block, which validates: it is no part of a step."""
        start_s = self._clock()
        yield
        self._validation_s = self._clock() - start_s
        if self._last_s is not None:
            self._last_s += self._validation_s

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time the block, which saves the run."""
        start_s = self._clock()
        yield
        self._last_s = self._clock()
        self._save_s = self._last_s - start_s


def process_age_s() -> float:
    """Return the seconds since this process began; 0 where the system does not tell, or tells of another beginning."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        start_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5): ticks since the machine started
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - start_s
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return age_s if 0 <= age_s < _MAX_START_S else 0.0
