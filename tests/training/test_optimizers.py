"""Muon moves matrices along their orthogonal part, AdamW the rest; both go on exactly from a checkpoint."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from magvit2.training import OptimizerConfig, train_tokenizer
from magvit2.training.optimizers import make_optimizer, orthogonalized
from tests.training.making import TINY, journal, make_pictures, results

MUON = OptimizerConfig(kind="muon", lr=1e-2, beta1=0.9, warmup_steps=2, muon_boost=2.0, muon_momentum=0.9)


class Side(nn.Module):
    """A network with a layer at its edge, a hidden one and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3)
        self.block = nn.Sequential(nn.Conv3d(8, 4, (1, 2, 2)), nn.GroupNorm(1, 4))


def polar(matrix: Tensor) -> Tensor:
    """U V^T by an exact decomposition."""
    u, _, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    return u @ v


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_orthogonalized_is_near_the_polar_factor(shape: tuple[int, int], generator: torch.Generator) -> None:
    values = torch.linspace(0.5, 1.0, min(shape)).double()
    u, v = (torch.linalg.qr(torch.randn(side, min(shape), generator=generator).double())[0] for side in shape)
    found = orthogonalized((u * values @ v.T).float()).double()
    singular = torch.linalg.svdvals(found)
    assert singular.min() > 0.65 and singular.max() < 1.25  # what five quintic steps give
    expected = u @ v.T
    cosine = (found * expected).sum() / found.norm() / expected.norm()
    assert cosine > 0.97


def test_a_first_step_is_the_orthogonal_part_of_the_gradient_at_adamw_s_length(generator: torch.Generator) -> None:
    side = Side()
    before = {name: parameter.detach().clone() for name, parameter in side.named_parameters()}
    optimizer = make_optimizer(side, MUON)
    for parameter in side.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    moved = {name: parameter.detach() - before[name] for name, parameter in side.named_parameters()}
    hidden = side.block[0]
    assert isinstance(hidden, nn.Conv3d) and hidden.weight.grad is not None
    expected = -1e-2 * 2.0 * 0.2 * 32**0.5 * polar(hidden.weight.grad.flatten(1))  # 4 outputs, 8 x 1 x 2 x 2 inputs
    step = moved.pop("block.0.weight").flatten(1).double()
    assert (step * expected).sum() / step.norm() / expected.norm() > 0.95
    assert step.norm() == pytest.approx(expected.norm().item(), rel=0.2)
    for name, change in moved.items():  # AdamW's first step is the sign
        torch.testing.assert_close(change.abs(), torch.full_like(change, 1e-2), rtol=1e-3, atol=1e-6)
        assert name in {"stem.weight", "stem.bias", "block.0.bias", "block.1.weight", "block.1.bias"}


def test_momentum_averages_gradients(generator: torch.Generator) -> None:
    side = Side()
    hidden = side.block[0]
    assert isinstance(hidden, nn.Conv3d)
    optimizer = make_optimizer(side, dataclasses.replace(MUON, lr=1e-3))
    first, second = (torch.randn(hidden.weight.shape, generator=generator) for _ in range(2))
    hidden.weight.grad = first.clone()
    optimizer.step()
    before = hidden.weight.detach().clone()
    hidden.weight.grad = second.clone()
    optimizer.step()
    average = 0.9 * 0.1 * first + 0.1 * second
    expected = -polar((0.1 * second + 0.9 * average).flatten(1))
    step = (hidden.weight.detach() - before).flatten(1).double()
    assert (step * expected).sum() / step.norm() / expected.norm() > 0.95


def test_weight_decay_shrinks_matrices(generator: torch.Generator) -> None:
    side = Side()
    hidden = side.block[0]
    assert isinstance(hidden, nn.Conv3d)
    before = hidden.weight.detach().clone()
    optimizer = make_optimizer(side, dataclasses.replace(MUON, weight_decay=0.5, muon_boost=0.0))
    hidden.weight.grad = torch.randn(hidden.weight.shape, generator=generator)
    optimizer.step()
    torch.testing.assert_close(hidden.weight.detach(), before * (1 - 1e-2 * 0.5))


def test_a_run_with_muon_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_pictures(tmp_path / "source")
    config = dataclasses.replace(TINY, optimizer=MUON)
    train_tokenizer(config, source, tmp_path / "straight")
    from magvit2.training import tokenizer

    steps = tokenizer.train_step

    def failing(step: int, *arguments: object, **options: object) -> object:
        if step == 4:
            raise OSError("gone")
        return steps(step, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenizer, "train_step", failing)
    with pytest.raises(OSError, match="gone"):
        train_tokenizer(config, source, tmp_path / "broken")
    monkeypatch.undo()
    train_tokenizer(config, source, tmp_path / "broken")
    assert journal(tmp_path / "broken") == journal(tmp_path / "straight")
    assert results(tmp_path / "broken") == results(tmp_path / "straight")
