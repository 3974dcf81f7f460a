"""What processes of one run do together; the only door to torch.distributed."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Return the number of processes of this run, 1 outside torchrun."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean of `x` over all processes, differentiably; `x` itself where there is one process.

    The gradient is averaged in the same way, so a function of the mean has on every rank the gradient that one process
    with the whole batch would have, once gradients are averaged over ranks as usual.
    """
    if world_size() == 1:
        return x
    mean: Tensor = _MeanOverRanks.apply(x)  # type: ignore[no-untyped-call]
    return mean


class _MeanOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return _averaged(x)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Tensor:
        return _averaged(gradients[0])


def _averaged(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total / world_size()
