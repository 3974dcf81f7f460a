"""Kills: a training that is killed again and again, wherever it is, ends as one that never was."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.batches import BatchSpec
from magvit2.schema import to_dict
from magvit2.store import TENSORS_NAME
from magvit2.tokenizer import TokenizerConfig
from magvit2.training import OptimizerConfig, TokenizerTraining
from magvit2.video import write_image

NUM_KILLS = 12
MODEL = TokenizerConfig(
    num_bits=6,
    base_channels=4,
    channel_multipliers=(1, 2),
    temporal_downsample=(True,),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=0,
    norm="position",
)


@pytest.mark.soak
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe, data = tmp_path / "recipe.json", tmp_path / "data"
    recipe.write_text(json.dumps(to_dict(_training())))
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        write_image(data / f"{number}.png", picture)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert _train(recipe, data, straight).wait() == 0
    chance = random.Random(0)
    for _ in range(NUM_KILLS):
        process = _train(recipe, data, killed)
        time.sleep(chance.uniform(1.5, 6))
        process.kill()
        process.wait()
    assert _train(recipe, data, killed).wait() == 0
    assert (killed / "model" / TENSORS_NAME).read_bytes() == (straight / "model" / TENSORS_NAME).read_bytes()
    assert _losses(killed) == _losses(straight)
    assert not list(killed.rglob("*.partial"))


def _training() -> TokenizerTraining:
    return TokenizerTraining(
        model=MODEL,
        batches=(BatchSpec("motion", 2, 3, 16), BatchSpec("image", 4, 1, 16)),
        num_steps=400,
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=5),
        precision="fp32",
        log_every=1,
        sample_every=100,
        checkpoint_every=20,
    )


def _train(recipe: Path, data: Path, out: Path) -> subprocess.Popen[bytes]:
    script = "from magvit2.cli import main; main()"
    options = ["train", "tokenizer", str(recipe), "--data", str(data), "--out", str(out), "--threads", "1"]
    return subprocess.Popen([sys.executable, "-c", script, *options], stdout=subprocess.DEVNULL)


def _losses(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]
