"""A full disk under every verb that writes: one line, exit code 1, and no half file."""

from pathlib import Path

import numpy as np
import pytest

from magvit2.data.tokens import save_tokens
from magvit2.pipelines import encode_file
from magvit2.tokenizer import Tokenizer
from tests.cli.running import run, save_clip, tree
from tests.disk import FULL, no_file_above

SMALL = 200
"""Bytes of the largest file that the disk takes: less than any output of these."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (9, 16, 24, 3), np.uint8)
    return save_clip(tmp_path / "data" / "clip.mkv", frames)


def words_of(verb: str, clip: Path, model: Path, out: Path) -> list[object]:
    """The words of a command that writes `out`."""
    tokens = clip.parent / "clip.safetensors"
    if verb == "decode":
        save_tokens(tokens, encode_file(Tokenizer.from_pretrained(model), clip))
    batches = '[{"kind":"video","batch_size":1,"num_frames":5,"size":16}]'
    settings = ("num_steps=1", "num_workers=0", "model.base_channels=4", "model.num_bits=6", f"batches={batches}")
    return {
        "encode": ["encode", clip, out, "--model", model],
        "decode": ["decode", tokens, out, "--model", model],
        "reconstruct": ["reconstruct", clip, out, "--model", model],
        "demo": ["demo", clip, "--out", out, "--model", model],
        "pack": ["pack", clip.parent, out],
        "tokenize": ["tokenize", clip.parent, "--out", out, "--model", model],
        "evaluate": ["evaluate", "reconstruction", model, clip.parent, "--out", out, "--metrics", "psnr"],
        "train": ["train", "tokenizer", "rival-lfq", "--data", clip.parent, "--out", out, "--set", *settings],
    }[verb]


@pytest.mark.parametrize(
    ("verb", "name", "file"),
    [
        ("encode", "out.safetensors", ""),
        ("decode", "out.mp4", ""),
        ("decode", "out.mkv", ""),
        ("decode", "frames", ""),
        ("reconstruct", "out.mp4", ""),
        ("demo", "demo-out", "/tokens.safetensors"),
        ("pack", "pack", ""),
        ("tokenize", "shards", "/tokens-00000.parquet"),
        ("evaluate", "report", "/state/part-0.safetensors"),
        ("train", "run", "/training.json"),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_half_file(
    verb: str, name: str, file: str, clip: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    words = words_of(verb, clip, model, out)
    before = tree(tmp_path)
    with no_file_above(SMALL):
        line = run(*words).line
    assert line == f"{out}{file}: {FULL}"
    new = [tmp_path / path for path in tree(tmp_path) if path not in before]
    assert all(path.is_dir() for path in new), new
