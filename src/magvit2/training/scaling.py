"""Loss scales: what keeps the gradients of float16 arithmetic in its range (arXiv 1710.03740), one for each side.

Float16 ends at 65,504 and loses what is below 6e-8, as small gradients are. So a loss is multiplied by a scale before
its backward pass and the gradients are divided by it after: unscaled before anything looks at them. A scale that was
too high makes gradients that are not finite; the step is then left out and the scale halved. It doubles after 2,000
steps without that. In other precisions the scalers are there, switched off.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.amp.grad_scaler import GradScaler

_LEAST_SCALE = 1.0
"""An overflow at this scale or a lower one is no matter of the scale: the gradients themselves are too large."""


class Scalers(NamedTuple):
    """The scale of the tokenizer's loss, and that of the discriminators'."""

    own: GradScaler
    judge: GradScaler

    def values(self) -> dict[str, float]:
        """Return the present scales, by the names that they have in the journal; none where they are switched off."""
        if not self.own.is_enabled():
            return {}
        return {"loss_scale": self.own.get_scale(), "judge_loss_scale": self.judge.get_scale()}

    def settle(self, numbers: Mapping[str, float], *, judged: bool) -> set[str]:
        """Raise or lower the scales of the sides that took part in a step, as its gradients ask.

        Return the names of gradients in `numbers`, the values of the step, that were only scaled too high: of a side
        whose scale fell, from more than 1.
        """
        sides = {"own": self.own, "judge": self.judge} if judged else {"own": self.own}
        is_sound = all(math.isfinite(numbers[name]) for name in numbers if _side(name))
        before = {} if is_sound else {name: side.get_scale() for name, side in sides.items()}
        for side in sides.values():
            side.update()
        fallen = {name for name, scale in before.items() if scale > max(_LEAST_SCALE, sides[name].get_scale())}
        return {name for name in numbers if _side(name) in fallen}

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what `restore` takes, as JSON values."""
        return {name: scaler.state_dict() for name, scaler in self._asdict().items()}

    def restore(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Go on with the scales of a `state`. Raises LookupError or RuntimeError for one that lacks them."""
        for name, scaler in self._asdict().items():
            scaler.load_state_dict(state.get(name, {}))


def make_scalers(precision: str, device: str) -> Scalers:
    """Return new scalers, switched on for "fp16" alone."""
    kind = torch.device(device).type
    own, judge = (GradScaler(kind, enabled=precision == "fp16") for _ in range(2))
    return Scalers(own, judge)


def _side(name: str) -> str:
    """Return whose gradients a value of a step is of; "" for what is no norm of gradients."""
    if name == "judge_grad_norm":
        return "judge"
    return "own" if name == "grad_norm" or name.startswith("pull_") else ""
