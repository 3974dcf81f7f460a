"""What a run shows in TensorBoard; the only door to it."""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import MissingDependencyError
from magvit2.training.samples import FPS
from magvit2.video.animation import encode_gif


def check_board() -> None:
    """Raise MissingDependencyError where TensorBoard's writer is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("tensorboard=true needs its writer: pip install 'magvit2[tensorboard]'") from error


class Board:
    """Writes scalars, pictures and clips to event files in a folder, each under `KIND/NAME` at the step that it is of.

    What an earlier process of the run wrote of `first_step` and later steps is struck out: it is not shown.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        check_board()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def scalars(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Add the values of a step."""
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, step: int, tag: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Add a picture."""
        self._writer.add_image(tag, picture, step, dataformats="HWC")

    def clip(self, step: int, tag: str, frames: UInt8[np.ndarray, "T H W 3"]) -> None:
        """Add a clip as an animated GIF, which TensorBoard's page of images plays.

        The writer's own `add_video` does the same through moviepy.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        _, height, width, _ = frames.shape
        gif = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encode_gif(frames, FPS))
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=gif)]), step)


def open_board(folder: Path, first_step: int, *, is_wanted: bool) -> contextlib.AbstractContextManager[Board | None]:
    """Return the board of a run, or nothing where none is wanted."""
    return Board(folder, first_step) if is_wanted else contextlib.nullcontext()
