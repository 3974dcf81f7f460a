"""What one of several processes does: it takes its share of a batch and averages its gradients with the others."""

from pathlib import Path

import torch
from torch import Tensor, distributed

from magvit2.quantizers import lfq_entropy
from magvit2.training.distributed import mean_over_ranks, world_size

NUM_BITS = 12


def batch_and_weights() -> tuple[Tensor, Tensor]:
    """Inputs [16, 6] of a whole batch, and the weights [6, 12] of a tiny encoder."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(16, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randn(6, NUM_BITS, generator=generator, dtype=torch.float64) / 2


def penalty(inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (sample entropy, batch entropy, gradient of their difference) for inputs on this rank."""
    weights = weights.clone().requires_grad_()
    sample, batch = lfq_entropy(inputs @ weights, 1.0, mean_over_ranks=mean_over_ranks)
    (gradient,) = torch.autograd.grad(sample - batch, weights)
    return sample.detach(), batch.detach(), gradient


def run(rank: int, num_ranks: int, folder: Path) -> None:
    """Join the others, take every `num_ranks`th input, and write what this rank sees to `folder`/rank."""
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), num_ranks)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=num_ranks)
    assert world_size() == num_ranks
    inputs, weights = batch_and_weights()
    sample, batch, gradient = penalty(inputs[rank::num_ranks], weights)
    for value in (sample, gradient):
        distributed.all_reduce(value)
        value /= num_ranks
    mean = mean_over_ranks(torch.full((2, 3), float(rank)))
    torch.save((sample, batch, gradient, mean), folder / str(rank))
    distributed.destroy_process_group()
