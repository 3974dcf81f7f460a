"""Networks translated by torch.compile, for a training's speed; parameters keep their names."""

from collections.abc import Iterable

import torch
from torch import nn

from magvit2.errors import TrainingError

_VERSIONS = 8
"""Of a network's code for each kind of batch, at most: discriminators frozen or learning, inputs laid out otherwise."""


def compile_networks(networks: Iterable[nn.Module], device: str, num_kinds: int) -> None:
    """Have torch.compile translate each network's forward pass when it is first called, for each shape by itself.

    Modules are compiled in place: their state dicts stay as they are, and so do copies that were made before.
    `num_kinds` is the number of kinds of batches. Raises TrainingError where the device's compiler is missing.
    """
    import torch._dynamo  # not at the top: it is large
    import torch._functorch.config

    _check_compiler(device)
    # Each term's pull at the last layer is measured before the backward pass, on a graph whose buffers must live on.
    torch._functorch.config.donated_buffer = False
    # Cutting the graph into DistributedDataParallel's buckets does not know layers that are computed again.
    torch._dynamo.config.optimize_ddp = False
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, _VERSIONS * num_kinds)
    for network in networks:
        network.compile(dynamic=False)


def _check_compiler(device: str) -> None:
    """Compile an addition."""
    try:
        torch.compile(_successor)(torch.zeros(1, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        reason = next((line for line in str(error).splitlines() if line), type(error).__name__)
        raise TrainingError(
            f"compile = true: torch.compile has no working compiler for {device} here ({reason}); install one (g++ for "
            "a CPU, Triton for a GPU), or set compile=false"
        ) from error


def _successor(x: torch.Tensor) -> torch.Tensor:
    return x + 1
