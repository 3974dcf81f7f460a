"""The same trainer for every quantizer, for windows of frames, and from an image model to a video model."""

import dataclasses
from pathlib import Path

import pytest
import torch

from magvit2.data.batches import BatchSpec
from magvit2.errors import TrainingError
from magvit2.store import read_tensors
from magvit2.tokenizer import Tokenizer
from magvit2.training import TokenizerTraining, train_tokenizer
from tests.training.making import TINY, journal, make_pictures, results

WINDOWED = {
    "norm": "clip",
    "window": 8,
    "resampling": "plain",
    "adaptive_norm": False,
    "normalize_latents": False,
    "upsample_kernel": 3,
}
CHANGES = {
    "bsq": {"quantizer": "bsq"},
    "fsq": {"quantizer": "fsq", "levels": (8, 5, 5)},
    "vq": {"quantizer": "vq", "codebook_size": 16, "codebook_dim": 8},
    "magvit1": {"quantizer": "vq", "codebook_size": 16, "codebook_dim": 8, **WINDOWED},
}


def training(**changes: object) -> TokenizerTraining:
    model = dataclasses.replace(TINY.model, **changes)
    num_frames = 5 if model.is_causal else 8
    return dataclasses.replace(TINY, model=model, batches=(BatchSpec("video", 2, num_frames, 16),))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("source"))


@pytest.mark.parametrize("name", CHANGES)
def test_a_rival_trains_and_its_journal_has_entropies_where_codes_are_binary(
    name: str, source: Path, tmp_path: Path
) -> None:
    model = train_tokenizer(training(**CHANGES[name]), source, tmp_path)
    lines = journal(tmp_path)
    assert [line["step"] for line in lines] == list(range(6))
    assert all((line["sample_entropy"] > 0) == (name == "bsq") for line in lines)
    assert all(0 <= line["least_digit_entropy"] <= 1 for line in lines)
    assert Tokenizer.from_pretrained(model).config == training(**CHANGES[name]).model


@pytest.mark.parametrize("name", ["vq", "magvit1"])
def test_a_codebook_moves_with_the_training_and_its_average_has_it_too(name: str, source: Path, tmp_path: Path) -> None:
    train_tokenizer(training(**CHANGES[name]), source, tmp_path)
    first, last = (read_tensors(tmp_path / "checkpoints" / f"step-{step:08d}" / "state.safetensors") for step in (3, 6))
    assert not last["model.quantizer.codebook"].equal(first["model.quantizer.codebook"])
    assert last["average.quantizer.codebook"].equal(last["model.quantizer.codebook"])
    assert last["model.quantizer.counts"].sum() > 0


def test_an_interrupted_training_of_a_codebook_goes_on_exactly(source: Path, tmp_path: Path) -> None:
    config = training(**CHANGES["vq"])
    train_tokenizer(config, source, tmp_path / "straight")
    train_tokenizer(config, source, tmp_path / "stopped")
    (tmp_path / "stopped" / "checkpoints" / "step-00000006").rename(tmp_path / "gone")
    train_tokenizer(config, source, tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")


def test_a_video_training_starts_from_an_image_model(source: Path, tmp_path: Path) -> None:
    flat = dataclasses.replace(TINY.model, is_image=True, temporal_downsample=(False, False))
    image = Tokenizer(flat).eval()
    image.save_pretrained(tmp_path / "image")
    resting = dataclasses.replace(TINY.optimizer, lr=0.0)
    config = dataclasses.replace(TINY, num_steps=1, initial=str(tmp_path / "image"), optimizer=resting)
    video = Tokenizer.from_pretrained(train_tokenizer(config, source, tmp_path / "video"))
    clip = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    assert video.encode(clip).equal(image.encode(clip[:, :, ::4]))
    wider = dataclasses.replace(config, model=dataclasses.replace(TINY.model, num_bits=7))
    with pytest.raises(TrainingError, match="another shape"):
        train_tokenizer(wider, source, tmp_path / "third")
