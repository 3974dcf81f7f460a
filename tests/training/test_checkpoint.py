"""Checkpoints hold all that moves, complete or not at all, and no more of them are kept than asked for."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from magvit2.tokenizer import Tokenizer
from magvit2.training.checkpoint import TrainingState, latest_checkpoint, load_checkpoint, save_checkpoint
from tests.tokenizer.making import OURS, random_clips


def fresh_state() -> TrainingState[Tokenizer]:
    model = Tokenizer(OURS)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    return TrainingState(model, model, average, optimizer, torch.nn.ModuleDict(), None)


def take_a_step(state: TrainingState[Tokenizer]) -> None:
    state.optimizer.zero_grad()
    state.model(random_clips(1, 5, 8, 8)).clips.square().mean().backward()
    state.optimizer.step()


def moments(state: TrainingState[Tokenizer]) -> list[dict[str, Tensor]]:
    return [state.optimizer.state[parameter] for parameter in state.model.parameters()]


@pytest.fixture
def trained(tmp_path: Path) -> TrainingState[Tokenizer]:
    """A state after two steps, saved to `tmp_path`."""
    state = fresh_state()
    for _ in range(2):
        take_a_step(state)
    save_checkpoint(tmp_path, 2, state, keep=2)
    return state


def test_a_checkpoint_restores_weights_average_moments_and_chance(trained: TrainingState, tmp_path: Path) -> None:
    chance = torch.get_rng_state()
    torch.rand(5)
    loaded = fresh_state()
    assert load_checkpoint(tmp_path / "step-00000002", loaded) == 2
    assert torch.equal(torch.get_rng_state(), chance)
    for part in ("model", "average"):
        torch.testing.assert_close(
            getattr(loaded, part).state_dict(), getattr(trained, part).state_dict(), rtol=0, atol=0
        )
    torch.testing.assert_close(moments(loaded), moments(trained), rtol=0, atol=0)


def test_moments_lie_in_memory_as_their_parameters_do(trained: TrainingState, tmp_path: Path) -> None:
    """The fused step walks both in the order of memory: another layout would pair weights with others' moments."""
    loaded = fresh_state()
    load_checkpoint(tmp_path / "step-00000002", loaded)
    for parameter, state in zip(loaded.model.parameters(), moments(loaded), strict=True):
        assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == parameter.stride()
    take_a_step(loaded)
    take_a_step(trained)
    torch.testing.assert_close(loaded.model.state_dict(), trained.model.state_dict(), rtol=0, atol=0)


def test_only_the_latest_checkpoints_are_kept(trained: TrainingState, tmp_path: Path) -> None:
    for step in (3, 100, 20_000_000):
        assert save_checkpoint(tmp_path, step, trained, keep=2).name == f"step-{step:08d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000100", "step-20000000"]
    assert latest_checkpoint(tmp_path) == tmp_path / "step-20000000"


def test_saving_a_step_again_replaces_it(trained: TrainingState, tmp_path: Path) -> None:
    with torch.no_grad():
        trained.model.encoder.head.bias.fill_(7)
    save_checkpoint(tmp_path, 2, trained, keep=2)
    loaded = fresh_state()
    load_checkpoint(tmp_path / "step-00000002", loaded)
    assert (loaded.model.encoder.head.bias == 7).all()


def test_what_is_no_complete_checkpoint_is_not_the_latest(trained: TrainingState, tmp_path: Path) -> None:
    for name in (".step-00000009.partial", "step-00000009.old", "step-9"):
        (tmp_path / name).mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000002"
    assert latest_checkpoint(tmp_path / "nothing") is None
