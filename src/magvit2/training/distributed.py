"""What processes of one run do together; the only door to torch.distributed.

Under `torchrun` each process has its share of every batch: DistributedDataParallel averages the tokenizer's gradients,
`average_gradients` the discriminators' (whose second derivatives it does not know). Alone, all of this does nothing.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

from magvit2.errors import TrainingError

_PATIENCE = timedelta(minutes=10)


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that torchrun has started, for the block, and give this one's device: `cuda` is numbered.

    Raises TrainingError where they cannot meet.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or world_size() > 1:
        yield device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(f"the processes of this run cannot meet ({reason}); start them by torchrun") from error
    try:
        yield device
        wait_for_all()  # none takes its connections down while another still waits for an answer
    finally:
        distributed.destroy_process_group()


def world_size() -> int:
    """Return the number of processes of this run, 1 outside torchrun."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return which of the processes this one is, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def speaks() -> bool:
    """Return whether this process reports to people: one of those that torchrun has started does, joined or not."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world_size() > 1:
        distributed.barrier()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set on some process: all of them get the same answer."""
    if world_size() == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    distributed.all_reduce(flags, distributed.ReduceOp.MAX)
    return bool(flags.item())


def gather(x: Tensor) -> Tensor:
    """Return the tensors of all processes, of one shape, one after another along the first axis."""
    if world_size() == 1:
        return x
    found = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
    distributed.all_gather(found, x.contiguous())
    return torch.cat(found)


def data_parallel(model: nn.Module) -> nn.Module:
    """Return what runs the model so that gradients are averaged over processes; the model itself where it is alone."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model)


def without_averaging(network: nn.Module) -> AbstractContextManager[None]:
    """Return a block in which backward passes of what `data_parallel` gave leave gradients to this process."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else contextlib.nullcontext()


@torch.no_grad()
def average_gradients(module: nn.Module) -> None:
    """Average the gradients of a module's parameters over all processes."""
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = _averaged(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


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
