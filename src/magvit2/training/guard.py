"""What is done about losses that are not finite: such steps are left out, but not for long, and never saved."""

from pathlib import Path

from magvit2.errors import TrainingError
from magvit2.training.checkpoint import latest_checkpoint


class BadSteps:
    """Counts steps in a row that were left out, and ends the run at the `most`-th of them, or at its last step."""

    def __init__(self, most: int, checkpoints: Path) -> None:
        self._most = most
        self._checkpoints = checkpoints
        self._count = 0

    @property
    def is_sound(self) -> bool:
        """Whether the last step went well: if not, the weights may be beyond saving, and are not saved."""
        return self._count == 0

    def check(self, step: int, problem: str, *, is_last: bool) -> None:
        """Count a step; `problem` is "" for one that went well. Raises TrainingError, naming the last good state."""
        self._count = self._count + 1 if problem else 0
        if self._count < self._most and not (problem and is_last):
            return
        last = latest_checkpoint(self._checkpoints)
        saved = f"the last good state is {last}" if last else "nothing was saved yet"
        raise TrainingError(
            f"step {step}: {problem}, for {self._count} steps in a row; {saved}; start again in another folder with a "
            "lower optimizer.lr, or from a saved model (--set initial=FOLDER)"
        )
