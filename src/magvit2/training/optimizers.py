"""The optimizers of both sides: AdamW, or Muon for the matrices inside a network and AdamW for all else."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.training.config import OptimizerConfig

_EDGES = frozenset({
    "stem", "head", "affine", "logit", "embedding", "classes", "tasks", "positions", "read", "write",
})  # fmt: skip
"""Layers that pixels, codes, tokens or logits enter or leave by: Muon is for hidden layers, these stay with AdamW."""

_RMS = 0.2
"""Typical root mean square of AdamW's steps, in learning rates; Muon's are given the same (arXiv 2502.16982)."""

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def make_optimizer(side: nn.Module, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimizer of what may be trained of a network."""
    named = [(name, parameter) for name, parameter in side.named_parameters() if parameter.requires_grad]
    options: dict[str, Any] = {
        "lr": settings.lr,
        "betas": (settings.beta1, settings.beta2),
        "weight_decay": settings.weight_decay,
        "fused": True,
    }
    if settings.kind == "adamw":
        return torch.optim.AdamW(_by_decay(named, settings.weight_decay), **options)
    matrices = [parameter for name, parameter in named if _is_hidden(name, parameter)]
    others = [parameter for name, parameter in named if not _is_hidden(name, parameter)]
    return MuonAdamW(matrices, others, settings.muon_boost, settings.muon_momentum, options)


def _by_decay(named: Sequence[tuple[str, Tensor]], weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters by whether weight decay is for them: for matrices, but no vectors and no embeddings."""
    if weight_decay == 0:
        return [{"params": [parameter for _, parameter in named]}]
    decayed = [parameter for name, parameter in named if _is_hidden(name, parameter)]
    others = [parameter for name, parameter in named if not _is_hidden(name, parameter)]
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]


class MuonAdamW(torch.optim.AdamW):
    """Muon for `matrices`, AdamW for `others`; the state of each is kept as torch's optimizers keep theirs.

    A matrix moves along its averaged gradient made orthogonal (Newton-Schulz, in bfloat16), at `boost` times the length
    that AdamW's step would have. A convolution is the matrix of its outputs by its inputs and taps. Muon:
    https://kellerjordan.github.io/posts/muon
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        others: Sequence[Tensor],
        boost: float,
        momentum: float,
        options: dict[str, Any],
    ) -> None:
        groups: list[dict[str, Any]] = [{"params": list(matrices)}, {"params": list(others), "weight_decay": 0.0}]
        super().__init__(groups, **options)
        self._boost = boost
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step with the gradients that are there."""
        assert closure is None
        groups = self.param_groups
        for parameter in groups[0]["params"]:
            if parameter.grad is not None:
                self._move(parameter, groups[0]["lr"], groups[0]["weight_decay"])
        self.param_groups = groups[1:]
        try:
            super().step()
        finally:
            self.param_groups = groups

    def _move(self, parameter: Tensor, lr: float, weight_decay: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for it in every state that it loads
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(gradient, 1 - self._momentum)
        matrix = gradient.lerp(average, self._momentum).flatten(1)  # Nesterov's look ahead
        length = self._boost * _RMS * max(matrix.shape) ** 0.5
        parameter.mul_(1 - lr * weight_decay)
        parameter.add_(orthogonalized(matrix).view(parameter.shape), alpha=-lr * length)


def orthogonalized(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Return about U V^T of a matrix U S V^T: singular values between 0.7 and 1.2, but for the smallest of all."""
    a, b, c = _QUINTIC
    x = matrix.bfloat16()
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if is_tall else x).to(matrix.dtype)


def _is_hidden(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and not _EDGES & set(name.split("."))
