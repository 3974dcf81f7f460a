"""Trainings of a second: a tokenizer of a few thousand parameters on two moving pictures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from magvit2.data.batches import BatchSpec
from magvit2.tokenizer import tokenizer_preset
from magvit2.training import OptimizerConfig, TokenizerTraining
from magvit2.video import write_image
from tests.data.making import write_video

TINY = TokenizerTraining(
    model=dataclasses.replace(tokenizer_preset("tiny"), base_channels=4, num_bits=6),
    batches=(
        BatchSpec("video", batch_size=2, num_frames=5, size=16),
        BatchSpec("image", batch_size=2, num_frames=1, size=16),
    ),
    num_steps=6,
    optimizer=OptimizerConfig(lr=1e-2, beta1=0.9, warmup_steps=2, max_grad_norm=1.0),
    precision="fp32",
    ema_decay=0.9,
    num_workers=0,
    log_every=1,
    sample_every=3,
    validate_every=0,
    checkpoint_every=3,
)


def make_pictures(source: Path) -> Path:
    """A source of two videos of 7 frames and one image, with something to see in them."""
    y, x = np.mgrid[0:16, 0:24]
    for number in range(2):
        frames = [np.stack([9 * x + 4 * t, 12 * y, 128 + 90 * np.sin((x + y + t) / 3 + number)], -1) for t in range(7)]
        write_video(source / "clips" / f"{number}.mkv", np.stack(frames).clip(0, 255).astype(np.uint8))
    write_image(source / "photos" / "0.png", np.stack([10 * x, 15 * y, 5 * x + 5 * y], -1).astype(np.uint8))
    return source


def journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal, without the time that each took."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "step_s"} for line in lines]


def results(folder: Path) -> dict[str, bytes]:
    """What a run leaves besides its journal: its model, its last checkpoint and its pictures, byte for byte.

    Of its videos only that they are there: H.264 comes out of its encoder's threads with another byte now and then.
    """
    wanted = [*folder.glob("model/*"), *folder.glob("checkpoints/step-*/*"), *folder.glob("samples/*")]
    return {str(path.relative_to(folder)): b"" if path.suffix == ".mp4" else path.read_bytes() for path in wanted}
