"""The weights that come with the package: what their card says is true, and they beat scaling down and up again."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from magvit2.data.frames import resize, to_clip, to_frames
from magvit2.data.synthetic import sample_clip, sample_photos
from magvit2.evaluation.floor import bicubic_floor
from magvit2.metrics import CodeUsage, FrameQuality, psnr
from magvit2.pipelines import decode_tokens, encode_frames, reconstruct_frames
from magvit2.registry import ALIASES, embedded_folder, embedded_names
from magvit2.schema import changed_settings
from magvit2.store import fingerprint, read_tensors
from magvit2.tokenizer import Tokenizer

NAME = ALIASES["tokenizer"]["default"]
FOLDER = Path(__file__).parents[1] / "src" / "magvit2" / "pretrained" / NAME
CARD = ("name", "kind", "num_parameters", "dtype", "sha256", "fingerprint", "recipe", "commit", "steps", "data",
        "machine", "metrics", "licence")  # fmt: skip


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((FOLDER / "card.json").read_text())
    return values


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_pretrained("default")


def test_default_stands_for_an_immutable_name() -> None:
    assert NAME == "clip-b2"
    assert NAME in embedded_names()
    assert embedded_folder("tokenizer", "default") == embedded_folder("tokenizer", NAME) == FOLDER


def test_the_folder_holds_the_model_its_card_and_what_people_read() -> None:
    assert {path.name for path in FOLDER.iterdir()} >= {"config.json", "model.safetensors", "card.json", "README.md"}
    assert "research" in (FOLDER.parent / "LICENSE").read_text()
    assert NAME in (FOLDER / "README.md").read_text()


def test_the_card_says_everything(card: dict[str, Any]) -> None:
    assert [key for key in CARD if key not in card] == []
    assert (card["name"], card["kind"], card["dtype"]) == (NAME, "tokenizer", "bfloat16")
    assert card["recipe"] and card["commit"] and card["machine"] and card["licence"]
    assert card["steps"] > 0
    assert card["data"] and all(isinstance(source, str) for source in card["data"])
    assert all(math.isfinite(value) for value in card["metrics"].values())


def test_the_weights_are_small_and_in_bf16(card: dict[str, Any], tokenizer: Tokenizer) -> None:
    count = sum(parameter.numel() for parameter in tokenizer.parameters())
    assert count == card["num_parameters"] <= 5_000_000
    assert (FOLDER / "model.safetensors").stat().st_size <= 16 * 2**20
    with safe_open(FOLDER / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"BF16"}  # noqa: SIM118


def test_the_file_is_the_one_that_the_card_names(card: dict[str, Any]) -> None:
    assert hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest() == card["sha256"]


def test_the_fingerprint_is_the_card_s_in_every_type(card: dict[str, Any], tokenizer: Tokenizer) -> None:

    assert tokenizer.fingerprint == card["fingerprint"]
    assert Tokenizer.from_pretrained(NAME, dtype=torch.bfloat16).fingerprint == card["fingerprint"]
    stored = read_tensors(FOLDER / "model.safetensors")
    assert fingerprint(changed_settings(tokenizer.config), stored) == card["fingerprint"]


def test_the_tokens_are_the_product_s(tokenizer: Tokenizer) -> None:
    assert tokenizer.space.radices == (2,) * 18
    assert tokenizer.space.strides == (4, 8, 8)


def photos() -> list[np.ndarray]:
    """scikit-image's photographs, their short side scaled to 192."""
    clips = []
    for photo in sample_photos():
        scale = 192 / min(photo.shape[:2])
        clips.append(resize(photo[None], round(photo.shape[0] * scale), round(photo.shape[1] * scale)))
    return clips


def reconstructed(tokenizer: Tokenizer, frames: np.ndarray) -> tuple[FrameQuality, FrameQuality]:
    """The quality of the tokenizer, and of shrinking the frames to the token grid and back."""
    ours, floor = FrameQuality(), FrameQuality()
    pairs = reconstruct_frames(tokenizer, iter(frames))
    for pair, low in zip(pairs, bicubic_floor(frames, tokenizer.space), strict=True):
        ours.add(pair.original, pair.decoded)
        floor.add(pair.original, low)
    return ours, floor


def test_photographs_beat_the_bicubic_floor(tokenizer: Tokenizer) -> None:
    results = [reconstructed(tokenizer, frames) for frames in photos()]
    gains = [ours.psnr - floor.psnr for ours, floor in results]
    assert np.mean(gains) > 0, gains


def test_a_moving_clip_beats_the_bicubic_floor(tokenizer: Tokenizer) -> None:
    ours, floor = reconstructed(tokenizer, sample_clip(17, 128, 128))
    assert ours.psnr > floor.psnr


def test_it_decodes_from_the_lowest_bits_of_its_ids_better_from_more(tokenizer: Tokenizer) -> None:
    frames = sample_clip(17, 128, 128)
    clip = to_clip(frames)
    ids = tokenizer.encode(clip)
    quality = []
    for num_bits in (6, 10, 14, 18):
        decoded = to_frames(tokenizer.decode(ids, frames.shape[:3], num_bits=num_bits)[0])
        quality.append(np.mean([psnr(frame, other) for frame, other in zip(frames, decoded, strict=True)]))
    assert np.all(np.diff(quality) > 0.3), quality


def test_every_bit_is_alive(tokenizer: Tokenizer) -> None:
    usage = CodeUsage(tokenizer.space)
    for frames in [*photos(), sample_clip(17, 128, 128)]:
        usage.add(encode_frames(tokenizer, frames, None).ids)
    assert usage.bit_entropies.min() > 0.5, usage.bit_entropies


def test_a_clip_survives_bf16_arithmetic_too(tokenizer: Tokenizer) -> None:

    fast = Tokenizer.from_pretrained("default", dtype=torch.bfloat16)
    frames = sample_clip(5, 64, 64)
    values = []
    for model in (tokenizer, fast):
        decoded = decode_tokens(model, encode_frames(model, frames, None))
        values.append(np.mean([psnr(frame, other) for frame, other in zip(frames, decoded, strict=True)]))
    assert abs(values[0] - values[1]) < 0.3
