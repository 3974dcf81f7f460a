"""Two processes with half a batch each agree with one process that has it all."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing

from magvit2.training.distributed import mean_over_ranks, world_size
from tests.training import ranks

TIME_LIMIT_S = 60


def in_two_processes(folder: Path) -> list[tuple[Tensor, ...]]:
    context = multiprocessing.spawn(ranks.run, (2, folder), nprocs=2, join=False)
    end = time.monotonic() + TIME_LIMIT_S
    while not context.join(timeout=1):
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            pytest.fail(f"two processes did not finish in {TIME_LIMIT_S} s")
    return [torch.load(folder / str(rank), weights_only=True) for rank in range(2)]


def test_two_ranks_have_the_entropy_and_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    inputs, weights = ranks.batch_and_weights()
    whole = ranks.penalty(inputs, weights)
    assert (ranks.penalty(inputs[::2], weights)[1] - whole[1]).abs() > 1e-3  # a half alone sees another distribution
    for sample, batch, gradient, mean in in_two_processes(tmp_path):
        torch.testing.assert_close((sample, batch, gradient), whole)
        assert torch.equal(mean, torch.full((2, 3), 0.5))


def test_one_process_is_its_own_mean() -> None:
    x = torch.rand(3)
    assert world_size() == 1
    assert mean_over_ranks(x) is x
