"""A recipe of two stages: images first, then their inflation to clips, in one run that resumes in either."""

import dataclasses
from pathlib import Path

import pytest
import torch

from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.schema import from_dict, to_dict, with_settings
from magvit2.tokenizer import Tokenizer, inflate
from magvit2.training import ImagePretraining, TokenizerTraining, train_tokenizer
from magvit2.training.limit import TimeLimit
from magvit2.training.status import read_status
from magvit2.training.tokenizer import initial_of, start
from tests.training.making import TINY, journal, make_pictures, results

STAGED = dataclasses.replace(TINY, pretraining=ImagePretraining(TINY.batches[1:], num_steps=4))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of both stages that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    assert train_tokenizer(STAGED, source, folder) == folder / "model"
    return folder


def test_the_second_stage_starts_from_the_inflated_model_of_the_first(straight: Path) -> None:
    assert len(journal(straight / "pretraining")) == 4 and len(journal(straight)) == 6
    image = Tokenizer.from_pretrained(straight / "pretraining" / "model")
    assert image.config.is_image
    state = start(STAGED, "cpu", initial_of(STAGED, straight))
    expected = inflate(image, TINY.model)
    for name, value in expected.state_dict().items():
        assert torch.equal(state.model.state_dict()[name], value), name


def test_a_run_that_stops_in_either_stage_goes_on_exactly(source: Path, straight: Path, tmp_path: Path) -> None:
    seen = []
    for _ in range(12):
        train_tokenizer(STAGED, source, tmp_path, time_limit=TimeLimit(1e-6))  # one step, whatever it takes
        status = read_status(tmp_path)
        seen.append((status.num_done, status.num_steps))
        if status.is_finished and status.num_steps == 6:
            break
    assert seen[0] == (1, 4) and (1, 6) in seen and seen[-1] == (6, 6)
    for stage in ("pretraining", "."):
        assert journal(tmp_path / stage) == journal(straight / stage)
        ours, theirs = results(tmp_path / stage), results(straight / stage)
        assert {name: ours[name] for name in theirs if "step-00000003" not in name} == {
            name: content for name, content in theirs.items() if "step-00000003" not in name
        }


def test_a_pretraining_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="causal video model"):
        dataclasses.replace(
            STAGED, model=dataclasses.replace(TINY.model, window=4), batches=(BatchSpec("video", 2, 8, 16),)
        )
    with pytest.raises(ConfigError, match="initial"):
        dataclasses.replace(STAGED, initial="default")
    with pytest.raises(ConfigError, match="do not fill latent positions"):
        dataclasses.replace(STAGED, pretraining=ImagePretraining((dataclasses.replace(TINY.batches[1], size=12),), 4))


def test_settings_reach_the_first_stage_and_survive_json() -> None:
    config = with_settings(STAGED, ["pretraining.num_steps=9", "model.num_bits=5"])
    assert config.image_stage is not None
    assert (config.image_stage.num_steps, config.image_stage.model.num_bits) == (9, 5)
    assert from_dict(TokenizerTraining, to_dict(config)) == config
